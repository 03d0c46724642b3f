"""Rings for `fft`: how an axis is cut into blocks, and how long a ring each needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxconv._core.geometry import Axis, Geometry, read_extent
from jaxconv._lowerings.base import pad

SPACE = 3  # axes before space: n, g, c; g, o, c; n, g, o


class Ring(NamedTuple):
    """One axis: its blocks, each with the same windows, and the ring they fit on."""

    axis: Axis  # of one block
    blocks: int
    size: int

    @property
    def hop(self) -> int:
        """Inputs from one block to the next."""
        return self.axis.o * self.axis.s

    @property
    def tail(self) -> int:
        """Inputs that a block shares with the next."""
        return max(self.axis.span - self.axis.s, 0)


def ring(axis: Axis, least: int | None) -> Ring:
    """The whole axis as one block, or blocks on rings of at least ``least``."""
    whole = _ring(axis, 1)
    if least is None or whole.size <= least:
        return whole
    size = fast_length(least)
    positions = (size - axis.span) // axis.s + 1
    tail = max(axis.span - axis.s, 0)
    count = -(-axis.o // max(positions, 1))
    positions = -(-axis.o // count)
    if count < 2 or positions * axis.s < tail:
        return whole
    block = axis._replace(i=positions * axis.s + tail, o=positions, lo=0)
    return _ring(block, count)


def _ring(axis: Axis, count: int) -> Ring:
    e = read_extent(axis)
    size = max(
        axis.reach - e.low,
        e.low + e.stop - e.start,
        (axis.o - 1) * axis.s + 1,
        axis.span,
        axis.i if count > 1 else 1,
    )
    return Ring(axis, count, fast_length(size))


def fast_length(least: int) -> int:
    """The smallest product of twos, threes and fives that is not below ``least``."""
    best = 1 << max(least - 1, 0).bit_length()
    five = 1
    while five < best:
        three = five
        while three < best:
            two = 1 << max(-(-least // three) - 1, 0).bit_length()
            best = min(best, three * two)
            three *= 3
        five *= 5
    return best


def windows(x: jax.Array, g: Geometry, rings: Sequence[Ring]) -> jax.Array:
    """Each block of inputs, which join the batch; blocks overlap by their last inputs.

    The zeros that follow what is read are left to the transform.
    """
    for at, (axis, r) in enumerate(zip(g.axes, rings, strict=True), start=SPACE):
        e = read_extent(axis)
        x = lax.slice_in_dim(x, e.start, e.stop, axis=at)
        length = e.low + e.stop - e.start
        high = 0 if r.blocks == 1 else (r.blocks + 1) * r.hop - length
        x = pad(x, [e.low], [high], at)
        if r.blocks > 1:
            x = x.reshape(*x.shape[:at], r.blocks + 1, r.hop, *x.shape[at + 1 :])
            own = lax.slice_in_dim(x, 0, r.blocks, axis=at)
            next_ones = lax.slice_in_dim(x, 1, None, axis=at)
            next_ones = lax.slice_in_dim(next_ones, 0, r.tail, axis=at + 1)
            x = _into_batch(jnp.concatenate([own, next_ones], at + 1), at)
    return x


def overlapped(x: jax.Array, g: Geometry, rings: Sequence[Ring]) -> jax.Array:
    """The transpose: blocks of results added up where they overlap."""
    for at, axis, r in _backwards(g, rings):
        e = read_extent(axis)
        if r.blocks > 1:
            x = _out_of_batch(x, r.blocks, at)
            own = lax.slice_in_dim(x, 0, r.hop, axis=at + 1)
            over = lax.slice_in_dim(x, r.hop, r.hop + r.tail, axis=at + 1)
            x = pad(own, [0], [1], at) + pad(over, [1, 0], [0, r.hop - r.tail], at)
            x = x.reshape(*x.shape[:at], -1, *x.shape[at + 2 :])
        x = lax.slice_in_dim(x, e.low, e.low + e.stop - e.start, axis=at)
        x = pad(x, [e.start], [axis.i - e.stop], at)
    return x


def parts(y: jax.Array, rings: Sequence[Ring]) -> jax.Array:
    """Each block of positions, which join the batch."""
    for at, r in enumerate(rings, start=SPACE):
        if r.blocks > 1:
            y = pad(y, [0], [r.blocks * r.axis.o - y.shape[at]], at)
            y = y.reshape(*y.shape[:at], r.blocks, r.axis.o, *y.shape[at + 1 :])
            y = _into_batch(y, at)
    return y


def joined(y: jax.Array, g: Geometry, rings: Sequence[Ring]) -> jax.Array:
    """The inverse: blocks of positions in a row, and none too many."""
    for at, axis, r in _backwards(g, rings):
        if r.blocks > 1:
            y = _out_of_batch(y, r.blocks, at)
            y = y.reshape(*y.shape[:at], -1, *y.shape[at + 2 :])
            y = lax.slice_in_dim(y, 0, axis.o, axis=at)
    return y


def _backwards(g: Geometry, rings: Sequence[Ring]) -> Iterator[tuple[int, Axis, Ring]]:
    """The axes in the order in which their blocks leave the batch."""
    places = range(SPACE, SPACE + g.ndim)
    return reversed(list(zip(places, g.axes, rings, strict=True)))


def _into_batch(v: jax.Array, at: int) -> jax.Array:
    v = jnp.moveaxis(v, at, 1)
    return v.reshape(-1, *v.shape[2:])


def _out_of_batch(v: jax.Array, count: int, at: int) -> jax.Array:
    return jnp.moveaxis(v.reshape(-1, count, *v.shape[1:]), 1, at)
