"""Sizes and options of a convolution as words on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

Add = Callable[..., argparse.ArgumentParser]


def sizes(text: str) -> int | tuple[int, ...]:
    """5, or one per axis: 5x4 or 5,4."""
    first, *rest = (_int(part) for part in text.replace("x", ",").split(","))
    return (first, *rest) if rest else first


def pair(text: str) -> tuple[int, int]:
    found = sizes(text)
    if isinstance(found, int) or len(found) != 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not a pair; write e.g. 4,6")
    return found[0], found[1]


def padding(text: str) -> Any:
    """A word, an int, one per axis (1,2), or low:high per axis (0:1,2:0)."""
    if text.isalpha() or text == "SAME_LOWER":
        return text
    if ":" not in text:
        return sizes(text)
    sides = [part.split(":") for part in text.split(",")]
    if any(len(side) != 2 for side in sides):
        raise argparse.ArgumentTypeError(f"{text!r} is not low:high for every axis")
    return tuple((_int(low), _int(high)) for low, high in sides)


def layers(text: str) -> list[dict[str, int]]:
    """Layers first to last, 7s2p3,3,3d2: kernel, stride, padding and dilation."""
    return [_layer(part) for part in text.split(",")]


def _layer(text: str) -> dict[str, int]:
    letters = {"s": "stride", "p": "padding", "d": "dilation"}
    words, name, digits = {}, "kernel", ""
    for letter in [*text, ""]:
        if letter.isdigit():
            digits += letter
            continue
        if not digits or (letter and letter not in letters):
            raise argparse.ArgumentTypeError(f"{text!r} is not a layer such as 3s2p1")
        words[name], digits = int(digits), ""
        name = letters.get(letter, "")
    return words


def _int(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        message = f"{text!r} is not a size; write e.g. 5, or 5x4 for two axes"
        raise argparse.ArgumentTypeError(message) from None


def add_operands(command: argparse.ArgumentParser) -> None:
    """The two sizes that every convolution has."""
    several = "an int for one axis, or 5x4 for two, without batch and channels"
    needed: dict[str, Any] = {"required": True, "type": sizes, "metavar": "SIZE"}
    command.add_argument("--input", help=f"spatial size: {several}", **needed)
    command.add_argument("--kernel", help=f"window: {several}", **needed)


def add_windows(command: argparse.ArgumentParser, *, modes: bool = True) -> None:
    """Stride, padding and dilation, and what padding holds."""
    command.add_argument("--stride", type=sizes, default=1, metavar="N")
    command.add_argument(
        "--padding",
        type=padding,
        default=0,
        metavar="P",
        help="1, or 1,2 per axis, or low:high per axis as in 0:1,2:0, or a word: "
        "valid, same, VALID, SAME, SAME_LOWER, causal",
    )
    command.add_argument("--dilation", type=sizes, default=1, metavar="N")
    if modes:
        command.add_argument(
            "--padding-mode",
            default="zeros",
            metavar="MODE",
            help="zeros, reflect, replicate or circular",
        )


def add_channels(command: argparse.ArgumentParser) -> None:
    command.add_argument("--groups", type=int, default=1, metavar="G")
    command.add_argument(
        "--channels", type=pair, metavar="IN,OUT", help="numbers of channels"
    )


def add_beyond(command: argparse.ArgumentParser, *, size: bool = True) -> None:
    """What only a transposed convolution has."""
    command.add_argument("--output-padding", type=sizes, default=0, metavar="N")
    if size:
        command.add_argument("--output-size", type=sizes, metavar="SIZE")


def given(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Some options as keywords."""
    return {name: getattr(arguments, name) for name in names}
