"""The geometry of a picture: two axes always, and padding as it was asked for.

From plain ints alone.  One axis is drawn as a single row, so its first axis here is
trivial: one element, one tap, one position.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np

from jaxconv._border import arguments as can
from jaxconv._border.call import MODES
from jaxconv._border.windows import Windows
from jaxconv._core.geometry import Axis, Geometry, Ints

Place = tuple[int, int]
DEFAULTS: dict[str, Any] = {
    "stride": 1,
    "padding": 0,
    "output_padding": 0,
    "output_size": None,
    "dilation": 1,
    "padding_mode": "zeros",
}


class Read(NamedTuple):
    """One tap of one window: where it lies, and the element that stands there."""

    tap: Place
    place: Place  # in elements of the image; outside of it on padding
    source: Place | None  # None on zeros, and where a transposed result is cropped


@dataclass(frozen=True)
class Setting:
    """Windows over an image; the image is a transposed convolution's result.

    ``geometry`` is about the image itself, whatever the padding holds: padding modes
    change only which element stands at a place outside.
    """

    geometry: Geometry
    high: Ints
    mode: str
    ndim: int
    transposed: bool
    options: tuple[tuple[str, Any], ...]

    @property
    def axes(self) -> tuple[Axis, Axis]:
        rows, columns = self.geometry.axes
        return rows, columns

    @property
    def positions(self) -> list[Place]:
        """The windows, in the order in which they are visited."""
        return _indices(self.geometry.output)

    @property
    def elements(self) -> list[Place]:
        """The image's elements, row by row."""
        return _indices(self.geometry.input)

    def inside(self, place: Place) -> bool:
        sizes = self.geometry.input
        return all(0 <= c < i for c, i in zip(place, sizes, strict=True))

    def reads(self, position: Place) -> Iterator[Read]:
        """The taps of a window, in order; the first line of `Axis` for both axes."""
        for tap in _indices(self.geometry.kernel):
            row, column = (
                p * axis.s + t * axis.d - axis.lo
                for p, t, axis in zip(position, tap, self.axes, strict=True)
            )
            yield Read(tap, (row, column), self.source((row, column)))

    def source(self, place: Place) -> Place | None:
        """Which element stands at a place: itself inside, on padding what fills it."""
        row, column = (
            _filled(axis, hi, self.mode).get(c)
            for c, axis, hi in zip(place, self.axes, self.high, strict=True)
        )
        return None if row is None or column is None else (row, column)

    @property
    def image_size(self) -> str:
        return times(self.geometry.input[2 - self.ndim :])

    @property
    def windows_size(self) -> str:
        return times(self.geometry.output[2 - self.ndim :])

    def index(self, place: Place) -> str:
        """A place as it is written between brackets."""
        return ", ".join(map(str, place[2 - self.ndim :]))

    def stretch(self, reads: Sequence[Read]) -> str:
        """From where to where a window lies, in words."""
        names = ("rows", "columns") if self.ndim == 2 else ("", "places")
        ends = zip(reads[0].place, reads[-1].place, strict=True)
        return ", ".join(
            f"{name} {a} to {b}" if a != b else f"{name[:-1]} {a}"
            for name, (a, b) in zip(names, ends, strict=True)
            if name
        )

    @property
    def summary(self) -> str:
        """The kernel, and the options that are not the defaults."""
        kernel = times(self.geometry.kernel[2 - self.ndim :])
        said = [f"{name} {_plain(value)}" for name, value in self.options]
        return ", ".join([f"kernel {kernel}", *said])


def read_setting(transposed: bool, size: Ints, kernel: Ints, **given: Any) -> Setting:
    """Checks the options of `conv` or `conv_transpose` and fixes where windows lie."""
    ndim, options = len(kernel), dict(given)
    stride, padding = given.pop("stride"), given.pop("padding")
    dilation, mode = given.pop("dilation"), given.pop("padding_mode")
    windows = Windows.read(ndim, stride, padding, dilation, mode)
    if transposed:
        op, wanted = given["output_padding"], given["output_size"]
        geometry, filled = windows.transpose(size, kernel, op, wanted)
    else:
        geometry, filled = windows.conv(size, kernel)
    around = [sum(pair) for pair in filled] or [0] * ndim
    image = tuple(i - a for i, a in zip(geometry.input, around, strict=True))
    s, d = geometry.stride, geometry.dilation
    pads = filled or can.padding(padding, image, kernel, s, d)
    low, high = (tuple(pair[side] for pair in pads) for side in (0, 1))
    flat = _two(image, 1), _two(kernel, 1), _two(geometry.output, 1), _two(s, 1)
    whole = Geometry(*flat, _two(d, 1), _two(low, 0))
    said = ((name, value) for name, value in options.items() if _said(name, value))
    words = tuple((name.replace("_", " "), value) for name, value in said)
    return Setting(whole, _two(high, 0), mode, ndim, transposed, words)


@functools.cache
def _filled(axis: Axis, hi: int, mode: str) -> dict[int, int]:
    """The element at each place of one axis; zeros have none."""
    inside = np.arange(axis.i)
    if mode == "zeros":
        return {int(c): int(c) for c in inside}
    filled = np.pad(inside, (axis.lo, hi), mode=cast(Any, MODES[mode]))
    return {c - axis.lo: int(source) for c, source in enumerate(filled)}


def _said(name: str, value: Any) -> bool:
    """Whether an option is more than its default on any axis."""
    entries = value if can.is_sequence(value) else [value]
    return any(entry != DEFAULTS[name] for entry in entries)


def _two(entries: Ints, fill: int) -> Ints:
    return (fill,) * (2 - len(entries)) + entries


def _indices(sizes: Ints) -> list[Place]:
    return [(row, column) for row in range(sizes[0]) for column in range(sizes[1])]


def times(sizes: Any) -> str:
    """A size as it is written, 3×4."""
    return "×".join(map(str, sizes))


def _plain(value: Any) -> str:
    """An option as it is written in a line of text, equal entries once."""
    if can.is_sequence(value):
        entries = [_plain(entry) for entry in value]
        same = len(set(entries)) == 1 and not can.is_sequence(value[0])
        return entries[0] if same else f"({', '.join(entries)})"
    return str(value)
