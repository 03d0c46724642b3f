"""`product` with channels first: one product per image, which moves only spatial axes.

An image (n, (g, c), *space) is treated as n matrices with one row per channel.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from jaxconv._core.spec import Spec
from jaxconv._lowerings.base import einsum

LEAST = 512  # positions from which a product per image pays for a kernel's gradient


def output(x: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    """y[n, g, o, p] = sum over k of w[g, o, k] patches(x)[n, g, k, p]."""
    y = einsum("ngkp,gok->ngop", _patches(x, spec), _weights(w, spec), spec)
    return y.reshape(x.shape[0], -1, *spec.geometry.output)


def input(y: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    """patches(x)[n, g, k, p] = sum over o of w[g, o, k] y[n, g, o, p]."""
    x = einsum("ngop,gok->ngkp", _rows(y, spec), _weights(w, spec), spec)
    return _unpatch(x, spec)


def kernel(x: jax.Array, y: jax.Array, spec: Spec) -> jax.Array:
    """w[g, o, k] = sum over n and p of y[n, g, o, p] patches(x)[n, g, k, p]."""
    w = einsum("ngop,ngkp->ngok", _rows(y, spec), _patches(x, spec), spec).sum(0)
    return w.reshape(y.shape[1], -1, *spec.geometry.kernel)


def _weights(w: jax.Array, spec: Spec) -> jax.Array:
    """From ((g, o), c, *window) to (g, o, c * taps)."""
    return w.reshape(spec.groups, w.shape[0] // spec.groups, -1)


def _rows(y: jax.Array, spec: Spec) -> jax.Array:
    """From (n, (g, o), *positions) to (n, g, o, positions)."""
    n, o = y.shape[:2]
    return y.reshape(n, spec.groups, o // spec.groups, -1)


def _patches(x: jax.Array, spec: Spec) -> jax.Array:
    """im2col, from (n, (g, c), *space) to (n, g, c * taps, positions)."""
    g, ndim = spec.geometry, spec.ndim
    split: list[int] = []
    for index, axis in enumerate(g.axes, start=2):
        x = lax.slice_in_dim(x, 0, axis.reach, axis.s if axis.k == 1 else 1, index)
        split += [axis.o, axis.k]
    x = x.reshape(*x.shape[:2], *split)
    x = x.transpose(0, 1, *range(3, 2 * ndim + 2, 2), *range(2, 2 * ndim + 2, 2))
    return x.reshape(x.shape[0], spec.groups, -1, g.positions)


def _unpatch(x: jax.Array, spec: Spec) -> jax.Array:
    """The inverse of `_patches`, with zeros in inputs that no window reads."""
    g, ndim, batch = spec.geometry, spec.ndim, x.shape[0]
    x = x.reshape(batch, -1, *g.kernel, *g.output)
    pairs = [axis for a in range(ndim) for axis in (2 + ndim + a, 2 + a)]
    x = x.transpose(0, 1, *pairs)
    x = x.reshape(
        *x.shape[:2], *(o * k for o, k in zip(g.output, g.kernel, strict=True))
    )
    config = [
        (0, axis.i - axis.reach, axis.s - 1 if axis.k == 1 else 0) for axis in g.axes
    ]
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0)] * 2 + config)
