"""``taps``: one matrix product per tap, over all positions.

For one tap a convolution is a matrix product, (positions, channels) times (channels,
outputs).  So the output is the sum over taps of products of shifted images with slices
of the kernel, and each slice of the kernel's gradient is a product of a shifted input
with the output.  Large products are added up in a loop over taps, and if a single image
is large, in a loop over images too.
"""

from __future__ import annotations

import functools
import math
import operator

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxconv._core.axes import Input, Kernel, Output
from jaxconv._core.dtypes import accumulator
from jaxconv._core.geometry import Geometry, Ints
from jaxconv._core.spec import Case, Role, Spec
from jaxconv._lowerings.base import (
    Lowering,
    adjoint_kernel,
    dot,
    frame,
    framed_bytes,
    summed_bytes,
)
from jaxconv._lowerings.images import window

LARGE = 1 << 20  # bytes of products from which a loop over taps is faster


def output(x: Input, w: Kernel, spec: Spec) -> Output:
    """y = sum over t of shifted(x, t) w[t]."""
    g = spec.geometry
    x = frame(x, g.read_extents)
    return _sum_of_products(x, w, g.output, spec)


def input(y: Output, w: Kernel, spec: Spec) -> Input:
    """The output role of the flipped kernel, for stride 1."""
    g = spec.geometry
    w = adjoint_kernel(w, spec.groups)
    y = frame(y, g.spread_extents)
    return _sum_of_products(y, w, g.input, spec)


def kernel(x: Input, y: Output, spec: Spec) -> Kernel:
    """w[t] = shifted(x, t)ᵀ y."""
    g = spec.geometry
    x = frame(x, g.read_extents)
    if accumulator(x.dtype) != x.dtype:
        return _products_in_a_loop(x, y, spec)
    rows = y.reshape(-1, y.shape[-1])
    products = [
        dot(shifted(x, tap, g.output, g), rows, ((0,), (0,)), spec)
        for tap in np.ndindex(g.kernel)
    ]
    return jnp.stack(products).reshape(*g.kernel, x.shape[-1], y.shape[-1])


def _products_in_a_loop(x: jax.Array, y: jax.Array, spec: Spec) -> jax.Array:
    """The kernel role for 16-bit types, whose products need the summed axis last."""
    g = spec.geometry
    x, y = jnp.moveaxis(x, -1, 0), jnp.moveaxis(y, -1, 0).reshape(y.shape[-1], -1)

    def product(start: jax.Array) -> jax.Array:
        part = _part(x, start, g.output, g.stride, 2)
        return dot(part.reshape(x.shape[0], -1), y, ((1,), (1,)), spec)

    w = lax.map(product, _starts(spec))
    return w.reshape(*g.kernel, x.shape[0], y.shape[0])


def _sum_of_products(x: jax.Array, w: jax.Array, size: Ints, spec: Spec) -> jax.Array:
    n, o = x.shape[0], w.shape[-1]
    by_image, looped = _loops(n, math.prod(size) * o * accumulator(x.dtype).itemsize)
    if by_image and n > 1:
        one = functools.partial(_sum_of_products, w=w, size=size, spec=spec)
        return lax.map(lambda image: one(image[None])[0], x)
    if looped:
        return _sum_in_a_loop(x, w, size, spec)
    terms = (
        dot(shifted(x, tap, size, spec.geometry), w[tap], ((1,), (0,)), spec)
        for tap in np.ndindex(spec.geometry.kernel)
    )
    total = functools.reduce(operator.add, terms)
    return total.reshape(n, *size, o)


def _loops(n: int, size: int) -> tuple[bool, bool]:
    """Whether to loop over images and over taps, by the bytes of an image's product."""
    return size >= LARGE // 2, n * size >= LARGE or size >= LARGE // 2


def _sum_in_a_loop(x: jax.Array, w: jax.Array, size: Ints, spec: Spec) -> jax.Array:
    stride = spec.geometry.stride
    starts, w = _starts(spec), w.reshape(-1, *w.shape[-2:])

    def add(t: jax.Array, total: jax.Array) -> jax.Array:
        part = _part(x, starts[t], size, stride, 1).reshape(-1, x.shape[-1])
        return total + dot(part, w[t], ((1,), (0,)), spec)

    rows = (x.shape[0] * math.prod(size), w.shape[-1])
    total = lax.fori_loop(0, len(w), add, jnp.zeros(rows, accumulator(x.dtype)))
    return total.reshape(x.shape[0], *size, w.shape[-1])


def _starts(spec: Spec) -> jax.Array:
    """The first element that each tap reads, (taps, axes)."""
    taps = np.array(list(np.ndindex(spec.geometry.kernel)), np.int32)
    return jnp.asarray(taps * np.array(spec.geometry.dilation, np.int32))


def _part(
    x: jax.Array, start: jax.Array, size: Ints, stride: Ints, lead: int
) -> jax.Array:
    """The elements that a tap reads; the spatial axes begin at ``lead``."""
    n = len(size)
    reach = [(p - 1) * s + 1 for p, s in zip(size, stride, strict=True)]
    at, shape = [jnp.zeros((), start.dtype)] * x.ndim, list(x.shape)
    at[lead : lead + n], shape[lead : lead + n] = list(start), reach
    part = lax.dynamic_slice(x, at, shape)
    return window(part, (0,) * n, size, stride, lead)


def shifted(x: jax.Array, tap: Ints, size: Ints, g: Geometry) -> jax.Array:
    """The elements that a tap reads at all positions, as (positions, channels)."""
    return window(x, g.start(tap), size, g.stride).reshape(-1, x.shape[-1])


def refuse(case: Case) -> str | None:
    if case.groups > 1:
        return f"it does not take groups ({case.groups})"
    if case.role == "input" and max(case.geometry.stride) > 1:
        return "the input role needs stride 1"
    return None


def scratch(case: Case) -> int:
    """The padded image, and a shifted image or a product for every tap."""
    if case.role == "kernel":
        return _kernel_scratch(case)
    image: Role = "output" if case.role == "input" else "input"
    (n, c, o), product = case.sizes, summed_bytes(case)
    positions = n * math.prod(case.spec.space(case.role))
    shifted = positions * (o if case.role == "input" else c) * case.dtype.itemsize
    framed = framed_bytes(case, image)
    by_image, looped = _loops(n, product // max(1, n))
    if looped:
        return framed + (shifted + 3 * product) // (n if by_image else 1) + product
    return framed + case.geometry.taps * max(shifted, product) + shifted + product


def _kernel_scratch(case: Case) -> int:
    """The same for the kernel role; in a loop both operands are transposed too.

    A processor without 16-bit units also needs y in the wider type.
    """
    g, (n, c, _) = case.geometry, case.sizes
    framed, product = framed_bytes(case, "input"), 2 * summed_bytes(case)
    shifted = n * c * g.positions * accumulator(case.dtype).itemsize
    if accumulator(case.dtype) != case.dtype:
        wide = accumulator(case.dtype).itemsize // case.dtype.itemsize
        return 2 * framed + shifted + (1 + wide) * case.bytes("output") + product
    pairs = g.taps * max(shifted, product // g.taps) + shifted + product // g.taps
    return framed + pairs


LOWERING = Lowering(
    "taps",
    "one matrix product per tap",
    {"output": output, "input": input, "kernel": kernel},
    refuse,
    scratch,
)
