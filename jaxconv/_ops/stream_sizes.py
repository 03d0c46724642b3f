"""Rate, latency and receptive field of streams, in exact numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple


class StreamSizes(NamedTuple):
    """The numbers of inputs and outputs of a stream, or of several in sequence.

    Attributes:
      block: every step takes a multiple of this many inputs.
      rate: outputs per input.
      latency: the largest number of later inputs that an output needs: output q belongs
        to input floor(q/rate).  Collecting a block adds up to block - 1 inputs to it.
      receptive_field: the largest number of inputs from the first to the last that an
        output depends on (a dilated transposed convolution skips some between).
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
        """An upper bound of the last input that output q reads."""
        if self.transposed:
            return q // self.stride
        return q * self.stride - self.low + self.span - 1


def sizes(reaches: Sequence[Reach]) -> StreamSizes:
    """The sizes of streams in sequence.

    Which inputs an output reads repeats with every block, so the outputs of one block
    are enough.
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
