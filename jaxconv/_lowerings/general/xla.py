"""``xla``: ``lax.conv_general_dilated``, for every role and every case.

Three habits keep it right and quick.  Padding is never negative: what no window reaches
is cut off first (jaxlib 0.10 reads out of bounds otherwise).  The dimension order is
always (N, *space, C) x (*window, I, O), which is the only one that XLA runs fast on a
CPU inside scan, while, map and cond.  Sums of 16-bit floats are taken in float32.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import lax

from jaxconv._core.dtypes import accumulator
from jaxconv._core.geometry import Axis, Extent, Ints, read_extent, spread_extent
from jaxconv._core.spec import Case, Spec
from jaxconv._lowerings.base import (
    Lowering,
    cut,
    flip,
    spread,
    swap_channels,
    widened_bytes,
)


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
    by_hand = tuple(map(swapped_wrongly, g.axes, extents))
    y = spread(cut(y, extents), tuple(map(_stride_if, g.stride, by_hand)))
    rest = tuple(map(_stride_if, g.stride, (not hand for hand in by_hand)))
    return _conv(y, kernel, extents, spec, lhs_dilation=rest, rhs_dilation=g.dilation)


def _stride_if(stride: int, wanted: bool) -> int:
    return stride if wanted else 1


def swapped_wrongly(axis: Axis, extent: Extent) -> bool:
    """Whether XLA would kill the process over a dilated input (jaxlib 0.10 to 0.12).

    Its conv_operand_swapper takes an axis of base dilation k, stride k-1 and no padding
    for a group and does not swap it with the others; of stride 1 that is k = 2.  The
    convolution it makes then fails a check.
    """
    return (axis.k, axis.s, axis.d, extent.low, extent.high) == (2, 2, 1, 0, 0)


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


def spreads(case: Case) -> str | None:
    """What XLA's own convolutions do on a CPU, lax's as well as these.

    Groups of a kernel's gradient are a dense one times a mask.  Only 2-D convolutions
    of a stretched y are not formed with the zeros in between.
    """
    g = case.geometry
    if case.role == "kernel" and case.groups > 1:
        return "from y into the kernels of other groups, as NaN, in XLA"
    stretched = case.role == "input" and max(g.stride) > 1
    if stretched and (case.groups > 1 or max(g.dilation) > 1 or g.ndim != 2):
        return "from a weight to results that other taps make, as NaN, in XLA"
    return None


def scratch(case: Case) -> int:
    """What is cut off, spread or put in order first, and wider copies of all."""
    x, w, y = map(case.bytes, ("input", "kernel", "output"))
    if case.role == "output":
        return x + widened_bytes(case)
    if case.role == "input":
        axes = case.geometry.axes
        spread = (a.s for a in axes if swapped_wrongly(a, spread_extent(a)))
        return w + y * math.prod(spread) + widened_bytes(case)
    # XLA computes a depthwise kernel's gradient for every pair of channels.
    pairs = case.groups if case.depthwise else 1
    return x + y + w * pairs + widened_bytes(case)


LOWERING = Lowering(
    "xla",
    "lax.conv_general_dilated in its fast dimension order, never with negative padding",
    {"output": output, "input": input, "kernel": kernel},
    scratch=scratch,
    spreads=spreads,
)
