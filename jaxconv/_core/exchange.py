"""Elements that travel between neighbouring shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def around(
    x: jax.Array,
    low: int,
    high: int,
    axis: int,
    name: Any,
    *,
    order: Sequence[int] | None = None,
    circular: bool = False,
) -> jax.Array:
    """A shard with ``low`` elements of those in front and ``high`` of those behind.

    Below zero, as many of its own are cut off.  ``name`` is the mesh axis, or axes,
    that this axis of x is cut over, and ``order`` has for each shard its place along
    them, where that is not the shard's number.  Beyond the ends of the whole axis there
    are zeros, or with ``circular`` the other end.
    """
    send = partial(
        _from, x, axis, name, order or range(lax.axis_size(name)), circular=circular
    )
    front, behind = list(send(low, 1))[::-1], list(send(high, -1))
    x = lax.slice_in_dim(x, max(0, -low), x.shape[axis] - max(0, -high), axis=axis)
    return jnp.concatenate([*front, x, *behind], axis) if front + behind else x


def _from(
    x: jax.Array,
    axis: int,
    name: Any,
    order: Sequence[int],
    wanted: int,
    step: int,
    circular: bool,
) -> Iterator[jax.Array]:
    """The nearest elements of the shards on one side, the nearest shard first."""
    size, hop = x.shape[axis], 0
    while wanted > 0:
        hop, count = hop + step, min(size, wanted)
        if abs(hop) >= len(order) and not circular:  # beyond the ends of the whole
            yield jnp.zeros((*x.shape[:axis], wanted, *x.shape[axis + 1 :]), x.dtype)
            return
        start = size - count if step > 0 else 0
        part = lax.slice_in_dim(x, start, start + count, axis=axis)
        yield lax.ppermute(part, name, _pairs(order, hop, circular))
        wanted -= count


def _pairs(order: Sequence[int], hop: int, circular: bool) -> list[tuple[int, int]]:
    """Shard r sends to shard r + hop; one that none sends to gets zeros."""
    shards = len(order)
    ends = ((r, (r + hop) % shards if circular else r + hop) for r in range(shards))
    return [(order[a], order[b]) for a, b in ends if 0 <= b < shards]
