"""Steps that the lowerings of depthwise convolutions share."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxconv._geometry import Ints

LARGE = 1 << 24  # bytes of an image beyond which fresh memory costs more than a core


def window(x: jax.Array, start: Ints, size: Ints, stride: Ints) -> jax.Array:
    """The elements start, start + stride, ... of the spatial axes."""
    stop = tuple(
        b + (n - 1) * s + 1 for b, n, s in zip(start, size, stride, strict=True)
    )
    return x[(slice(None), *map(slice, start, stop, stride))]


def repeat(x: jax.Array, multiplier: int) -> jax.Array:
    return x if multiplier == 1 else jnp.repeat(x, multiplier, axis=-1)
