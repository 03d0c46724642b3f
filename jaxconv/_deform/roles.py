"""How the sampler's three roles are computed, for one image.

Rows are contiguous channels, so that one index serves a whole vector of them; every
index is known to lie inside (`_frame` sees to it), so that none is checked here.  Sums
are made in the weights' type, which is at least float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxconv._core.dtypes import accumulator
from jaxconv._core.geometry import Ints

UNROLLED = 9  # so many terms are written out, more are a loop
LANES = 32  # channels that are multiplied side by side before they are added up


def _take(x: jax.Array, index: jax.Array) -> jax.Array:
    return x.at[index].get(mode="promise_in_bounds")


def _term(v: jax.Array, m: Any) -> jax.Array:
    return lax.dynamic_index_in_dim(v, m, 1, keepdims=False)


def _fold(terms: int, step: Callable[[Any, jax.Array], jax.Array], start: Any) -> Any:
    """step(m, carry) for every term m."""
    if terms > UNROLLED:
        return lax.fori_loop(0, terms, step, start)
    for m in range(terms):
        start = step(m, start)
    return start


def samples(
    x: jax.Array, w: jax.Array, index: jax.Array, *, deltas: Ints, rows: int
) -> jax.Array:
    """(r, c), (k, m, s), (k, m, s) to (s, c): each corner's row times its weight."""

    def step(m: Any, total: jax.Array) -> jax.Array:
        places, weights = _term(index, m), _term(w, m)
        for k in range(len(deltas)):
            row = _take(x, places[k]).astype(w.dtype)
            total = total + weights[k][:, None] * row
        return total

    zero = jnp.zeros((index.shape[2], x.shape[1]), w.dtype)
    return _fold(index.shape[1], step, zero)


def packed_samples(
    x: jax.Array, w: jax.Array, index: jax.Array, *, deltas: Ints, rows: int
) -> jax.Array:
    """The same by one gather of rows that hold all corners side by side."""
    c = x.shape[1]
    wide = jnp.pad(x, ((0, max(deltas)), (0, 0)))
    corners = [lax.slice_in_dim(wide, delta, delta + rows) for delta in deltas]
    together = jnp.concatenate(corners, axis=1)

    def step(m: Any, total: jax.Array) -> jax.Array:
        row = _take(together, _term(index, m)[0]).astype(w.dtype)
        weights = _term(w, m)
        for k in range(len(deltas)):
            total = total + weights[k][:, None] * row[:, k * c : (k + 1) * c]
        return total

    return _fold(index.shape[1], step, jnp.zeros((index.shape[2], c), w.dtype))


def image(
    y: jax.Array, w: jax.Array, index: jax.Array, *, deltas: Ints, rows: int
) -> jax.Array:
    """(s, c), (k, m, s), (k, m, s) to (r, c): adds to each corner's row."""
    y = y.astype(w.dtype)

    def step(m: Any, total: jax.Array) -> jax.Array:
        places, weights = _term(index, m), _term(w, m)
        for k in range(len(deltas)):
            update = weights[k][:, None] * y
            total = total.at[places[k]].add(update, mode="promise_in_bounds")
        return total

    return _fold(index.shape[1], step, jnp.zeros((rows, y.shape[1]), w.dtype))


def weights(
    x: jax.Array, y: jax.Array, index: jax.Array, *, deltas: Ints, rows: int
) -> jax.Array:
    """(r, c), (s, c), (k, m, s) to (k, m, s): products of samples and corners."""
    wide = accumulator(x.dtype)
    y = y.astype(wide)

    def one(m: Any) -> jax.Array:
        taken = (_take(x, place).astype(wide) for place in _term(index, m))
        return jnp.stack([_sum_channels(row * y) for row in taken])

    terms = index.shape[1]
    if terms > UNROLLED:
        return jnp.moveaxis(lax.map(one, jnp.arange(terms)), 0, 1)
    return jnp.stack([one(m) for m in range(terms)], axis=1)


def _sum_channels(v: jax.Array) -> jax.Array:
    """(s, c) to (s,): lanes are added first, which XLA makes vector sums of."""
    c = v.shape[1]
    parts = [v[:, at : at + LANES] for at in range(0, c - LANES + 1, LANES)]
    if not parts:
        return v.sum(1)
    total = sum(parts[1:], parts[0]) @ jnp.ones(LANES, v.dtype)
    return total + v[:, len(parts) * LANES :].sum(1) if c % LANES else total


ROLES: dict[tuple[str, bool], Callable[..., jax.Array]] = {
    ("samples", False): samples,
    ("samples", True): packed_samples,
    ("image", False): image,
    ("image", True): image,
    ("weights", False): weights,
    ("weights", True): weights,
}
