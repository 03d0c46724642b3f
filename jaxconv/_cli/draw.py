"""`python -m jaxconv draw`: one picture or animation, written where it is told."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jaxconv import viz
from jaxconv._cli import images, options
from jaxconv._cli.errors import UserError
from jaxconv._cli.options import given
from jaxconv.viz._frames import MOST_FRAMES
from jaxconv.viz._scene import SUFFIXES, THEMES, Scene

WINDOWS = ("stride", "padding", "dilation")
BEYOND = ("output_padding", "output_size")
CHANNELS = ("groups", "channels")


def run(arguments: argparse.Namespace) -> int:
    """Makes the scene and saves it; every mistake is one line."""
    out: Path = arguments.output
    if out.suffix.lower() not in SUFFIXES:
        raise UserError(f"-o {out}: end it in {', '.join(SUFFIXES)}")
    try:
        scene = arguments.scene(arguments)
        _say_what_takes_long(scene, out)
        scene.save(out, theme=arguments.theme, moving=arguments.moving)
    except (ValueError, TypeError, ImportError) as error:
        raise UserError(str(error)) from None
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise UserError(f"-o {out}: {why}; write a path that can be written") from None
    print(f"Wrote {out}: {scene.title}, {scene.subtitle}")
    return 0


def _say_what_takes_long(scene: Scene, out: Path) -> None:
    count = len(scene.frames)
    if out.suffix.lower() == ".gif" and count > MOST_FRAMES // 2:
        some = f"{MOST_FRAMES} of {count}" if count > MOST_FRAMES else str(count)
        print(f"Drawing {some} frames ...", flush=True)


def add_subjects(command: argparse.ArgumentParser, parser: type[Any]) -> None:
    """One subcommand for each kind of picture."""
    subjects = command.add_subparsers(
        title="subjects", metavar="SUBJECT", required=True, parser_class=parser
    )
    for name, (about, add, scene) in SUBJECTS.items():
        subject = subjects.add_parser(name, help=about, description=about)
        add(subject)
        subject.add_argument(
            *("-o", "--output"),
            type=Path,
            required=True,
            metavar="FILE",
            help="what to write: .gif, .svg, .html or .png",
        )
        subject.add_argument("--theme", choices=THEMES, help="colours")
        words = "an .svg that plays by itself"
        subject.add_argument("--moving", action="store_true", help=words)
        subject.set_defaults(run=run, scene=scene)


# Subjects: their arguments, and the scene that these make -----------------------------


def _add_conv(command: argparse.ArgumentParser) -> None:
    options.add_operands(command)
    options.add_windows(command)
    options.add_channels(command)
    _add_numbers(command)


def _add_transpose(command: argparse.ArgumentParser) -> None:
    _add_conv(command)
    options.add_beyond(command)
    views = ("scatter", "zero_insertion", "both")
    command.add_argument("--view", choices=views, default="scatter")


def _add_matrix(command: argparse.ArgumentParser) -> None:
    options.add_operands(command)
    options.add_windows(command)
    options.add_beyond(command)
    words = "show its transpose, that of conv_transpose"
    command.add_argument("--transposed", action="store_true", help=words)
    _add_numbers(command)


def _add_overlap(command: argparse.ArgumentParser) -> None:
    options.add_operands(command)
    options.add_windows(command, modes=False)
    options.add_beyond(command, size=False)


def _add_numbers(command: argparse.ArgumentParser) -> None:
    words = "small numbers in the cells, and the sums that they make"
    command.add_argument("--numbers", action="store_true", help=words)


def _add_channels(command: argparse.ArgumentParser) -> None:
    options.add_channels(command)
    _add_kernel(command)


def _add_kernel(command: argparse.ArgumentParser) -> None:
    window: dict[str, Any] = {"type": options.sizes, "default": (3, 3)}
    command.add_argument("--kernel", metavar="SIZE", help="window: 3x3", **window)


def _add_dilations(command: argparse.ArgumentParser) -> None:
    _add_kernel(command)
    rates: dict[str, Any] = {"type": options.sizes, "default": (1, 2, 3)}
    command.add_argument("--rates", metavar="D,D", help="the dilations", **rates)


def _add_image(command: argparse.ArgumentParser) -> None:
    words = "a picture in place of matplotlib's sample photo"
    command.add_argument("--image", type=Path, metavar="PATH", help=words)


def _add_deform(command: argparse.ArgumentParser) -> None:
    _add_image(command)
    _add_kernel(command)
    options.add_windows(command, modes=False)
    words = ".npy of (2 * taps, rows, columns): dy and dx of each tap, in pixels"
    offset: dict[str, Any] = {"type": Path, "required": True, "metavar": "FILE"}
    command.add_argument("--offset", help=words, **offset)
    words = "output (row,column) to look at; again for more frames"
    command.add_argument(
        "--position", type=options.pair, action="append", metavar="R,C", help=words
    )


def _add_receptive(command: argparse.ArgumentParser) -> None:
    _add_image(command)
    words = "first to last, as in 7s2p3,3,3d2: kernel, stride, padding, dilation"
    command.add_argument(
        "--layers", type=options.layers, required=True, metavar="L,L", help=words
    )


def _conv(arguments: argparse.Namespace) -> Scene:
    named = given(arguments, *WINDOWS, *CHANNELS, "padding_mode")
    return viz.conv(*_operands(arguments), **named)


def _conv_transpose(arguments: argparse.Namespace) -> Scene:
    named = given(arguments, *WINDOWS, *BEYOND, *CHANNELS, "padding_mode", "view")
    return viz.conv_transpose(*_operands(arguments), **named)


def _matrix(arguments: argparse.Namespace) -> Scene:
    named = given(arguments, *WINDOWS, *BEYOND, "padding_mode", "transposed")
    return viz.matrix(*_operands(arguments), **named)


def _overlap(arguments: argparse.Namespace) -> Scene:
    named = given(arguments, *WINDOWS, "output_padding")
    return viz.overlap(arguments.input, arguments.kernel, **named)


def _channels(arguments: argparse.Namespace) -> Scene:
    if arguments.channels is None:
        raise UserError("draw channels: needs --channels, for example 4,6")
    inputs, outputs = arguments.channels
    named = given(arguments, "groups", "kernel")
    return viz.channels(inputs, outputs, **named)


def _dilations(arguments: argparse.Namespace) -> Scene:
    rates = arguments.rates
    rates = rates if isinstance(rates, tuple) else (rates,)
    return viz.dilations(arguments.kernel, rates)


def _deform(arguments: argparse.Namespace) -> Scene:
    try:
        offset = np.load(arguments.offset, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        remedy = "write the path of an array that numpy.save has written"
        raise UserError(f"--offset {arguments.offset}: no array; {remedy}") from None
    named = given(arguments, *WINDOWS)
    photo = _photo(arguments)
    return viz.deform(
        photo, offset, arguments.kernel, positions=arguments.position, **named
    )


def _receptive(arguments: argparse.Namespace) -> Scene:
    return viz.receptive(_photo(arguments), arguments.layers)


def _photo(arguments: argparse.Namespace) -> np.ndarray:
    return images.grey(images.load(arguments.image).pixels)


def _operands(arguments: argparse.Namespace) -> tuple[Any, Any]:
    """Both sizes, or with numbers two arrays of them."""
    pair = (arguments.input, arguments.kernel)
    if not arguments.numbers:
        return pair
    ndim = max(len(size) if isinstance(size, tuple) else 1 for size in pair)
    shapes = [size if isinstance(size, tuple) else (size,) * ndim for size in pair]
    if min(map(min, shapes)) < 1:
        return pair  # whose error says more than numpy's
    rng = np.random.default_rng(0)
    return rng.integers(0, 6, shapes[0]), rng.integers(-1, 4, shapes[1])


Subject = tuple[
    str,
    Callable[[argparse.ArgumentParser], None],
    Callable[[argparse.Namespace], Scene],
]
SUBJECTS: dict[str, Subject] = {
    "conv": ("a convolution, window after window", _add_conv, _conv),
    "conv_transpose": (
        "a transposed convolution: scattered, or by zero insertion",
        _add_transpose,
        _conv_transpose,
    ),
    "matrix": ("the matrix of a convolution, row after row", _add_matrix, _matrix),
    "overlap": (
        "how many windows of a transposed convolution meet",
        _add_overlap,
        _overlap,
    ),
    "channels": ("which channels read which", _add_channels, _channels),
    "dilations": ("one kernel at several dilations", _add_dilations, _dilations),
    "deform": ("sampling points of a deformable convolution", _add_deform, _deform),
    "receptive": ("receptive fields of layers on a photo", _add_receptive, _receptive),
}
