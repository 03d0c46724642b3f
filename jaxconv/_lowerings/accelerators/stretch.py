"""``stretch``: a strided kernel gradient as a convolution of y by x.

The sum over p of x[p*s + t*d - lo] y[p] is a convolution in two ways.  Usually x is the
image and y the kernel, which the stride dilates.  Here y is the image, with s-1 zeros
between its elements (lhs_dilation), and x the kernel, which is dense (see
``exchange``).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from jaxconv._core.geometry import Axis, spread_extent
from jaxconv._core.spec import Case, Spec
from jaxconv._lowerings.accelerators.native import convolve, image_axes, kernel_axes
from jaxconv._lowerings.base import Lowering, cut, framed_bytes, widened_bytes


def kernel(x: jax.Array, y: jax.Array, spec: Spec) -> jax.Array:
    """The last tap comes first, and reads dilated y from lo - d(k-1) on.

    The result is flipped at the end.
    """
    g = spec.geometry
    extents = [spread_extent(axis) for axis in g.axes]
    if any(e.empty for e in extents):
        return jnp.zeros(spec.result_shape(x.shape, y.shape), x.dtype)
    n, channel, *space = image_axes(spec, "input")
    taps = kernel_axes(spec)
    out = convolve(
        cut(y, extents, spec.lead),
        x,
        extents,
        spec,
        (channel, n, *space),
        (channel, n, *space),
        taps,
        window_strides=g.dilation,
        lhs_dilation=g.stride,
    )
    return lax.rev(out, taps[2:])


def _swapped_wrongly(axis: Axis) -> bool:
    """`xla.swapped_wrongly` for a kernel of x's size and a stride of the dilation."""
    extent = spread_extent(axis)
    size = (axis.i, axis.d, extent.low, extent.high)
    return axis.s > 1 and size == (axis.s, axis.s - 1, 0, 0)


def refuse(case: Case) -> str | None:
    if case.groups > 1:
        return f"it does not take groups ({case.groups})"
    if any(map(_swapped_wrongly, case.geometry.axes)):
        return "XLA would stop the process over a window of the stride's size"
    return None


def scratch(case: Case) -> int:
    """The dilated y, and transposed operands and result."""
    kept = case.bytes("input") + case.bytes("output") + case.bytes("kernel")
    return kept + framed_bytes(case, "output") + widened_bytes(case)


def spreads(case: Case) -> str | None:
    """Zeros around y and between its elements are multiplied by all of x."""
    return "from x to taps that do not read it, as NaN"


LOWERING = Lowering(
    "stretch",
    "the kernel's gradient as a convolution of the dilated y by x",
    {"kernel": kernel},
    refuse,
    scratch,
    spreads=spreads,
    native=True,
)
