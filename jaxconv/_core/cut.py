"""One spatial axis cut into shards, in plain ints: what each shard reads, and computes.

An axis of R shards has equal parts of ceil(size/R) elements, as XLA's partitioner lays
them out; the last parts may run past its end.  Both images are cut into R parts: inputs
of ``i`` elements, outputs of ``o``.  The elements that a shard r needs but does not
hold come from its neighbours; beyond both ends of the whole axis there are zeros.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from jaxconv._core.geometry import Axis
from jaxconv._core.spec import Role


class Window(NamedTuple):
    """The elements that shard r needs: ``size`` of them, in a buffer around its own.

    The buffer has ``low`` elements of the shards in front and ``high`` of those behind.
    The first needed one is at ``first + r*grow//over - r*own``.
    """

    low: int
    high: int
    size: int
    first: int
    grow: int
    over: int
    own: int

    def start(self, r: Any) -> Any:
        return self.first + r * self.grow // self.over - r * self.own

    @property
    def fixed(self) -> bool:
        """Whether the needed elements begin at the same place in every shard."""
        return self.grow == self.over * self.own


class Cut(NamedTuple):
    """How one shard computes its part of one axis.

    axis: the arithmetic of the shard's own contraction.
    window: what it reads of the image that it is given (the input, but the output
      where the input is what is computed).
    """

    axis: Axis
    window: Window


def part(size: int, shards: int) -> int:
    """Elements of a shard."""
    return -(-size // shards)


def cut(axis: Axis, shards: int, role: Role) -> Cut | None:
    """One axis in this many shards, or None where neighbours send too much.

    That is more than the whole axis has beyond the shard's own elements.
    """
    found = _cut_input(axis, shards) if role == "input" else _cut_output(axis, shards)
    size = axis.o if role == "input" else axis.i
    window = found.window
    return found if window.low + window.high <= size - part(size, shards) else None


def _cut_output(axis: Axis, shards: int) -> Cut:
    """Outputs [r*o, (r+1)*o) read inputs from r*o*s - lo on."""
    i, o = part(axis.i, shards), part(axis.o, shards)
    size = (o - 1) * axis.s + axis.span
    window = _window(shards, i, size, -axis.lo, o * axis.s, 1)
    return Cut(Axis(size, axis.k, o, axis.s, axis.d, 0), window)


def _cut_input(axis: Axis, shards: int) -> Cut:
    """Inputs [r*i, (r+1)*i) are read by outputs p with p*s + t*d - lo = q.

    A shard computes from the multiple of s at or below r*i on, so that its arithmetic
    is that of every other.
    """
    i, o = part(axis.i, shards), part(axis.o, shards)
    more = axis.s - 1 if i % axis.s else 0
    first = -((axis.span - 1 - axis.lo) // axis.s)
    size = max(1, (i + more - 1 + axis.lo) // axis.s - first + 1)
    window = _window(shards, o, size, first, i, axis.s)
    lo = axis.lo - first * axis.s
    return Cut(Axis(i + more, axis.k, size, axis.s, axis.d, lo), window)


def _window(
    shards: int, own: int, size: int, first: int, grow: int, over: int
) -> Window:
    """Shard r has [r*own, (r+1)*own) of the elements from first + r*grow//over on."""
    starts = [first + r * grow // over - r * own for r in range(shards)]
    low = max(0, -min(starts))
    high = max(0, max(starts) + size - own)
    return Window(low, high, size, first + low, grow, over, own)
