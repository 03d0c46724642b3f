"""Merges neighbouring groups into dense blocks with block-diagonal kernels.

This suits matrix units, which multiply tiles of a fixed size: a group of few channels
leaves most of its tile unused anyway, so the zeros between groups cost nothing.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jaxconv._core.spec import Spec

TILE = 128  # input and output channels of one tile of the unit


def merged(a: jax.Array, b: jax.Array, spec: Spec) -> int:
    sizes = spec.sizes(a.shape, b.shape)
    return merge(spec, sizes.c, sizes.o)


def merge(spec: Spec, c: int, o: int) -> int:
    """The number of groups in a block for which the unit multiplies fewest tiles.

    One block of all groups is an ordinary dense convolution, and separate groups that
    fill tiles are fast in XLA.  With any other number of groups XLA transposes operands
    and result, which costs about as much as the tiles, or twice as much if the result
    does not fill them.  Groups that come from `vmap` are never merged, because XLA
    transposes them in any case.
    """
    groups, taps = spec.groups, spec.geometry.taps
    if spec.mapped or 1 in (c, o):
        return 1
    made = {"output": o, "input": c, "kernel": max(c, o)}[spec.role]

    def price(m: int) -> tuple[int, int]:
        """The cost in tiles; ties prefer XLA's own grouping, then one block."""
        tiles = groups // m * -(-m * c // TILE) * -(-m * o // TILE)
        full = taps > 1 and m * made % TILE == 0
        if m == groups:
            return tiles, 1
        return (tiles, 0) if m == 1 and full else (tiles * (2 if full else 3), 2)

    return min((m for m in range(1, groups + 1) if groups % m == 0), key=price)


def widen(w: jax.Array, groups: int, merged: int) -> jax.Array:
    """The block-diagonal kernel of blocks of m = ``merged`` groups.

    From (*window, c, (g, o)) to (*window, (m, c), (g, o)), where g = (g/m, m).
    """
    if merged == 1:
        return w
    *window, c, o = w.shape
    # Repeated and masked with two axes of channels: more axes would be short, and leave
    # most of a TPU's registers empty.
    shape = (*window, merged, c, o)
    wide = jnp.broadcast_to(w[..., None, :, :], shape).reshape(*window, merged * c, o)
    return jnp.where(_same_group(c, o, groups, merged), wide, jnp.zeros((), w.dtype))


def narrow(w: jax.Array, groups: int, merged: int) -> jax.Array:
    """The inverse of `widen`: selects the channels of each result's own group."""
    if merged == 1:
        return w
    *window, c, o = w.shape
    mask = _same_group(c // merged, o, groups, merged)
    own = jnp.where(mask, w, jnp.zeros((), w.dtype))
    # Each sum has one nonzero term, so 16 bits lose nothing.
    return own.reshape(*window, merged, c // merged, o).sum(-3, dtype=w.dtype)


def _same_group(c: int, o: int, groups: int, merged: int) -> jax.Array:
    """((m, c), (g, o)): whether both channels belong to the same group of a block.

    It is compared at run time from two vectors, which XLA folds if the mask is small.
    """
    rows = np.arange(merged * c, dtype=np.int32) // c
    columns = np.arange(o, dtype=np.int32) // (o // groups) % merged
    return jnp.asarray(rows[:, None]) == jnp.asarray(columns[None])
