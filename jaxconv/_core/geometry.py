"""Size arithmetic of convolutions, in plain ints; this module does not import jax.

The letters are those of Dumoulin and Visin, "A guide to convolution arithmetic for
deep learning" (arXiv:1603.07285): input size ``i``, kernel ``k``, output ``o``, stride
``s``; here with dilation ``d``, and with separate low and high padding ``lo``, ``hi``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

Ints = tuple[int, ...]


class Axis(NamedTuple):
    """One spatial axis: tap ``t`` of output ``p`` reads input ``p*s + t*d - lo``."""

    i: int
    k: int
    o: int
    s: int
    d: int
    lo: int

    @property
    def span(self) -> int:
        """Extent of the dilated kernel, d(k-1) + 1 (Relationship 15's k-hat)."""
        return span(self.k, self.d)

    @property
    def reach(self) -> int:
        """Extent from the first to the last window's end, (o-1)s + d(k-1) + 1."""
        return (self.o - 1) * self.s + self.span

    @property
    def hi(self) -> int:
        """High padding, reach - i - lo; negative where the last inputs are not read.

        These inputs past the last window are what the floor in a convolution's output
        size drops, and what a transposed convolution's ``output_padding`` adds.
        """
        return self.reach - self.i - self.lo


@dataclass(frozen=True, slots=True)
class Geometry:
    """The sizes and window positions of a convolution, one entry per spatial axis.

    A transposed convolution has the geometry of the convolution that it is the
    transpose of: ``input`` is the size of its result, ``output`` that of its argument.
    """

    input: Ints
    kernel: Ints
    output: Ints
    stride: Ints
    dilation: Ints
    low: Ints

    @classmethod
    def of(cls, axes: Iterable[Axis]) -> Geometry:
        """The geometry of these axes, of which there must be one at least."""
        return cls(*zip(*axes, strict=True))

    @property
    def ndim(self) -> int:
        return len(self.kernel)

    @property
    def axes(self) -> Iterator[Axis]:
        return map(
            Axis,
            self.input,
            self.kernel,
            self.output,
            self.stride,
            self.dilation,
            self.low,
        )

    def start(self, tap: Ints) -> Ints:
        """The first element that a tap reads, counted from the first window's."""
        return tuple(t * d for t, d in zip(tap, self.dilation, strict=True))

    def part(self, axis: int, positions: int) -> Geometry:
        """The geometry of some positions of an axis, along which x is framed."""
        axes = list(self.axes)
        part = axes[axis]._replace(o=positions, lo=0)
        axes[axis] = part._replace(i=part.reach)
        return Geometry.of(axes)

    @property
    def read_extents(self) -> tuple[Extent, ...]:
        return tuple(map(read_extent, self.axes))

    @property
    def spread_extents(self) -> tuple[Extent, ...]:
        return tuple(map(spread_extent, self.axes))

    @property
    def high(self) -> Ints:
        return tuple(axis.hi for axis in self.axes)

    @property
    def taps(self) -> int:
        """Number of weights in one window."""
        return math.prod(self.kernel)

    @property
    def positions(self) -> int:
        """Number of window positions, which is the number of outputs."""
        return math.prod(self.output)

    @property
    def valid_taps(self) -> int:
        """Pairs of a position and a tap that read the input, not the padding."""
        return math.prod(valid_pairs(axis) for axis in self.axes)


class Extent(NamedTuple):
    """The slice ``[start, stop)`` of an axis, between ``low`` and ``high`` zeros."""

    start: int
    stop: int
    low: int
    high: int

    @property
    def empty(self) -> bool:
        """Whether the slice is empty, so that there are only zeros."""
        return self.stop <= self.start


def span(k: int, d: int) -> int:
    """Extent of a dilated kernel, d(k-1) + 1."""
    return d * (k - 1) + 1


def output_size(i: int, k: int, s: int, d: int, lo: int, hi: int) -> int:
    """Outputs of a convolution, floor((i + lo + hi - d(k-1) - 1)/s) + 1.

    Relationships 1 to 6, and 15 with dilation.  The result is below 1 where the kernel
    does not fit.
    """
    return (i + lo + hi - span(k, d)) // s + 1


def input_size(o: int, k: int, s: int, d: int, lo: int, hi: int, op: int) -> int:
    """Size of a transposed convolution's result, (o-1)s - lo - hi + d(k-1) + op + 1.

    This is `output_size` solved for i (Relationships 8 to 14).  The floor there leaves
    s possible sizes; ``op``, Relationship 14's ``a``, selects one.  It is the number of
    inputs past the last window.
    """
    return (o - 1) * s - lo - hi + span(k, d) + op


def same_padding(i: int, k: int, s: int, d: int) -> int:
    """Total padding that gives ceil(i/s) outputs (lax's "SAME")."""
    return max((-(-i // s) - 1) * s + span(k, d) - i, 0)


def valid_pairs(axis: Axis) -> int:
    """Number of pairs of a position p and a tap t that read the input, not padding.

    0 <= p*s + t*d - lo < i: the pairs with p*s + t*d < lo + i, less those with
    p*s + t*d < lo.
    """
    return _pairs_below(axis.lo + axis.i, axis) - _pairs_below(axis.lo, axis)


def _pairs_below(end: int, axis: Axis) -> int:
    """Number of pairs with p*s + t*d < end, in time logarithmic in the sizes.

    Tap t has ceil((end - t*d)/s) such positions, but at least 0 and at most o: taps
    below ``full`` have all o, and taps from ``some`` on have none.
    """
    s, d, o = axis.s, axis.d, axis.o
    some = min(axis.k, max(0, (end - 1) // d + 1))
    full = min(some, max(0, (end - 1 - (o - 1) * s) // d + 1))
    # ceil(v/s) = floor((v + s - 1)/s).  Summed from the last tap down, the numerators
    # grow by d from ``last``.
    last = end + s - 1 - (some - 1) * d
    return o * full + _sum_of_floors(some - full, s, d, last)


def _sum_of_floors(n: int, m: int, a: int, b: int) -> int:
    """The sum of floor((a*j + b)/m) over j in [0, n), by Euclid's algorithm.

    Multiples of m in a and b contribute whole numbers and are removed first.  The rest
    counts the integer points under a line of slope a/m < 1.  Counting these points
    along the other axis exchanges a and m, as a step of Euclid's algorithm does.
    """
    total = 0
    while n > 0:
        total += (n - 1) * n // 2 * (a // m) + n * (b // m)
        a, b = a % m, b % m
        top = a * n + b
        n, b, m, a = top // m, top % m, a, m
    return total


def read_extent(axis: Axis) -> Extent:
    """The inputs that the windows read, and the zeros that they read around them.

    Both paddings are non-negative: inputs that no window reads are sliced off instead
    of "padded" by a negative amount.
    """
    start, stop = max(0, -axis.lo), min(axis.i, axis.reach - axis.lo)
    return Extent(start, stop, start + axis.lo, axis.reach - axis.lo - stop)


def spread_extent(axis: Axis) -> Extent:
    """The extent for a transposed convolution written as a convolution of stride 1.

    That convolution reads the outputs with s-1 zeros between neighbours, with the
    kernel flipped.  ``start`` and ``stop`` count outputs; ``low`` and ``high`` count
    elements of the axis with zeros.  Relationships 8 to 14: its padding is d(k-1) - lo,
    and where that is negative outputs are sliced off.
    """
    first = axis.lo - (axis.span - 1)  # leftmost element read by the first result
    end = axis.lo + axis.i  # one past the last element read by the last
    start, stop = max(0, -(-first // axis.s)), min(axis.o, -(-end // axis.s))
    return Extent(start, stop, start * axis.s - first, end - (stop - 1) * axis.s - 1)
