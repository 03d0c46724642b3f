"""``lax.conv_general_dilated`` in any layout, for the lowerings of accelerators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import jax

from jaxconv._core.geometry import Extent, Ints
from jaxconv._core.spec import Spec
from jaxconv._lowerings.base import XlaOptions, native_sums
from jaxconv._lowerings.base import convolve as _convolve


def convolve(
    x: jax.Array,
    w: jax.Array,
    extents: Sequence[Extent],
    spec: Spec,
    *axes: Ints,
    window_strides: Sequence[int] | None = None,
    **options: Unpack[XlaOptions],
) -> jax.Array:
    """`base.convolve` with the type of sums that suits an accelerator."""
    return _convolve(
        x,
        w,
        extents,
        spec,
        *axes,
        sums=native_sums(x, spec),
        window_strides=window_strides,
        **options,
    )


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
    n, c, *space = spec.image_axes("input")
    o, i, *window = spec.kernel_axes
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
