"""Deformable calls that the tests share: pairwise different sizes, random values."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

import oracle
from oracle import windows

Ints = tuple[int, ...]


class Case(NamedTuple):
    name: str
    n: int
    inputs: int
    outputs: int
    groups: int
    offset_groups: int
    size: Ints
    kernel: Ints
    stride: Ints
    low: Ints
    dilation: Ints
    high: Ints | None = None  # as low

    @property
    def out(self) -> Ints:
        axes = (self.size, self.kernel, self.stride, self.dilation)
        return tuple(map(windows, *axes, self.low, self.high or self.low))

    @property
    def taps(self) -> int:
        return math.prod(self.kernel)

    @property
    def terms(self) -> int:
        """As many as are added up anywhere, the kernel's gradient included."""
        return self.n * math.prod(self.out) * self.taps * self.inputs

    @property
    def options(self) -> dict[str, Any]:
        padding = self.low
        if self.high is not None:
            padding = tuple(zip(self.low, self.high, strict=True))
        return {"stride": self.stride, "padding": padding, "dilation": self.dilation}

    @property
    def steps(self) -> dict[str, Ints]:
        """The same in the oracle's words."""
        return {"stride": self.stride, "low": self.low, "dilation": self.dilation}

    def operands(self, rng: np.random.Generator, reach: float = 1.5) -> dict[str, Any]:
        """x, offset, kernel, bias and mask, channels first.

        Offsets reach over the border, and stay away from whole numbers, the kinks.
        """
        d = len(self.size)
        shape = (self.n, d * self.offset_groups * self.taps, *self.out)
        whole = np.round(reach * rng.standard_normal(shape))
        mask = (self.n, self.offset_groups * self.taps, *self.out)
        kernel = (self.outputs, self.inputs // self.groups, *self.kernel)
        return {
            "x": rng.standard_normal((self.n, self.inputs, *self.size)),
            "offset": whole + rng.uniform(0.1, 0.9, shape),
            "kernel": rng.standard_normal(kernel),
            "bias": rng.standard_normal(self.outputs),
            "mask": rng.standard_normal(mask),
        }

    def expected(self, v: dict[str, Any], masked: bool = True) -> np.ndarray:
        mask = v["mask"] if masked else None
        y = oracle.deform_conv(v["x"], v["offset"], v["kernel"], mask, **self.steps)
        return y + v["bias"].reshape(-1, *(1,) * len(self.size))


# That of the torchvision tests, whose sizes are pairwise different.
PLANE = Case("plane", 3, 6, 2, 2, 3, (5, 4), (3, 2), (2, 1), (1, 0), (2, 1))
# Its rows of 43 channels fill one set of lanes and part of another.
WIDE = Case("wide", 2, 43, 3, 1, 1, (4, 5), (2, 3), (1, 2), (0, 1), (1, 1), (2, 0))
LINE = Case("line", 4, 6, 4, 1, 2, (9,), (3,), (2,), (1,), (2,))
VOLUME = Case(
    "volume", 2, 4, 6, 2, 1, (4, 3, 5), (2, 1, 3), (1, 2, 1), (1, 0, 2), (2, 1, 1)
)
DEPTHWISE = Case("depthwise", 2, 4, 8, 4, 2, (6, 5), (2, 3), (1, 1), (0, 1), (1, 1))
CASES = (PLANE, WIDE, LINE, VOLUME, DEPTHWISE)


def last(v: np.ndarray, name: str = "x") -> np.ndarray:
    """A channels-first array channels last; kernels (*window, c, o)."""
    if name == "bias":
        return v
    if name == "kernel":
        return np.moveaxis(v, (0, 1), (-1, -2))
    return np.moveaxis(v, 1, -1)
