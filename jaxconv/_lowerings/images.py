"""Steps of lowerings that add up shifted images, tap by tap, in either layout."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxconv._core.dtypes import accumulator
from jaxconv._core.geometry import Ints
from jaxconv._core.spec import Spec

LARGE = 1 << 24  # bytes of an image above which allocating a copy costs too much


def window(
    x: jax.Array, start: Ints, size: Ints, stride: Ints, lead: int = 1
) -> jax.Array:
    """``size`` elements start, start + stride, ... of each spatial axis."""
    stop = tuple(
        b + (n - 1) * s + 1 for b, n, s in zip(start, size, stride, strict=True)
    )
    return x[(*(slice(None),) * lead, *map(slice, start, stop, stride))]


def repeat(x: jax.Array, multiplier: int, spec: Spec) -> jax.Array:
    """Repeats every channel once for each of its kernels (the channel multiplier)."""
    if multiplier == 1:
        return x
    return jnp.repeat(x, multiplier, axis=spec.axis("input", "c"))


def tap_weights(w: jax.Array, spec: Spec) -> jax.Array:
    """A depthwise kernel as (*window, ...); a tap's weights broadcast to images."""
    n = spec.ndim
    wide = w.astype(accumulator(w.dtype))
    if spec.layout.last:  # (*window, 1, channels)
        return wide.reshape(*w.shape[:n], *(1,) * (n + 1), w.shape[-1])
    moved = jnp.moveaxis(wide, (0, 1), (-2, -1))  # (*window, channels, 1)
    return moved.reshape(*w.shape[2:], 1, w.shape[0], *(1,) * n)
