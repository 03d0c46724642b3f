"""``exchange`` and ``stretch``: the kernel's gradient with x and y exchanged.

The sum over p of x[p*s + t*d - lo] y[p] is a convolution in two ways.  Usually x is the
image and y the kernel, which the stride dilates.  Here y is the image, with s-1 zeros
between its elements (lhs_dilation), and x the kernel, which is dense: with q = p*s +
t*d - lo it is the sum over q of y[(q - t*d + lo) / s] x[q], with the taps in reverse.

The channels of the kernel are the output channels of XLA's convolution, which is fast
on a CPU only if there are many (``exchange``, for stride 1).  A TPU fills more of its
matrix unit's tiles (``stretch``, for any stride).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from jaxconv._core.axes import Input, Kernel, Output
from jaxconv._core.dtypes import accumulator
from jaxconv._core.geometry import Axis, spread_extent
from jaxconv._core.spec import Case, Spec
from jaxconv._lowerings.base import (
    Lowering,
    convolve,
    cut,
    flip,
    framed_bytes,
    native_sums,
    widened_bytes,
)


def kernel(x: Input, y: Output, spec: Spec) -> Kernel:
    """The gradient for stride 1, in the order of axes that a CPU is fast in.

    The batch of the convolution are y's channels, and its channels the images.
    """
    extents = spec.geometry.spread_extents
    out = convolve(
        jnp.swapaxes(cut(y, extents), 0, -1),
        jnp.moveaxis(x, 0, -2),
        extents,
        spec,
        sums=accumulator(x.dtype),
        window_strides=spec.geometry.dilation,
    )
    return flip(jnp.moveaxis(out, 0, -1))


def stretched(x: jax.Array, y: jax.Array, spec: Spec) -> jax.Array:
    """The gradient for any stride, in the caller's layout.

    The last tap reads the dilated y from lo - d(k-1) on, as in the input role.
    """
    extents = spec.geometry.spread_extents
    n, channel, *space = spec.image_axes("input")
    taps = spec.kernel_axes
    out = convolve(
        cut(y, extents, spec.lead),
        x,
        extents,
        spec,
        (channel, n, *space),
        (channel, n, *space),
        taps,
        sums=native_sums(x, spec),
        window_strides=spec.geometry.dilation,
        lhs_dilation=spec.geometry.stride,
    )
    return lax.rev(out, taps[2:])


def _swapped_wrongly(axis: Axis) -> bool:
    """As `xla.swapped_wrongly`, for a window of x's size and steps of the dilation."""
    extent = spread_extent(axis)
    size = (axis.i, axis.d, extent.low, extent.high)
    return axis.s > 1 and size == (axis.s, axis.s - 1, 0, 0)


def refuse(case: Case) -> str | None:
    if case.groups > 1:
        return f"it does not take groups ({case.groups})"
    if any(map(_swapped_wrongly, case.geometry.axes)):
        return "XLA would stop the process over a window of the stride's size"
    return None


def refuse_stride(case: Case) -> str | None:
    return "it needs stride 1" if max(case.geometry.stride) > 1 else refuse(case)


def scratch(case: Case) -> int:
    """The dilated y, and the operands and the result transposed."""
    kept = case.bytes("input") + case.bytes("output") + case.bytes("kernel")
    return kept + framed_bytes(case, "output") + widened_bytes(case)


def spreads(case: Case) -> str | None:
    """Zeros around y and between its elements are multiplied by all of x."""
    return "from x to taps that do not read it, as NaN"


EXCHANGE = Lowering(
    "exchange",
    "the kernel's gradient as a convolution of y by x",
    {"kernel": kernel},
    refuse_stride,
    scratch,
    spreads=spreads,
)

STRETCH = Lowering(
    "stretch",
    "the kernel's gradient as a convolution of the dilated y by x",
    {"kernel": stretched},
    refuse,
    scratch,
    spreads=spreads,
    native=True,
)
