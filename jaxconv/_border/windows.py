"""Stride, dilation and padding in canonical form, and the geometry that they define."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxconv._border import arguments as can
from jaxconv._border.arguments import Pairs
from jaxconv._core import geometry as geo
from jaxconv._core.geometry import Geometry, Ints


@dataclass(frozen=True)
class Windows:
    """Stride, dilation and padding in canonical form, before any size is known."""

    stride: Ints
    dilation: Ints
    padding: can.PaddingLike
    mode: str
    kernel: str = "kernel"  # the argument that gives the window, in error messages

    @classmethod
    def read(
        cls,
        ndim: int,
        stride: Any,
        padding: Any,
        dilation: Any,
        mode: Any,
        kernel: str = "kernel",
    ) -> Windows:
        return cls(
            can.ints("stride", stride, ndim, 1),
            can.ints("dilation", dilation, ndim, 1),
            padding,
            can.choice("padding_mode", mode, can.PADDING_MODES),
            kernel,
        )

    def conv(self, i: Ints, k: Ints) -> tuple[Geometry, Pairs]:
        """The geometry of a convolution of an input of size i.

        The second result is the padding that a padding mode needs beforehand; it is
        empty for zeros, which are part of the geometry.
        """
        s, d = self.stride, self.dilation
        can.known("x.shape", i, i)
        pads = can.padding(self.padding, i, k, s, d)
        can.kernel_fits(i, k, d, pads, self.kernel)
        o = tuple(map(geo.output_size, i, k, s, d, *zip(*pads, strict=True)))
        return self._place(i, k, o, pads)

    def transpose(
        self, o: Ints, k: Ints, extra: Any, size: Any
    ) -> tuple[Geometry, Pairs]:
        """The geometry of a transposed convolution of an argument of size o.

        It is the geometry of the convolution with o outputs.  ``extra`` is
        output_padding, ``size`` output_size.
        """
        pads, op = _transposed_padding(self, o, k, extra, size)
        i = _input_sizes(o, k, self.stride, self.dilation, pads, op)
        if min(i) < 1:
            rule = (
                f"leaves a result of size {i}, which must be at least 1 on every axis"
            )
            can.fail("padding", self.padding, rule, "Pad (that is, crop) less")
        return self._place(i, k, o, pads)

    def _place(self, i: Ints, k: Ints, o: Ints, pads: Pairs) -> tuple[Geometry, Pairs]:
        low = tuple(lo for lo, _ in pads)
        if self.mode == "zeros":
            return Geometry(i, k, o, self.stride, self.dilation, low), ()
        can.padding_fits_mode(self.mode, pads, i)
        i = tuple(size + lo + hi for size, (lo, hi) in zip(i, pads, strict=True))
        return Geometry(i, k, o, self.stride, self.dilation, (0,) * len(k)), pads


def _transposed_padding(
    windows: Windows, o: Ints, k: Ints, extra: Any, size: Any
) -> tuple[Pairs, Ints]:
    """The padding and the output_padding of a transposed convolution."""
    s, d, word = windows.stride, windows.dilation, windows.padding
    op = can.ints("output_padding", extra, len(k), 0)
    if size is not None and any(op):
        rule = "says the size that output_padding says too"
        can.fail("output_size", size, rule, "Give only one of the two")
    if isinstance(word, str) and word == "same":
        rule = "is not defined for a transposed convolution"
        can.fail("padding", word, rule, 'Write "SAME" for a result of input*stride')
    if isinstance(word, str) and word in ("SAME", "SAME_LOWER"):
        return _transposed_same(windows, o, k, op, size)
    pads = can.padding(word, None, k, s, d)
    for axis, (a, stride, rate) in enumerate(zip(op, s, d, strict=True)):
        if a >= max(stride, rate):
            rule = f"must be below stride {stride} or dilation {rate} on axis {axis}"
            can.fail("output_padding", extra, rule, "Use less, or output_size=")
    if size is None:
        return pads, op
    return pads, _size_beyond(size, _input_sizes(o, k, s, d, pads), s)


def _transposed_same(
    windows: Windows, o: Ints, k: Ints, op: Ints, size: Any
) -> tuple[Pairs, Ints]:
    """ "SAME" has o = ceil(i/s) outputs: i may be (o-1)s + 1 to o*s, by default o*s."""
    if any(op):
        rule = 'does not go with padding="SAME", whose result is input*stride'
        can.fail("output_padding", op, rule, "Write output_size= instead")
    s, d = windows.stride, windows.dilation
    i = tuple(a * b for a, b in zip(o, s, strict=True))
    if size is not None:
        least = tuple((a - 1) * b + 1 for a, b in zip(o, s, strict=True))
        beyond = _size_beyond(size, least, s)
        i = tuple(a + b for a, b in zip(least, beyond, strict=True))
    pads = can.padding(windows.padding, i, k, s, d)
    short = _input_sizes(o, k, s, d, pads)
    return pads, tuple(a - b for a, b in zip(i, short, strict=True))


def _input_sizes(
    o: Ints, k: Ints, s: Ints, d: Ints, pads: Pairs, op: Ints | None = None
) -> Ints:
    lo, hi = zip(*pads, strict=True)
    return tuple(map(geo.input_size, o, k, s, d, lo, hi, op or (0,) * len(o)))


def _size_beyond(size: Any, least: Ints, s: Ints) -> Ints:
    """By how much output_size exceeds the least possible size: 0 to stride-1."""
    wanted = can.ints("output_size", size, len(s), 1)
    most = tuple(a + b - 1 for a, b in zip(least, s, strict=True))
    beyond = tuple(a - b for a, b in zip(wanted, least, strict=True))
    if any(not 0 <= a < b for a, b in zip(beyond, s, strict=True)):
        rule = f"must be between {least} and {most}, spatial axes only"
        if least == most:
            rule = f"must be {least}, spatial axes only"
        can.fail("output_size", size, rule, "Choose such a size, or leave it out")
    return beyond
