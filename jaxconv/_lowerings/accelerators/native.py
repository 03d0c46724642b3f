"""``lax.conv_general_dilated`` in any layout, for the lowerings of accelerators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxconv._core.dtypes import accumulator
from jaxconv._core.geometry import Extent, Ints
from jaxconv._core.spec import LETTERS, Role, Spec


def convolve(
    x: jax.Array,
    w: jax.Array,
    extents: Sequence[Extent],
    spec: Spec,
    *axes: Sequence[int],
    window_strides: Sequence[int] | None = None,
    **options: Any,
) -> jax.Array:
    """``lax.conv_general_dilated`` with the zeros of the extents as padding.

    ``axes`` are those of both operands and of the result, as in lax's
    ``ConvDimensionNumbers``; by default the output role's with channels last.

    The result of 16-bit floats has 16 bits.  GPUs and TPUs sum in float32 anyway.  With
    a float32 result, XLA would convert the operands on a GPU, so that its matrix units
    for 16 bits are not used, and write twice the bytes on a TPU.
    """
    n = spec.ndim
    image = (0, n + 1, *range(1, n + 1))
    numbers = axes or (image, (n + 1, n, *range(n)), image)
    as_is = jnp.issubdtype(x.dtype, jnp.floating) and x.dtype == spec.dtype
    return lax.conv_general_dilated(
        x,
        w,
        window_strides or (1,) * n,
        [(e.low, e.high) for e in extents],
        dimension_numbers=lax.ConvDimensionNumbers(*numbers),
        precision=spec.precision,
        preferred_element_type=None if as_is else accumulator(x.dtype),
        **options,
    )


def image_axes(spec: Spec, operand: Role) -> Ints:
    """The axes of an image in the spec's layout: batch, channels, space."""
    lead = spec.lead
    n, channel = (spec.axis(operand, letter) for letter in LETTERS[operand])
    return (n, channel, *range(lead, lead + spec.ndim))


def kernel_axes(spec: Spec) -> Ints:
    """The axes of a kernel in the spec's layout: outputs, inputs, window."""
    lead = spec.axis("kernel", "c") + 1 if spec.layout == "channels_first" else 0
    o, c = (spec.axis("kernel", letter) for letter in LETTERS["kernel"])
    return (o, c, *range(lead, lead + spec.ndim))


def kernel_gradient(
    x: jax.Array,
    y: jax.Array,
    extents: Sequence[Extent],
    spec: Spec,
    stride: Sequence[int],
    dilation: Sequence[int],
) -> jax.Array:
    """w[t, c, o] = sum over n, p of x[n, p*s + t*d - lo, c] y[n, p, o].

    This is a convolution whose batch is c and whose channels are n: x is its image, y
    its kernel, with the stride as dilation and the dilation as stride.  Operands and
    result have the spec's layout.
    """
    n, c, *space = image_axes(spec, "input")
    o, i, *window = kernel_axes(spec)
    return convolve(
        x,
        y,
        extents,
        spec,
        (c, n, *space),
        (c, n, *space),
        (i, o, *window),
        window_strides=dilation,
        rhs_dilation=stride,
        batch_group_count=spec.groups,
    )
