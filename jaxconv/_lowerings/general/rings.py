"""Rings for `fft`: the blocks of an axis, and the length of ring that each needs.

A ring is the integers modulo its size, on which the discrete Fourier transform turns
circular convolution into a product.

Overlap-save: o outputs of stride s read o*s + d(k-1) + 1 - s inputs, so each block of
``hop`` = o*s inputs also needs the first ``tail`` = d(k-1) + 1 - s of the next block.
Overlap-add is the transpose: the last ``tail`` elements of a block's result are added
to the first ones of the next.
"""

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
    """One axis: a number of equal blocks, and the size of the ring for one block."""

    axis: Axis  # of one block
    blocks: int
    size: int

    @property
    def hop(self) -> int:
        """The number of inputs from one block to the next."""
        return self.axis.o * self.axis.s

    @property
    def tail(self) -> int:
        """The number of inputs that a block shares with the next."""
        return max(self.axis.span - self.axis.s, 0)


def ring(axis: Axis, least: int | None) -> Ring:
    """One ring for the whole axis, or blocks on rings of at least ``least``.

    A ring of a given size has (size - d(k-1) - 1) // s + 1 positions.  They are divided
    evenly among the blocks.
    """
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
    # The ring must hold x from the first padding element on, the dilated y and the
    # dilated kernel, and reach as far as the last window, so that nothing wraps around.
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
    """The smallest number of the form 2^a 3^b 5^c that is at least ``least``."""
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
    """Overlap-save: moves the blocks of inputs, with their tails, into the batch.

    Zeros at the end of a ring are added by the transform.
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
    """Overlap-add, the transpose of `windows`: adds up overlapping results."""
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
    """Moves the blocks of positions into the batch."""
    for at, r in enumerate(rings, start=SPACE):
        if r.blocks > 1:
            y = pad(y, [0], [r.blocks * r.axis.o - y.shape[at]], at)
            y = y.reshape(*y.shape[:at], r.blocks, r.axis.o, *y.shape[at + 1 :])
            y = _into_batch(y, at)
    return y


def joined(y: jax.Array, g: Geometry, rings: Sequence[Ring]) -> jax.Array:
    """The inverse of `parts`: concatenates blocks, without the surplus positions."""
    for at, axis, r in _backwards(g, rings):
        if r.blocks > 1:
            y = _out_of_batch(y, r.blocks, at)
            y = y.reshape(*y.shape[:at], -1, *y.shape[at + 2 :])
            y = lax.slice_in_dim(y, 0, axis.o, axis=at)
    return y


def _backwards(g: Geometry, rings: Sequence[Ring]) -> Iterator[tuple[int, Axis, Ring]]:
    """The axes in reverse order, in which their blocks leave the batch."""
    places = range(SPACE, SPACE + g.ndim)
    return reversed(list(zip(places, g.axes, rings, strict=True)))


def _into_batch(v: jax.Array, at: int) -> jax.Array:
    v = jnp.moveaxis(v, at, 1)
    return v.reshape(-1, *v.shape[2:])


def _out_of_batch(v: jax.Array, count: int, at: int) -> jax.Array:
    return jnp.moveaxis(v.reshape(-1, count, *v.shape[1:]), 1, at)
