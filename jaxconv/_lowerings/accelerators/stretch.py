"""``stretch``: a strided kernel gradient with x as the window, not y.

The sum over p of x[p*s + t*d - lo] y[p] can be read the other way, as y slid over x
(see ``exchange``).  Then it is y that the stride stretches, the image of the
convolution, and its window is x, which has no holes.
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
    """The far tap reads the stretched y from lo - d(k-1) on, as the input role does."""
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


def scratch(case: Case) -> int:
    """The stretched y, and the operands and the result in order."""
    kept = case.bytes("input") + case.bytes("output") + case.bytes("kernel")
    return kept + framed_bytes(case, "output") + widened_bytes(case)


def spreads(case: Case) -> str | None:
    """Zeros around y and between its elements meet all of x."""
    return "from x to taps that do not read it, as NaN"


LOWERING = Lowering(
    "stretch",
    "the kernel's gradient with the stretched y slid over x",
    {"kernel": kernel},
    refuse,
    scratch,
    spreads=spreads,
    native=True,
)
