"""One convolution as XLA has it, for the lowerings that accelerators run."""

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
    """``lax.conv_general_dilated`` over the extents' zeros.

    ``axes`` are those of both operands and of the result, as in lax's
    ``ConvDimensionNumbers``; by default the output role's with channels last.

    16-bit floats stay as they are.  GPUs and TPUs add them up in float32 anyway, but
    asked for a result in float32, XLA has a GPU convert the operands, which costs the
    fast units, and a TPU write twice the bytes.
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
    """Batch, channels, space of an image in the spec's layout."""
    lead = spec.lead
    n, channel = (spec.axis(operand, letter) for letter in LETTERS[operand])
    return (n, channel, *range(lead, lead + spec.ndim))


def kernel_axes(spec: Spec) -> Ints:
    """Channels out, channels in, window."""
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
    """Batch and channels trade places: x's channels are the batch, y is the window.

    All three in the spec's layout.
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
