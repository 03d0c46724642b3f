"""When the outputs of streams come, and what they have seen: in exact numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple


class StreamSizes(NamedTuple):
    """What a stream, or several behind one another, take and give.

    Attributes:
      block: a step takes a multiple of so many inputs.
      rate: outputs per input.
      latency: how many inputs after the one of its own time an output waits for, at
        most; the output with number q has the time q/rate.  What a block collects
        comes on top: its first input waits for the last, block - 1 later.
      receptive_field: the number of inputs from the first to the last that an output
        depends on, at most (taps of a dilated transposed convolution leave gaps).
    """

    block: int
    rate: Fraction
    latency: int
    receptive_field: int


class Reach(NamedTuple):
    """Which inputs an output of one stream reads."""

    transposed: bool
    stride: int
    span: int  # of the dilated kernel
    low: int

    @property
    def rate(self) -> Fraction:
        return Fraction(self.stride) if self.transposed else Fraction(1, self.stride)

    def first(self, q: int) -> int:
        """The first input that output q reads."""
        if self.transposed:
            return -((self.span - 1 - q) // self.stride)
        return q * self.stride - self.low

    def last(self, q: int) -> int:
        """The last input that output q reads, or later than any."""
        if self.transposed:
            return q // self.stride
        return q * self.stride - self.low + self.span - 1


def sizes(reaches: Sequence[Reach]) -> StreamSizes:
    """Those of streams behind one another.

    The pattern repeats with every block, so that the outputs of one block say all.
    """
    block, rate = 1, Fraction(1)
    for reach in reaches:
        rate *= reach.rate
        block = math.lcm(block, rate.denominator)
    latency, field = 0, 1
    for q in range(int(block * rate)):
        first = last = q
        for reach in reversed(reaches):
            first, last = reach.first(first), reach.last(last)
        latency = max(latency, last - math.floor(q / rate))
        field = max(field, last - first + 1)
    return StreamSizes(block, rate, latency, field)
