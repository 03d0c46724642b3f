"""The halo exchange: a shard receives elements of its neighbours."""

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
    """A shard with a halo: ``low`` elements in front and ``high`` elements behind.

    The halo comes from the neighbouring shards.  A negative number removes as many of
    the shard's own elements.  Beyond the ends of the whole axis there are zeros, or
    with ``circular`` the elements of the other end.

    name: the mesh axis, or axes, over which this axis of x is sharded.
    order: the index along these mesh axes of each shard, if it is not the shard's
      number.
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
    """The ``wanted`` nearest elements on one side, in parts, the nearest shard first.

    ``step`` is 1 if they are sent to the next shard, -1 if to the previous one.
    """
    size, hop = x.shape[axis], 0
    while wanted > 0:
        hop, count = hop + step, min(size, wanted)
        if abs(hop) >= len(order) and not circular:  # no shard is so far away
            yield jnp.zeros((*x.shape[:axis], wanted, *x.shape[axis + 1 :]), x.dtype)
            return
        start = size - count if step > 0 else 0
        part = lax.slice_in_dim(x, start, start + count, axis=axis)
        yield lax.ppermute(part, name, _pairs(order, hop, circular))
        wanted -= count


def _pairs(order: Sequence[int], hop: int, circular: bool) -> list[tuple[int, int]]:
    """Senders r and receivers r + hop; a shard without a sender receives zeros."""
    shards = len(order)
    ends = ((r, (r + hop) % shards if circular else r + hop) for r in range(shards))
    return [(order[a], order[b]) for a, b in ends if 0 <= b < shards]
