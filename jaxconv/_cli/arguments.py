"""Arguments, exit codes and one-line errors of `python -m jaxconv`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import jaxconv
from jaxconv._cli import check, demo, draw, explain, explore, gallery, options, summary
from jaxconv._cli.errors import UserError


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, without the usage before them."""

    def parse_known_args(self, *args: Any, **kwargs: Any) -> Any:
        """What is left over is said by the parser of the command, which knows more."""
        found, left = super().parse_known_args(*args, **kwargs)
        if left:
            self.error(f"unrecognized arguments: {' '.join(left)}")
        return found, left

    def error(self, message: str) -> NoReturn:
        raise UserError(
            f"{message}; `python -m {self.prog} --help` lists what there is"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
      argv: the arguments after the program's name; None reads those of the process.

    Returns:
      0 if all is well, 1 if a result is wrong, 2 if the arguments are.
    """
    try:
        arguments = parser().parse_args(argv)
        return arguments.run(arguments)
    except UserError as error:
        print(f"jaxconv: {error}", file=sys.stderr)
        return 2
    except SystemExit as end:  # argparse, after --help and --version
        return int(end.code or 0)
    except KeyboardInterrupt:
        print("jaxconv: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, as `head`, has seen enough
        sys.stdout = open(os.devnull, "w")
        return 0


def parser() -> argparse.ArgumentParser:
    top = Parser(
        prog="jaxconv",
        description="Convolutions and transposed convolutions for JAX.",
        epilog="Exit code: 0 all is well, 1 a result is wrong, 2 the arguments are.",
    )
    version = f"jaxconv {jaxconv.__version__}"
    top.add_argument("--version", action="version", version=version)
    commands = top.add_subparsers(
        title="commands", metavar="COMMAND", parser_class=Parser
    )
    top.set_defaults(run=lambda _: top.print_help() or 0)
    add = commands.add_parser
    _add_demo(add)
    _add_check(add)
    _add_explain(add)
    _add_summary(add)
    _add_draw(add)
    _add_gallery(add)
    _add_explore(add)
    return top


def _add_demo(add: Callable[..., argparse.ArgumentParser]) -> None:
    about = "how much faster than plain JAX, what is claimed in numbers, and pictures"
    command = add("demo", help=about, description=about)
    _add_image(command)
    command.add_argument(
        "--out",
        type=Path,
        default=Path("out"),
        metavar="DIR",
        help="folder for the pictures, made if missing (default: out)",
    )
    command.add_argument(
        "--all", action="store_true", help="the table of `check` as well"
    )
    command.set_defaults(run=lambda given: demo.run(given.image, given.out, given.all))


def _add_check(add: Callable[..., argparse.ArgumentParser]) -> None:
    about = "every implementation on a photo against a reference: values and times"
    command = add("check", help=about, description=about)
    _add_image(command)
    command.add_argument(
        "--json", action="store_true", help="one JSON document on standard output"
    )
    command.set_defaults(run=lambda given: check.run(given.image, as_json=given.json))


def _add_explain(add: Callable[..., argparse.ArgumentParser]) -> None:
    about = "one call in numbers: size, matrix, work, lowering, other libraries' code"
    command = add("explain", help=about, description=about)
    calls = command.add_subparsers(
        title="calls", metavar="CALL", required=True, parser_class=Parser
    )
    for name in ("conv", "conv_transpose"):
        transposed = name == "conv_transpose"
        call = calls.add_parser(name, help=f"`jaxconv.{name}`")
        options.add_operands(call)
        options.add_windows(call)
        options.add_channels(call)
        if transposed:
            options.add_beyond(call)
        call.set_defaults(run=partial(explain.run, transposed=transposed))


def _add_summary(add: Callable[..., argparse.ArgumentParser]) -> None:
    about = "the layers of a model: sizes, parameters, work, receptive fields"
    command = add("summary", help=about, description=about)
    summary.add_arguments(command)


def _add_draw(add: Callable[..., argparse.ArgumentParser]) -> None:
    about = "a picture or an animation, as .gif, .svg, .html or .png"
    command = add("draw", help=about, description=about)
    draw.add_subjects(command, Parser)


def _add_gallery(add: Callable[..., argparse.ArgumentParser]) -> None:
    about = "every picture of the gallery, and its page"
    command = add("gallery", help=about, description=about)
    for name, what in (("svg", "pictures and the page"), ("gif", "animations")):
        words = f"folder for the {what}, made if missing"
        command.add_argument(f"--{name}", type=Path, metavar="DIR", help=words)
    command.set_defaults(run=lambda given: gallery.run(given.svg, given.gif))


def _add_explore(add: Callable[..., argparse.ArgumentParser]) -> None:
    about = "a page with sliders: sizes, animation, formulas, matrix and code"
    command = add("explore", help=about, description=about)
    where = command.add_mutually_exclusive_group()
    where.add_argument(
        "--out", type=Path, metavar="FILE", help="write the page as one HTML file"
    )
    where.add_argument(
        "--port",
        type=int,
        default=0,
        help="port to serve it at, to this machine only (default: any that is free)",
    )
    command.add_argument("--open", action="store_true", help="open a browser as well")
    command.set_defaults(
        run=lambda given: explore.run(given.out, given.port, given.open)
    )


def _add_image(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--image",
        type=Path,
        metavar="PATH",
        help="a picture to use in place of matplotlib's sample photo",
    )
