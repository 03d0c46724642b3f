"""`python -m jaxconv summary`: the layers of a model in a module."""

from __future__ import annotations

import argparse
import importlib
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jaxconv
from jaxconv._cli.errors import UserError, missing

FIGURES = (".png", ".pdf", ".svg")


def add_arguments(command: argparse.ArgumentParser) -> None:
    words = (
        "module:name of a model or function, or of something that makes one without "
        "arguments; it may make a tuple of the function and its arguments"
    )
    command.add_argument("target", metavar="MODULE:NAME", help=words)
    words = "an argument, as the shape of an array: 1x224x224x3; again for more"
    command.add_argument(
        "--input", type=shape, action="append", default=[], metavar="SHAPE", help=words
    )
    words = "of the arrays (default: float32)"
    command.add_argument("--dtype", default="float32", metavar="TYPE", help=words)
    words = "for which the lowerings are named: cpu, gpu, cuda, rocm, tpu"
    command.add_argument("--platform", metavar="NAME", help=words)
    words = "JSON in place of the table"
    command.add_argument("--json", action="store_true", help=words)
    words = f"draw it as well: {', '.join(FIGURES)}"
    command.add_argument("--plot", type=Path, metavar="FILE", help=words)
    command.set_defaults(run=run)


def shape(text: str) -> tuple[int, ...]:
    """1x224x224x3, and 8 for one axis."""
    sizes = text.split("x")
    if not all(size.isdecimal() for size in sizes):
        message = f"{text!r} is not a shape; write e.g. 1x224x224x3"
        raise argparse.ArgumentTypeError(message)
    return tuple(map(int, sizes))


def run(arguments: argparse.Namespace) -> int:
    """Traces the model and prints what was found."""
    plot: Path | None = arguments.plot
    if plot is not None and plot.suffix.lower() not in FIGURES:
        raise UserError(f"--plot {plot}: end it in {', '.join(FIGURES)}")
    fn, *args = _made(arguments.target)
    args += _arrays(arguments.input, arguments.dtype)
    try:
        found = jaxconv.summarize(fn, *args, platform=arguments.platform)
    except (TypeError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        remedy = "give its arguments with --input, one shape for each"
        raise UserError(f"{arguments.target}: {first}; {remedy}") from None
    print(found.to_json() if arguments.json else found)
    if plot is not None:
        _draw(found, plot)
    return 0


def _draw(found: Any, plot: Path) -> None:
    try:
        found.plot().savefig(plot)
    except ImportError:
        raise missing("matplotlib", "--plot") from None
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise UserError(
            f"--plot {plot}: {why}; write a path that can be written"
        ) from None
    print(f"Wrote {plot}")


def _made(target: str) -> tuple[Any, ...]:
    """The function and those of its arguments that the module gives."""
    found = _looked_up(target)
    if _makes(found):
        found = found()
    if not isinstance(found, tuple):
        found = (found,)
    if not found or not callable(found[0]):
        rule = "is neither a function nor makes one"
        raise UserError(
            f"{target}: {rule}; name a model, or a function that returns it"
        )
    return found


def _looked_up(target: str) -> Any:
    module, colon, name = target.partition(":")
    if not colon or not module or not name:
        raise UserError(f"{target}: write module:name, for example models:resnet")
    here = str(Path.cwd())
    if here not in sys.path:  # as `python -m` has it, and a console script has not
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        remedy = "write one that can be imported from here"
        raise UserError(f"{target}: no module named {error.name!r}; {remedy}") from None
    for part in name.split("."):
        if not hasattr(found, part):
            remedy = "write a name that the module has"
            raise UserError(f"{target}: {module} has no {part!r}; {remedy}")
        found = getattr(found, part)
    return found


def _makes(found: Any) -> bool:
    """Whether it is a class or a function that can be called without arguments."""
    if not inspect.isroutine(found) and not inspect.isclass(found):
        return False
    try:
        inspect.signature(found).bind()
    except (TypeError, ValueError):
        return False
    return True


def _arrays(shapes: Sequence[tuple[int, ...]], dtype: str) -> list[Any]:
    try:
        kind = np.dtype(getattr(jax.numpy, dtype, dtype))
    except TypeError:
        remedy = "write one of JAX's, such as float32 or bfloat16"
        raise UserError(f"--dtype {dtype}: is no type of numbers; {remedy}") from None
    return [jax.ShapeDtypeStruct(shape, kind) for shape in shapes]
