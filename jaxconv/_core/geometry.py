"""Size arithmetic of convolutions, in plain ints.  No jax here.

The letters are those of Dumoulin and Visin, "A guide to convolution arithmetic for
deep learning" (arXiv:1603.07285): input size ``i``, kernel ``k``, output ``o``, stride
``s``, padding ``p``; with dilation ``d`` and the low and high padding told apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
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
        """Extent that all windows cover together, (o-1)s + d(k-1) + 1."""
        return (self.o - 1) * self.s + self.span

    @property
    def hi(self) -> int:
        """High padding, derived; negative where the last inputs are never read.

        A convolution's floor remainder and a transposed convolution's
        ``output_padding`` are the same inputs, those past the last window.
        """
        return self.reach - self.i - self.lo


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where the windows of a convolution lie, one entry per spatial axis.

    The transposed convolution has the geometry of the convolution it undoes:
    ``input`` is the size of its result and ``output`` the size of its argument.
    """

    input: Ints
    kernel: Ints
    output: Ints
    stride: Ints
    dilation: Ints
    low: Ints

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

    @property
    def high(self) -> Ints:
        return tuple(axis.hi for axis in self.axes)

    @property
    def taps(self) -> int:
        """Number of weights in one window."""
        return math.prod(self.kernel)

    @property
    def positions(self) -> int:
        """Number of window positions, that is of outputs."""
        return math.prod(self.output)

    @property
    def valid_taps(self) -> int:
        """Pairs of a position and a tap that lie inside the input, not on padding."""
        return math.prod(valid_pairs(axis) for axis in self.axes)


class Extent(NamedTuple):
    """A stretch ``[start, stop)`` of an axis with ``low`` and ``high`` zeros around."""

    start: int
    stop: int
    low: int
    high: int

    @property
    def empty(self) -> bool:
        """Nothing of the axis is inside, only zeros."""
        return self.stop <= self.start


def span(k: int, d: int) -> int:
    """Extent of a dilated kernel, d(k-1) + 1."""
    return d * (k - 1) + 1


def output_size(i: int, k: int, s: int, d: int, lo: int, hi: int) -> int:
    """Outputs of a convolution, floor((i + lo + hi - d(k-1) - 1)/s) + 1.

    Relationships 1 to 6, and 15 with dilation.  Below 1 where the kernel does not fit.
    """
    return (i + lo + hi - span(k, d)) // s + 1


def input_size(o: int, k: int, s: int, d: int, lo: int, hi: int, op: int) -> int:
    """Size of a transposed convolution's result, (o-1)s - lo - hi + d(k-1) + op + 1.

    Relationships 8 to 14, solved for the convolution's input; ``op`` is Relationship
    14's ``a``, the inputs past the last window.
    """
    return (o - 1) * s - lo - hi + span(k, d) + op


def same_padding(i: int, k: int, s: int, d: int) -> int:
    """Total padding that gives ceil(i/s) outputs (lax's "SAME")."""
    return max((-(-i // s) - 1) * s + span(k, d) - i, 0)


def valid_pairs(axis: Axis) -> int:
    """How many pairs of a position and a tap read the input rather than padding.

    0 <= p*s + t*d - lo < i holds where p*s + t*d is below lo + i and not below lo.
    """
    return _pairs_below(axis.lo + axis.i, axis) - _pairs_below(axis.lo, axis)


def _pairs_below(end: int, axis: Axis) -> int:
    """Pairs with p*s + t*d < end, in as many steps as the sizes have digits.

    Tap t has ceil((end - t*d)/s) such positions, but at most o: the first ``full`` taps
    have all o, and those from ``some`` on have none.
    """
    s, d, o = axis.s, axis.d, axis.o
    some = min(axis.k, max(0, (end - 1) // d + 1))
    full = min(some, max(0, (end - 1 - (o - 1) * s) // d + 1))
    last = end + s - 1 - (some - 1) * d  # the numerator at the last of these taps
    return o * full + _sum_of_floors(some - full, s, d, last)


def _sum_of_floors(n: int, m: int, a: int, b: int) -> int:
    """The sum of floor((a*j + b)/m) over j below n, as Euclid's algorithm goes.

    Whole multiples of m in a and b are taken out; what is left counts the points of a
    lattice under a line, and counting them along the other axis exchanges a and m.
    """
    total = 0
    while n > 0:
        total += (n - 1) * n // 2 * (a // m) + n * (b // m)
        a, b = a % m, b % m
        top = a * n + b
        n, b, m, a = top // m, top % m, a, m
    return total


def read_extent(axis: Axis) -> Extent:
    """The inputs that the windows read, and the zeros they read around them.

    Both paddings are non-negative: what no window reaches is cut, never "padded" by
    a negative amount.
    """
    start, stop = max(0, -axis.lo), min(axis.i, axis.reach - axis.lo)
    return Extent(start, stop, start + axis.lo, axis.reach - axis.lo - stop)


def spread_extent(axis: Axis) -> Extent:
    """The same for a transposed convolution, seen as a convolution of stride 1.

    Its input is the outputs with s-1 zeros between them, its kernel the turned one.
    ``start`` and ``stop`` count outputs, ``low`` and ``high`` elements of the spread
    axis.  Relationships 8 to 14: the border is d(k-1) - lo, which crops if negative.
    """
    first = axis.lo - (axis.span - 1)  # leftmost element read by the first result
    end = axis.lo + axis.i  # one past the last element read by the last
    start, stop = max(0, -(-first // axis.s)), min(axis.o, -(-end // axis.s))
    return Extent(start, stop, start * axis.s - first, end - (stop - 1) * axis.s - 1)
