"""The cases that the commands compare: geometries, with a photo as their input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxconv._cli import reference
from jaxconv._cli.images import clip, reduced
from jaxconv._cli.reference import Ints, Pairs

Array = np.ndarray


@dataclass(frozen=True)
class Case:
    """A convolution of an image; its transpose takes ``y`` back to the image's size."""

    name: str
    x: Array
    kernel: Array
    stride: Ints
    padding: Pairs
    dilation: Ints
    groups: int = 1

    @property
    def arguments(self) -> dict[str, Any]:
        """What conv and conv_transpose are both called with."""
        return {
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.groups,
        }

    def output(self) -> Array:
        """The reference's conv(x), float64."""
        return reference.conv(self.x, self.kernel, **self.arguments)

    def output_padding(self, y: Array) -> Ints:
        """What is left of x past the last window, on each axis."""
        left: list[int] = []
        axes = zip(self.stride, self.dilation, self.padding, strict=True)
        for axis, (s, d, (lo, hi)) in enumerate(axes, start=2):
            reached = (y.shape[axis] - 1) * s + d * (self.kernel.shape[axis] - 1) + 1
            left.append(self.x.shape[axis] - (reached - lo - hi))
        return tuple(left)

    def terms(self, function: str) -> int:
        """At most so many products are added up in one element of the result."""
        o, c, *window = self.kernel.shape
        return math.prod(window) * (c if function == "conv" else o // self.groups)

    def describe(self, y: Array) -> str:
        """One line with every number of the geometry."""
        parts = [f"{_times(self.x.shape[1:])} -> {_times(y.shape[1:])}"]
        parts += [f"kernel {_times(self.kernel.shape)}"]
        named = (("stride", self.stride, 1), ("dilation", self.dilation, 1))
        parts += [f"{n} {_short(v)}" for n, v, usual in named if set(v) != {usual}]
        if any(pair != (0, 0) for pair in self.padding):
            same = all(lo == hi for lo, hi in self.padding)
            pads = tuple(lo for lo, _ in self.padding) if same else self.padding
            parts.append(f"padding {_short(pads)}")
        if self.groups > 1:
            parts.append(f"groups {self.groups}")
        if any(self.output_padding(y)):
            parts.append(f"output_padding {_short(self.output_padding(y))}")
        return ", ".join(parts)


def _times(shape: Ints) -> str:
    return "x".join(map(str, shape))


def _short(values: tuple[Any, ...]) -> str:
    """One number where all axes have the same."""
    return str(values[0] if len(set(values)) == 1 else values).replace(" ", "")


def cases(photo: Array) -> list[Case]:
    """A photo (3, row, column) under every kind of argument, in two and three axes."""
    image, larger = reduced(photo, 48)[None], reduced(photo, 120)[None]
    maps = _feature_maps(image)
    film = clip(reduced(photo, 24), 6)[None]
    return [
        Case("strided", image, _kernel(0, 4, 3, 3, 5), (2, 3), _both(1, 2), (1, 1)),
        Case("dilated", image, _kernel(1, 2, 3, 3, 2), (1, 1), _both(2, 0), (2, 3)),
        Case("grouped", image, _kernel(2, 6, 1, 5, 4), (2, 2), _both(2, 1), (1, 1), 3),
        Case("maps", maps, _kernel(3, 4, 4, 3, 2), (2, 1), _both(1, 1), (1, 2), 2),
        Case("uneven", image, _kernel(4, 2, 3, 4, 3), (3, 5), ((0, 2), (1, 0)), (1, 1)),
        _leftover(image),
        Case(
            "clip",
            film,
            _kernel(6, 4, 3, 2, 3, 4),
            (1, 2, 2),
            _both(1, 1, 0),
            (2, 1, 1),
        ),
        Case("larger", larger, _kernel(7, 16, 3, 4, 3), (2, 2), _both(1, 1), (1, 1)),
    ]


def _leftover(image: Array) -> Case:
    """One whose windows leave elements over, so that its transpose has output_padding.

    The photo is cut so that three rows and one column are, whatever its size.
    """
    rows, columns = ((size - 3) // 4 * 4 + 2 for size in image.shape[2:])
    image = image[:, :, :rows, : columns + 1]
    return Case("leftover", image, _kernel(5, 5, 3, 3, 2), (4, 4), _both(0, 0), (1, 1))


def _both(*sizes: int) -> Pairs:
    return tuple((size, size) for size in sizes)


def _kernel(seed: int, *shape: int) -> Array:
    """Random weights that keep the size of what they are applied to."""
    values = np.random.default_rng(seed).standard_normal(shape)
    return (values / math.sqrt(math.prod(shape[1:]))).astype(np.float32)


def _feature_maps(image: Array) -> Array:
    """Eight maps of the photo: a first layer with random weights, cut at zero."""
    maps = Case("", image, _kernel(9, 8, 3, 3, 3), (1, 1), _both(1, 1), (1, 1)).output()
    return np.maximum(maps, 0).astype(np.float32)
