"""``taps``: one matrix product per tap, over all positions.

Without its taps a convolution is a matrix product: positions times channels.  So the
output is a sum of products of shifted images with the kernel's slices, and each slice
of the kernel's gradient is a product of the shifted input with the output.
"""

from __future__ import annotations

import functools
import math
import operator

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxconv._geometry import Ints, read_extent, spread_extent
from jaxconv._lowerings._base import (
    Lowering,
    accumulator,
    flip,
    frame,
    framed_bytes,
    summed_bytes,
    swap_channels,
)
from jaxconv._spec import Case, Role, Spec


def output(x: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    """y = sum over t of shifted(x, t) w[t]."""
    g = spec.geometry
    extents = [read_extent(axis) for axis in g.axes]
    x = frame(x, extents)
    return _sum_of_products(x, w, g.output, g.stride, spec)


def input(y: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    """With stride 1: the output role of the turned kernel."""
    g = spec.geometry
    extents = [spread_extent(axis) for axis in g.axes]
    w = swap_channels(flip(w), spec.groups)
    y = frame(y, extents)
    return _sum_of_products(y, w, g.input, g.stride, spec)


def kernel(x: jax.Array, y: jax.Array, spec: Spec) -> jax.Array:
    """w[t] = shifted(x, t)^T y."""
    g = spec.geometry
    extents = [read_extent(axis) for axis in g.axes]
    x = frame(x, extents)
    rows = y.reshape(-1, y.shape[-1])
    products = [
        _dot(shifted(x, tap, g.output, g.stride, spec), rows, 0, spec)
        for tap in np.ndindex(g.kernel)
    ]
    return jnp.stack(products).reshape(*g.kernel, x.shape[-1], y.shape[-1])


def _sum_of_products(
    x: jax.Array, w: jax.Array, size: Ints, stride: Ints, spec: Spec
) -> jax.Array:
    terms = (
        _dot(shifted(x, tap, size, stride, spec), w[tap], 1, spec)
        for tap in np.ndindex(spec.geometry.kernel)
    )
    total = functools.reduce(operator.add, terms)
    return total.reshape(x.shape[0], *size, w.shape[-1])


def shifted(x: jax.Array, tap: Ints, size: Ints, stride: Ints, spec: Spec) -> jax.Array:
    """What a tap reads at every position, as (positions, channels)."""
    start = [t * d for t, d in zip(tap, spec.geometry.dilation, strict=True)]
    stop = [b + (n - 1) * s + 1 for b, n, s in zip(start, size, stride, strict=True)]
    x = x[(slice(None), *map(slice, start, stop, stride))]
    return x.reshape(-1, x.shape[-1])


def _dot(a: jax.Array, b: jax.Array, contracted: int, spec: Spec) -> jax.Array:
    return lax.dot_general(
        a,
        b,
        (((contracted,), (0,)), ((), ())),
        precision=spec.precision,
        preferred_element_type=accumulator(a.dtype),
    )


def refuse(case: Case) -> str | None:
    if case.groups > 1:
        return f"it does not take groups ({case.groups})"
    if case.role == "input" and max(case.geometry.stride) > 1:
        return "the input role needs stride 1"
    return None


def scratch(case: Case) -> int:
    """The padded image; and a shifted image or a product for every tap at once."""
    g, (n, c, o) = case.geometry, case.sizes
    image: Role = "output" if case.role == "input" else "input"
    shifted = n * c * g.positions
    product = summed_bytes(case)
    if case.role == "input":
        shifted = n * o * math.prod(g.input)
    if case.role == "kernel":
        product = 2 * product // g.taps
    wide = accumulator(case.dtype) if case.role == "kernel" else case.dtype
    shifted *= wide.itemsize
    pairs = g.taps * max(shifted, product) + shifted + product
    return framed_bytes(case, image) + pairs


LOWERING = Lowering(
    "taps",
    "one matrix product per tap",
    {"output": output, "input": input, "kernel": kernel},
    refuse,
    scratch,
)
