"""Channels as stacks of maps: a convolution's input, its kernel and its output."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from jaxconv.viz._marks import MARGIN, WIDTH, Cell, Mark, Text

MAP, KERNEL = 52.0, 24.0  # sides of a map and of a slice of a kernel
STEP = 9.0  # from one map of a stack to the next
HEIGHT = 116.0  # of the page's part with the stacks
BASELINE = 100.0  # below the first map of a stack


class Stacks(NamedTuple):
    """Where three stacks stand, side by side, whose maps lie behind one another."""

    inputs: int
    depth: int  # slices of the kernel of one output channel
    outputs: int

    @property
    def labels(self) -> list[Mark]:
        words = ("input", "its kernel", "output")
        places = zip(self._lefts, words, strict=True)
        return [Text(x, BASELINE + 14, word) for x, word in places]

    def marks(self, read: Collection[int], out: int) -> list[Mark]:
        """The channels that are read, the slices that weigh them, and their sum."""
        kinds = ("input", "kernel", "output")
        counts, sides = (self.inputs, self.depth, self.outputs), (MAP, KERNEL, MAP)
        lit = (read, range(self.depth), {out})
        return [
            mark
            for kind, x, count, side, on in zip(
                kinds, self._lefts, counts, sides, lit, strict=True
            )
            for mark in _stack(kind, x, count, side, on)
        ]

    @property
    def _lefts(self) -> tuple[float, float, float]:
        widths = [
            side + _step(count) * (count - 1)
            for side, count in (
                (MAP, self.inputs),
                (KERNEL, self.depth),
                (MAP, self.outputs),
            )
        ]
        gap = (WIDTH - 2 * MARGIN - sum(widths)) / 4
        first = MARGIN + gap
        second = first + widths[0] + gap
        return first, second, second + widths[1] + gap


def _step(count: int) -> float:
    """Smaller for many, so that every stack is as wide as the page has room."""
    return min(STEP, 60.0 / max(1, count - 1))


def _stack(
    kind: str, x: float, count: int, side: float, on: Collection[int]
) -> list[Mark]:
    """From the last one, at the back, to the first."""
    step, rise = _step(count), min(_step(count), 36.0 / max(1, count - 1))
    top = BASELINE - side
    return [
        Cell(x + step * c, top - rise * c, side, f"{kind}-lit" if c in on else kind)
        for c in reversed(range(count))
    ]
