"""``mxu``: convolutions for the 128 channels of a TPU's matrix unit.

XLA has fast kernels there for dense and for depthwise convolutions, dilated ones and
both gradients included, and they get them as lax would: in the caller's layout, of
which it makes its own.  Groups of few channels become one more spatial axis in XLA, of
which most is zeros.  Neighbouring groups merged into a block of about 128 channels,
with zeros in the kernel between them, waste less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxconv._geometry import Extent, read_extent, spread_extent
from jaxconv._lowerings import xla
from jaxconv._lowerings._base import (
    DIRECT,
    Lowering,
    cut,
    flip,
    framed_bytes,
    spread,
    swap_channels,
    widened_bytes,
)
from jaxconv._lowerings._native import (
    convolve,
    image_axes,
    kernel_axes,
    kernel_gradient,
)
from jaxconv._spec import Case, Spec

WIDTH = 128  # channels of a block, where there are as many


def output(x: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    g = spec.geometry
    extents = [read_extent(axis) for axis in g.axes]
    if any(e.empty for e in extents):
        return jnp.zeros(spec.result_shape(x.shape, w.shape), x.dtype)
    merged, axes = _merged(x, w, spec), kernel_axes(spec)
    if merged > 1:
        w = _widen(w.transpose(spec.to_last("kernel")), spec.groups, merged)
        axes = kernel_axes(replace(spec, layout="channels_last"))
    return convolve(
        cut(x, extents, spec.lead),
        w,
        extents,
        spec,
        image_axes(spec, "input"),
        axes,
        image_axes(spec, "output"),
        window_strides=g.stride,
        rhs_dilation=g.dilation,
        feature_group_count=spec.groups // merged,
    )


def input(y: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    g = spec.geometry
    extents = [spread_extent(axis) for axis in g.axes]
    if any(e.empty for e in extents):
        return jnp.zeros(spec.result_shape(y.shape, w.shape), y.dtype)
    merged = _merged(y, w, spec)
    o, c, *window = kernel_axes(spec)
    axes = (c, o, *window)
    if spec.groups == 1:
        w = lax.rev(w, window)
    else:
        w = flip(swap_channels(w.transpose(spec.to_last("kernel")), spec.groups))
        w = _widen(w, spec.groups, merged)
        axes = kernel_axes(replace(spec, layout="channels_last"))
    y, steps = _spread(cut(y, extents, spec.lead), extents, spec)
    return convolve(
        y,
        w,
        extents,
        spec,
        image_axes(spec, "output"),
        axes,
        image_axes(spec, "input"),
        lhs_dilation=steps,
        rhs_dilation=g.dilation,
        feature_group_count=spec.groups // merged,
    )


def _spread(
    y: jax.Array, extents: Sequence[Extent], spec: Spec
) -> tuple[jax.Array, list[int]]:
    """y with the zeros that XLA must not insert itself, and those left to it.

    On a CPU, where this runs by name, XLA would stop the process over some strides.
    """
    g = spec.geometry
    by_hand = [xla.swapped_wrongly(*pair) for pair in zip(g.axes, extents, strict=True)]
    pairs = list(zip(g.stride, by_hand, strict=True))
    if any(by_hand):
        ours = tuple(s if hand else 1 for s, hand in pairs)
        y = spread(y.transpose(spec.to_last("output")), ours)
        y = y.transpose(spec.from_last("output"))
    return y, [1 if hand else s for s, hand in pairs]


def kernel(x: jax.Array, y: jax.Array, spec: Spec) -> jax.Array:
    """Of the blocks' dense gradients, what lies within the groups."""
    g = spec.geometry
    extents = [read_extent(axis) for axis in g.axes]
    if any(e.empty for e in extents):
        return jnp.zeros(spec.result_shape(x.shape, y.shape), x.dtype)
    merged = _merged(x, y, spec)
    blocks = replace(spec, groups=spec.groups // merged)
    x = cut(x, extents, spec.lead)
    w = kernel_gradient(x, y, extents, blocks, g.stride, g.dilation)
    if merged == 1:
        return w
    w = _narrow(w.transpose(spec.to_last("kernel")), spec.groups, merged)
    return w.transpose(spec.from_last("kernel"))


def _merged(a: jax.Array, b: jax.Array, spec: Spec) -> int:
    sizes = spec.sizes(a.shape, b.shape)
    return merge(spec, sizes.c, sizes.o)


def merge(spec: Spec, c: int, o: int) -> int:
    """How many groups make a block: the least divisor of them that is wide enough.

    Wide enough are the channels of the result and the sums' terms; of a kernel's
    gradient, either operand's channels.
    """
    groups, taps = spec.groups, spec.geometry.taps
    if c == 1 or o == 1 or spec.lowering == DIRECT:
        return 1
    width = {
        "output": min(o, c * taps),
        "input": min(c, o * taps),
        "kernel": max(c, o),
    }[spec.role]
    divisors = (m for m in range(1, groups + 1) if groups % m == 0)
    return next((m for m in divisors if m * width >= WIDTH), groups)


def _widen(w: jax.Array, groups: int, merged: int) -> jax.Array:
    """(*window, c, (g, o)) as (*window, (m, c), (g, o)), g standing for (g/m, m)."""
    if merged == 1:
        return w
    *window, c, o = w.shape
    # Repeated and masked in two axes: with more, a TPU would fill most of a register.
    shape = (*window, merged, c, o)
    wide = jnp.broadcast_to(w[..., None, :, :], shape).reshape(*window, merged * c, o)
    return jnp.where(_same_group(c, o, groups, merged), wide, jnp.zeros((), w.dtype))


def _narrow(w: jax.Array, groups: int, merged: int) -> jax.Array:
    """The inverse: of (m, c) the channels of the own group."""
    *window, c, o = w.shape
    mask = _same_group(c // merged, o, groups, merged)
    own = jnp.where(mask, w, jnp.zeros((), w.dtype))
    # One term of each sum is not zero, so that nothing is lost in 16 bits.
    return own.reshape(*window, merged, c // merged, o).sum(-3, dtype=w.dtype)


def _same_group(c: int, o: int, groups: int, merged: int) -> jax.Array:
    """((m, c), (g, o)): whether both are of the same group of a block."""
    rows, columns = (lax.broadcasted_iota(np.int32, (merged * c, o), i) for i in (0, 1))
    return rows // c == columns // (o // groups) % merged


def spreads(case: Case) -> str | None:
    merged = merge(case.spec, case.sizes.c, case.sizes.o)
    if case.role == "kernel" and merged == case.groups:
        return None  # one dense gradient, of which the groups' own part is taken
    if case.role == "kernel" or merged == 1:
        return xla.spreads(case)
    return f"from an image into the {merged} groups of its block, as NaN"


def scratch(case: Case) -> int:
    """What is cut off, spread or put in order first, and the wide kernel twice."""
    merged = merge(case.spec, case.sizes.c, case.sizes.o)
    image = framed_bytes(case, "output" if case.role == "input" else "input")
    other = case.bytes("output") if case.role == "kernel" else 0
    kernels = 2 * merged * case.bytes("kernel")
    return image + other + kernels + xla.scratch(case) + widened_bytes(case)


LOWERING = Lowering(
    "mxu",
    "lax.conv_general_dilated, narrow groups merged into blocks of 128 channels",
    {"output": output, "input": input, "kernel": kernel},
    scratch=scratch,
    spreads=spreads,
    native=True,
)
