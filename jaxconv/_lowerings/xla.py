"""``xla``: ``lax.conv_general_dilated``, for every role and every case.

Three habits keep it right and quick.  Padding is never negative: what no window reaches
is cut off first (jaxlib 0.10 reads out of bounds otherwise).  The dimension order is
always (N, *space, C) x (*window, I, O), which is the only one that XLA runs fast on a
CPU inside scan, while, map and cond.  Sums of 16-bit floats are taken in float32.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from jaxconv._geometry import Extent, Geometry, Ints, read_extent, spread_extent
from jaxconv._lowerings._base import (
    Lowering,
    accumulator,
    cut,
    flip,
    spread,
    swap_channels,
)
from jaxconv._spec import Spec


def output(x: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    g = spec.geometry
    extents = [read_extent(axis) for axis in g.axes]
    if any(e.empty for e in extents):
        return jnp.zeros((x.shape[0], *g.output, w.shape[-1]), x.dtype)
    return _conv(
        cut(x, extents), w, extents, spec, strides=g.stride, rhs_dilation=g.dilation
    )


def input(y: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    g = spec.geometry
    extents = [spread_extent(axis) for axis in g.axes]
    kernel = swap_channels(flip(w), spec.groups)
    if any(e.empty for e in extents):
        return jnp.zeros((y.shape[0], *g.input, kernel.shape[-1]), y.dtype)
    y = cut(y, extents)
    if _fatal(y.shape[1:-1], g):
        return _conv(
            spread(y, g.stride), kernel, extents, spec, rhs_dilation=g.dilation
        )
    return _conv(
        y, kernel, extents, spec, lhs_dilation=g.stride, rhs_dilation=g.dilation
    )


def kernel(x: jax.Array, y: jax.Array, spec: Spec) -> jax.Array:
    """Batch and channels trade places: x's channels are the batch, y is the window."""
    g = spec.geometry
    extents = [read_extent(axis) for axis in g.axes]
    if any(e.empty for e in extents):
        c = x.shape[-1] // spec.groups
        return jnp.zeros((*g.kernel, c, y.shape[-1]), x.dtype)
    x, window = jnp.swapaxes(cut(x, extents), 0, -1), jnp.moveaxis(y, 0, -2)
    out = _conv(
        x,
        window,
        extents,
        spec,
        strides=g.dilation,
        rhs_dilation=g.stride,
        by_batch=True,
    )
    return jnp.moveaxis(out, 0, -2)


def _conv(
    x: jax.Array,
    w: jax.Array,
    extents: list[Extent],
    spec: Spec,
    *,
    strides: Ints | None = None,
    lhs_dilation: Ints | None = None,
    rhs_dilation: Ints | None = None,
    by_batch: bool = False,
) -> jax.Array:
    n = spec.ndim
    axes = (0, n + 1, *range(1, n + 1))
    return lax.conv_general_dilated(
        x,
        w,
        strides or (1,) * n,
        [(e.low, e.high) for e in extents],
        lhs_dilation,
        rhs_dilation,
        lax.ConvDimensionNumbers(axes, (n + 1, n, *range(n)), axes),
        feature_group_count=1 if by_batch else spec.groups,
        batch_group_count=spec.groups if by_batch else 1,
        precision=spec.precision,
        preferred_element_type=accumulator(x.dtype),
    )


def _fatal(space: Ints, g: Geometry) -> bool:
    """Whether XLA might kill the process over a dilated input (jaxlib 0.10 to 0.12).

    Its algebraic simplifier swaps input and kernel of some small convolutions and then
    fails a check.  In 4,692 sampled cases all 26 fatal ones had a kernel longer than
    the input on some axis.
    """
    longer = any(k > i for k, i in zip(g.kernel, space, strict=True))
    return longer and max(g.stride) > 1


LOWERING = Lowering(
    "xla",
    "lax.conv_general_dilated in its fast dimension order, never with negative padding",
    {"output": output, "input": input, "kernel": kernel},
)
