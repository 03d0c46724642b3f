"""The input role by phases: each residue of the stride is a sum of shifted images."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Iterable

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

    size: the number m of elements of each phase, from ``lo // s`` on.
    crop: the elements in front of the input's first among them.
    low, high: the padding of y that all taps together read.
    taps: for each residue the taps with the first element of padded y that they read.
    """

    def __init__(self, axis: Axis):
        first = axis.lo // axis.s
        self.stride, self.wanted = axis.s, axis.i
        self.size = (axis.lo + axis.i - 1) // axis.s + 1 - first
        self.crop = axis.lo - first * axis.s
        back = [t * axis.d // axis.s for t in range(axis.k)]
        self.low = max(0, back[-1] - first)
        self.high = max(0, first + self.size - axis.o)
        self.taps: list[list[tuple[int, int]]] = [[] for _ in range(axis.s)]
        for t, b in enumerate(back):
            self.taps[t * axis.d % axis.s].append((t, first - b + self.low))


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

    def term(choice: tuple[tuple[int, int], ...]) -> jax.Array:
        tap, start = zip(*choice, strict=True)
        return weigh(window(y, start, size, one, lead), tap)

    def phase(residue: Ints) -> jax.Array:
        reach = [p.taps[r] for p, r in zip(plans, residue, strict=True)]
        terms = list(map(term, itertools.product(*reach)))
        return functools.reduce(operator.add, terms) if terms else nothing()

    def nothing() -> jax.Array:
        """The phase of a residue that no tap reaches."""
        some = jax.eval_shape(lambda: term(((0, 0),) * len(plans)))
        return jnp.zeros(some.shape, some.dtype)

    def stack(residue: Ints) -> jax.Array:
        """The phases of the remaining axes, interleaved; recurses axis by axis."""
        axis = len(residue)
        if axis == len(plans):
            return phase(residue)
        parts = [stack((*residue, r)) for r in range(plans[axis].stride)]
        if len(parts) == 1:
            return parts[0]
        out = jnp.stack(parts, axis=lead + axis + 1)
        merged = list(parts[0].shape)
        merged[lead + axis] *= len(parts)
        return out.reshape(merged)

    inside = (slice(p.crop, p.crop + p.wanted) for p in plans)
    return stack(())[(*(slice(None),) * lead, *inside)]
