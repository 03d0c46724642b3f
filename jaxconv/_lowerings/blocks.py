"""Neighbouring groups merged into one block, dense but for zeros between the groups.

For units that multiply whole matrices: zeros cost nothing there that narrow groups
would not waste anyway.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jaxconv._core.spec import Spec

TILE = 128  # channels that the unit takes at once, in and out


def merged(a: jax.Array, b: jax.Array, spec: Spec) -> int:
    sizes = spec.sizes(a.shape, b.shape)
    return merge(spec, sizes.c, sizes.o)


def merge(spec: Spec, c: int, o: int) -> int:
    """How many groups make a block: what costs the unit the fewest tiles.

    One block of all groups needs no axis of blocks, and groups that fill tiles are
    quick in XLA as they are.  Any other blocks are laid out anew before and after,
    which costs about as much as the tiles, or twice that where the result does not fill
    them.  Groups that come from `vmap` are never merged: XLA lays them out again in
    any case.
    """
    groups, taps = spec.groups, spec.geometry.taps
    if spec.mapped or 1 in (c, o):
        return 1
    made = {"output": o, "input": c, "kernel": max(c, o)}[spec.role]

    def price(m: int) -> tuple[int, int]:
        """Cost in tiles; between equals XLA's own grouping first, then one block."""
        tiles = groups // m * -(-m * c // TILE) * -(-m * o // TILE)
        full = taps > 1 and m * made % TILE == 0
        if m == groups:
            return tiles, 1
        return (tiles, 0) if m == 1 and full else (tiles * (2 if full else 3), 2)

    return min((m for m in range(1, groups + 1) if groups % m == 0), key=price)


def widen(w: jax.Array, groups: int, merged: int) -> jax.Array:
    """(*window, c, (g, o)) as (*window, (m, c), (g, o)), g standing for (g/m, m)."""
    if merged == 1:
        return w
    *window, c, o = w.shape
    # Repeated and masked in two axes: with more, a TPU would fill most of a register.
    shape = (*window, merged, c, o)
    wide = jnp.broadcast_to(w[..., None, :, :], shape).reshape(*window, merged * c, o)
    return jnp.where(_same_group(c, o, groups, merged), wide, jnp.zeros((), w.dtype))


def narrow(w: jax.Array, groups: int, merged: int) -> jax.Array:
    """The inverse: of (m, c) the channels of the own group."""
    if merged == 1:
        return w
    *window, c, o = w.shape
    mask = _same_group(c // merged, o, groups, merged)
    own = jnp.where(mask, w, jnp.zeros((), w.dtype))
    # One term of each sum is not zero, so that nothing is lost in 16 bits.
    return own.reshape(*window, merged, c // merged, o).sum(-3, dtype=w.dtype)


def _same_group(c: int, o: int, groups: int, merged: int) -> jax.Array:
    """((m, c), (g, o)): whether both are of the same group of a block.

    Two lists of numbers and a comparison, which XLA folds where the result is small.
    """
    rows = np.arange(merged * c, dtype=np.int32) // c
    columns = np.arange(o, dtype=np.int32) // (o // groups) % merged
    return jnp.asarray(rows[:, None]) == jnp.asarray(columns[None])
