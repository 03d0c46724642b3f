"""The input role by phases: each residue of the stride is a sum of shifted images."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Iterable, Sequence

import jax
import jax.numpy as jnp

from jaxconv._core.geometry import Axis, Ints
from jaxconv._lowerings.base import pad
from jaxconv._lowerings.images import window


class Phases:
    """One axis of the result in phases: elements m*s + r for each residue r.

    Result u, counted from the first padding element, is the sum over the taps t and
    positions p with u = p*s + t*d.  For u = m*s + r this is p*s = m*s + r - t*d, so the
    taps of phase r are those with t*d = r modulo s, and tap t reads y[m - t*d // s].

    first, size: the elements m of each phase, ``size`` of them from lo // s on.
    crop: the elements in front of the input's first among them.
    width: t*d // s is at most d(k-1) // s, so a phase reads windows of one more.
    low, high: the padding of y that all taps together read.
    start: the first element of padded y that a phase reads.
    """

    def __init__(self, axis: Axis):
        self.axis = axis
        self.first = axis.lo // axis.s
        self.size = (axis.lo + axis.i - 1) // axis.s + 1 - self.first
        self.crop = axis.lo - self.first * axis.s
        self.width = (axis.span - 1) // axis.s + 1
        self.low = max(0, self.width - 1 - self.first)
        self.high = max(0, self.first + self.size - axis.o)
        self.start = self.first - (self.width - 1) + self.low

    @property
    def inside(self) -> slice:
        """The input's elements among those of all phases in order."""
        return slice(self.crop, self.crop + self.axis.i)

    @property
    def taps(self) -> list[list[tuple[int, int]]]:
        """The taps of each residue, with the first element of y that each reads."""
        found: list[list[tuple[int, int]]] = [[] for _ in range(self.axis.s)]
        for t in range(self.axis.k):
            back, residue = divmod(t * self.axis.d, self.axis.s)
            found[residue].append((t, self.first - back + self.low))
        return found


def by_phases(
    y: jax.Array,
    axes: Iterable[Axis],
    lead: int,
    weigh: Callable[[jax.Array, Ints], jax.Array],
) -> jax.Array:
    """The input role by phases; the spatial axes of y begin at ``lead``.

    ``weigh(part, tap)`` multiplies a part of y by the weights of one tap.
    """
    plans = [Phases(axis) for axis in axes]
    y = pad(y, [p.low for p in plans], [p.high for p in plans], lead)
    size, one = tuple(p.size for p in plans), (1,) * len(plans)
    taps = [p.taps for p in plans]

    def term(choice: tuple[tuple[int, int], ...]) -> jax.Array:
        tap, start = zip(*choice, strict=True)
        return weigh(window(y, start, size, one, lead), tap)

    def phase(residue: Ints) -> jax.Array:
        reach = [each[r] for each, r in zip(taps, residue, strict=True)]
        terms = list(map(term, itertools.product(*reach)))
        return functools.reduce(operator.add, terms) if terms else nothing()

    def nothing() -> jax.Array:
        """The phase of a residue that no tap reaches."""
        some = jax.eval_shape(lambda: term(((0, 0),) * len(plans)))
        return jnp.zeros(some.shape, some.dtype)

    return interleave(phase, plans, lead)


def interleave(
    phase: Callable[[Ints], jax.Array], plans: Sequence[Phases], lead: int
) -> jax.Array:
    """The input's elements out of all phases; ``phase`` computes that of a residue."""

    def stack(residue: Ints) -> jax.Array:
        """The phases of the remaining axes, interleaved; recurses axis by axis."""
        axis = len(residue)
        if axis == len(plans):
            return phase(residue)
        parts = [stack((*residue, r)) for r in range(plans[axis].axis.s)]
        return in_turn(parts, lead + axis)

    return stack(())[(*(slice(None),) * lead, *(p.inside for p in plans))]


def in_turn(parts: Sequence[jax.Array], axis: int) -> jax.Array:
    """The first elements of all parts along an axis, then the second ones, ..."""
    if len(parts) == 1:
        return parts[0]
    merged = list(parts[0].shape)
    merged[axis] *= len(parts)
    return jnp.stack(parts, axis + 1).reshape(merged)
