"""Padding in every form (a word, an int, one per axis, pairs) and the modes' limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxconv._border import hints
from jaxconv._border.arguments.forms import integer, ints, is_sequence, wrong_length
from jaxconv._core import geometry as geo
from jaxconv._core.errors import choice, fail
from jaxconv._core.geometry import Ints

Pairs = tuple[tuple[int, int], ...]
PaddingLike = str | int | Sequence[int] | Sequence[Sequence[int]]

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def padding(value: Any, i: Ints | None, k: Ints, s: Ints, d: Ints) -> Pairs:
    """The low and high padding of each axis.

    ``i``, the convolution's input size, is None for a transposed convolution, whose
    caller handles the words that depend on it.
    """
    if isinstance(value, str):
        return _padding_word(value, i, k, s, d)
    pair = f", or {len(k)} (low, high) pairs"
    if not is_sequence(value):
        return tuple((p, p) for p in ints("padding", value, len(k), 0))
    if not any(is_sequence(entry) for entry in value):
        if len(value) != len(k):
            wrong_length("padding", value, len(k), pair)
        return tuple((p, p) for p in ints("padding", value, len(k), 0))
    if len(value) != len(k):
        wrong_length("padding", value, len(k), pair)
    return tuple(_pair(value, entry) for entry in value)


def _pair(value: Any, entry: Any) -> tuple[int, int]:
    if not is_sequence(entry) or len(entry) != 2:
        rule = f"mixes forms: {entry!r} is not a (low, high) pair"
        fail(
            "padding",
            value,
            rule,
            "Write a pair for every axis, or an int for every axis",
        )
    lo, hi = (integer("padding", p, 0, value) for p in entry)
    return lo, hi


def _padding_word(word: str, i: Ints | None, k: Ints, s: Ints, d: Ints) -> Pairs:
    words = ("valid", "same", "VALID", "SAME", "SAME_LOWER", "causal")
    if word not in words:
        hints.padding_word(word)
    choice("padding", word, words)
    spans = [geo.span(*axis) for axis in zip(k, d, strict=True)]
    if word in ("valid", "VALID"):
        return ((0, 0),) * len(k)
    if word == "causal":
        if len(k) != 1:
            rule = f"is for one spatial axis (time), and there are {len(k)}"
            fail("padding", word, rule, "Write a (low, high) pair for every axis")
        return ((spans[0] - 1, 0),)
    if word == "same":
        if set(s) != {1}:
            rule = f"keeps the size only at stride 1, and stride={s}"
            fail("padding", word, rule, 'Write "SAME" for ceil(input/stride) outputs')
        return tuple(((n - 1) // 2, n // 2) for n in spans)
    assert i is not None
    totals = [geo.same_padding(*axis) for axis in zip(i, k, s, d, strict=True)]
    if word == "SAME":
        return tuple((t // 2, t - t // 2) for t in totals)
    return tuple((t - t // 2, t // 2) for t in totals)


def padding_fits_mode(mode: str, pads: Pairs, i: Ints) -> None:
    """PyTorch's limits: below the input's size for reflect, up to it for circular."""
    limits = {"reflect": [size - 1 for size in i], "circular": list(i)}
    for axis, limit in enumerate(limits.get(mode, ())):
        if max(pads[axis]) > limit:
            fail(
                "padding",
                pads[axis],
                f'padding_mode="{mode}" can fill at most {limit} on spatial axis '
                f"{axis}, whose size is {i[axis]}",
                'Pad less, or use padding_mode="zeros" or "replicate"',
            )
