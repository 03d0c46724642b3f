"""``xla``: ``lax.conv_general_dilated``, for every role and every case.

Three rules keep it correct and fast.  Padding is never negative: inputs that no window
reads are sliced off first, because jaxlib 0.10 reads out of bounds otherwise.  The
dimension order is always (N, *space, C) x (*window, I, O), the only one that XLA runs
fast on a CPU inside scan, while, map and cond.  16-bit floats are summed in float32.
"""

from __future__ import annotations

import math

import jax.numpy as jnp

from jaxconv._core.axes import Input, Kernel, Output
from jaxconv._core.dtypes import accumulator
from jaxconv._core.geometry import Axis, Extent, spread_extent
from jaxconv._core.spec import Case, Spec
from jaxconv._lowerings.base import (
    Lowering,
    adjoint_kernel,
    convolve,
    cut,
    spread,
    widened_bytes,
)


def output(x: Input, w: Kernel, spec: Spec) -> Output:
    g = spec.geometry
    extents = g.read_extents
    return convolve(
        cut(x, extents),
        w,
        extents,
        spec,
        sums=accumulator(x.dtype),
        window_strides=g.stride,
        rhs_dilation=g.dilation,
        feature_group_count=spec.groups,
    )


def input(y: Output, w: Kernel, spec: Spec) -> Input:
    g = spec.geometry
    extents = g.spread_extents
    kernel = adjoint_kernel(w, spec.groups)
    by_hand = tuple(map(swapped_wrongly, g.axes, extents))
    y = spread(cut(y, extents), tuple(map(_stride_if, g.stride, by_hand)))
    rest = tuple(map(_stride_if, g.stride, (not hand for hand in by_hand)))
    return convolve(
        y,
        kernel,
        extents,
        spec,
        sums=accumulator(y.dtype),
        lhs_dilation=rest,
        rhs_dilation=g.dilation,
        feature_group_count=spec.groups,
    )


def _stride_if(stride: int, wanted: bool) -> int:
    return stride if wanted else 1


def swapped_wrongly(axis: Axis, extent: Extent) -> bool:
    """Whether a dilated input would make XLA end the process (jaxlib 0.10 to 0.12).

    XLA's conv_operand_swapper mistakes an axis with base dilation k, stride k-1 and no
    padding for a group, and does not swap it with the others; for stride 1 that is
    k = 2.  The resulting convolution fails a check.
    """
    return (axis.k, axis.s, axis.d, extent.low, extent.high) == (2, 2, 1, 0, 0)


def kernel(x: Input, y: Output, spec: Spec) -> Kernel:
    """w[t, c, o] = sum over n, p of x[n, p*s + t*d - lo, c] y[n, p, o].

    This is a convolution whose batch is c and whose channels are n: x is its image, y
    its kernel, with the stride as dilation and the dilation as stride.
    """
    g = spec.geometry
    extents = g.read_extents
    x, window = jnp.swapaxes(cut(x, extents), 0, -1), jnp.moveaxis(y, 0, -2)
    out = convolve(
        x,
        window,
        extents,
        spec,
        sums=accumulator(x.dtype),
        window_strides=g.dilation,
        rhs_dilation=g.stride,
        batch_group_count=spec.groups,
    )
    return jnp.moveaxis(out, 0, -2)


def spreads(case: Case) -> str | None:
    """What XLA's convolutions spread on a CPU, both here and in lax.

    XLA computes a grouped kernel gradient as a dense one times a mask.  It inserts real
    zeros into a dilated y, except in 2-D convolutions without groups and dilation.
    """
    g = case.geometry
    if case.role == "kernel" and case.groups > 1:
        return "from y into the kernels of other groups, as NaN, in XLA"
    stretched = case.role == "input" and max(g.stride) > 1
    if stretched and (case.groups > 1 or max(g.dilation) > 1 or g.ndim != 2):
        return "from a weight to results that do not use it, as NaN, in XLA"
    return None


def scratch(case: Case) -> int:
    """Sliced, dilated and transposed operands, and copies of all in a wider type."""
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
