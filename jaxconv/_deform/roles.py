"""How the three roles of sampling are computed, for one image.

A row is a contiguous vector of channels, so one index reads all of them.  Every index
is within bounds by construction (`frame`), so none is checked here.  Sums have the type
of the weights, at least float32.

Letters: r rows, c channels, k corners, m terms, s samples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxconv._core.dtypes import accumulator
from jaxconv._core.geometry import Ints

UNROLLED = 9  # the most terms that are unrolled; more are a loop
LANES = 32  # channels per partial sum


def _take(x: jax.Array, index: jax.Array) -> jax.Array:
    return x.at[index].get(mode="promise_in_bounds")


def _term(v: jax.Array, m: Any) -> jax.Array:
    return lax.dynamic_index_in_dim(v, m, 1, keepdims=False)


def _fold(terms: int, step: Callable[[Any, jax.Array], jax.Array], start: Any) -> Any:
    """Runs ``carry = step(m, carry)`` for every term m."""
    if terms > UNROLLED:
        return lax.fori_loop(0, terms, step, start)
    for m in range(terms):
        start = step(m, start)
    return start


def samples(
    x: jax.Array, w: jax.Array, index: jax.Array, *, deltas: Ints, rows: int
) -> jax.Array:
    """From (r, c), (k, m, s), (k, m, s) to (s, c): adds up weighted rows."""

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
    """`samples` with one gather per term, from rows that contain all corners.

    It concatenates copies of the image, each shifted to another corner, along channels.
    """
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
    """From (s, c), (k, m, s), (k, m, s) to (r, c): scatter-adds weighted samples."""
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
    """From (r, c), (s, c), (k, m, s) to (k, m, s): products of samples and rows."""
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
    """From (s, c) to (s,).

    Blocks of LANES channels are added first, which XLA compiles to vector instructions.
    """
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
