"""Neighbouring groups merged into one block, dense but for zeros between the groups.

For units that multiply whole matrices: zeros cost nothing there that narrow groups
would not waste anyway.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jaxconv._lowerings._base import DIRECT
from jaxconv._spec import Spec

WIDTH = 128  # channels of a block, where there are as many


def merged(a: jax.Array, b: jax.Array, spec: Spec) -> int:
    sizes = spec.sizes(a.shape, b.shape)
    return merge(spec, sizes.c, sizes.o)


def merge(spec: Spec, c: int, o: int) -> int:
    """How many groups make a block: the least divisor of them that is wide enough.

    Wide enough are the channels of the result and the sums' terms; of a kernel's
    gradient, either operand's channels.
    """
    groups, taps = spec.groups, spec.geometry.taps
    if c == 1 or o == 1 or spec.lowering == DIRECT:
        return 1
    width = {
        "output": min(o, c * taps),
        "input": min(c, o * taps),
        "kernel": max(c, o),
    }[spec.role]
    divisors = (m for m in range(1, groups + 1) if groups % m == 0)
    return next((m for m in divisors if m * width >= WIDTH), groups)


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
