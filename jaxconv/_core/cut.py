"""One spatial axis sharded over R devices, in plain ints: what each reads and computes.

A shard has ceil(size/R) elements, as in XLA's partitioner; the last shards may run past
the end of the axis.  Both images are sharded: R parts of ``i`` inputs and R parts of
``o`` outputs.  The elements that a shard needs but does not hold, its halo, come from
its neighbours; beyond both ends of the whole axis there are zeros.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from jaxconv._core.geometry import Axis
from jaxconv._core.spec import Role


class Window(NamedTuple):
    """The ``size`` elements that shard r needs, in a buffer around its ``own``.

    All shards run the same program, so each buffer has a halo of ``low`` elements in
    front and ``high`` behind, the most that any shard needs.  In this buffer the needed
    elements of shard r begin at ``first + r*grow//over - r*own``.
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
        """Whether the needed elements begin at the same index in every shard."""
        return self.grow == self.over * self.own


class Cut(NamedTuple):
    """How one shard computes its part of one axis.

    axis: the sizes of the contraction that the shard computes.
    window: what it reads of the image that is its operand: the output for the role
      "input", else the input.
    """

    axis: Axis
    window: Window


def part(size: int, shards: int) -> int:
    """The number of elements of one shard."""
    return -(-size // shards)


def cut(axis: Axis, shards: int, role: Role) -> Cut | None:
    """One axis in this many shards, or None where the halo is too large to pay.

    It is too large if it has more elements than all other shards hold: then gathering
    the whole axis moves less.
    """
    found = _cut_input(axis, shards) if role == "input" else _cut_output(axis, shards)
    size = axis.o if role == "input" else axis.i
    window = found.window
    return found if window.low + window.high <= size - part(size, shards) else None


def _cut_output(axis: Axis, shards: int) -> Cut:
    """For shard r: outputs [r*o, (r+1)*o) read ``size`` inputs from r*o*s - lo on."""
    i, o = part(axis.i, shards), part(axis.o, shards)
    size = (o - 1) * axis.s + axis.span
    window = _window(shards, i, size, -axis.lo, o * axis.s, 1)
    return Cut(Axis(size, axis.k, o, axis.s, axis.d, 0), window)


def _cut_input(axis: Axis, shards: int) -> Cut:
    """For shard r: inputs [r*i, (r+1)*i) are sums over the outputs that read them.

    Output p reads input q with tap t if p*s + t*d - lo = q, so the first output that
    reads input q is p = ceil((q + lo - d(k-1))/s).  Which taps meet input q depends on
    q mod s.  A shard begins at the multiple of s at or below r*i, ``more`` elements
    early at most, so that the same taps meet the same places in every shard.
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
    """The window of shards that own [r*own, (r+1)*own) of an axis.

    Shard r reads ``size`` elements of that axis, from first + r*grow//over on.
    """
    starts = [first + r * grow // over - r * own for r in range(shards)]
    low = max(0, -min(starts))
    high = max(0, max(starts) + size - own)
    return Window(low, high, size, first + low, grow, over, own)
