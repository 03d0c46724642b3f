"""Sampled columns times a kernel, at once or in chunks of output positions.

The column of an output position contains the samples of its window, (taps, channels),
as in `unfold`.  All columns together are larger than the image by the number of taps.
In chunks only a part of them exists at a time.  The gradients sample again instead of
storing them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxconv._core.contract import contract
from jaxconv._core.geometry import Geometry, Ints
from jaxconv._core.spec import Layout, Spec
from jaxconv._deform.form import sample


class Samples(NamedTuple):
    """What every output position reads, for each tap and offset group."""

    first: jax.Array  # the row of the first corner, (n, positions, taps, groups)
    weights: jax.Array  # (n, corners, positions, taps, groups)
    deltas: Ints


def multiply(
    rows: jax.Array,
    samples: Samples,
    kernel: jax.Array,
    *,
    chunks: int,
    precision: Any,
) -> jax.Array:
    """From rows (n, rows, c) and a kernel (g, taps, c/g, o) to (n, positions, g*o)."""
    one = partial(
        _multiply, rows, kernel=kernel, deltas=samples.deltas, precision=precision
    )
    if chunks == 1:
        return one(samples.first, samples.weights)
    return _in_chunks(one, chunks, samples.first, samples.weights)


def _in_chunks(
    one: Callable[[jax.Array, jax.Array], jax.Array],
    chunks: int,
    index: jax.Array,
    weights: jax.Array,
) -> jax.Array:
    positions = index.shape[1]
    parts = _split(index, chunks, 1), _split(weights, chunks, 2)
    # Inside a loop XLA cannot merge the recomputation with the forward pass anyway, so
    # the barrier of prevent_cse is not needed.
    again = jax.checkpoint(one, prevent_cse=False)
    out = lax.map(lambda part: again(*part), parts)
    out = jnp.moveaxis(out, 0, 1)
    n, _, _, channels = out.shape
    return out.reshape(n, -1, channels)[:, :positions]


def _split(v: jax.Array, chunks: int, axis: int) -> jax.Array:
    """Splits an axis into equal parts, along a new first axis.

    The last part is padded with zeros: row 0 with weight 0 is a sample that contributes
    nothing.
    """
    length = -(-v.shape[axis] // chunks)
    around = [(0, 0)] * v.ndim
    around[axis] = (0, chunks * length - v.shape[axis])
    v = jnp.pad(v, around)
    before, after = v.shape[:axis], v.shape[axis + 1 :]
    return jnp.moveaxis(v.reshape(*before, chunks, length, *after), axis, 0)


def _multiply(
    rows: jax.Array,
    index: jax.Array,
    weights: jax.Array,
    *,
    kernel: jax.Array,
    deltas: Ints,
    precision: Any,
) -> jax.Array:
    n, positions, taps, groups = index.shape
    flat = positions * taps * groups
    columns = sample(
        rows,
        weights.reshape(n, len(deltas), 1, flat),
        index.reshape(n, 1, flat),
        deltas,
    )
    channels = rows.shape[2] * groups
    columns = columns.reshape(n * positions, taps, channels)
    y = _product(columns, kernel, precision)
    return y.reshape(n, positions, y.shape[-1])


def _product(columns: jax.Array, kernel: jax.Array, precision: Any) -> jax.Array:
    """From columns (p, taps, c) and a kernel (g, taps, c/g, o) to (p, g*o).

    This is a 1-D convolution whose only window contains all taps, so it is planned and
    partitioned like any other.
    """
    g, taps, c, o = kernel.shape
    geometry = Geometry((taps,), (taps,), (1,), (1,), (1,), (0,))
    dtype = np.dtype(columns.dtype)
    spec = Spec("output", geometry, g, Layout.LAST, dtype, precision)
    kernel = jnp.moveaxis(kernel, 0, 2).reshape(taps, c, g * o)
    return contract(columns, kernel, spec)[:, 0]
