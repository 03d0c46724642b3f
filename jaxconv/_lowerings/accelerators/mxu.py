"""``mxu``: convolutions for a TPU's matrix unit, which multiplies 128 channels.

XLA has fast kernels for dense and depthwise convolutions, dilated ones and both
gradients included.  These are passed on in the caller's layout, as lax does, because
XLA chooses its own.  XLA computes groups of few channels with one more spatial axis
that is mostly zeros.  Neighbouring groups merged into blocks, with a block-diagonal
kernel, waste less (`blocks`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import jax
from jax import lax

from jaxconv._core.geometry import Extent
from jaxconv._core.spec import Case, Spec
from jaxconv._lowerings import blocks as _blocks
from jaxconv._lowerings.accelerators.native import (
    convolve,
    kernel_gradient,
)
from jaxconv._lowerings.base import (
    Lowering,
    cut,
    flip,
    framed_bytes,
    spread,
    swap_channels,
    widened_bytes,
)
from jaxconv._lowerings.general import xla


def output(x: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    g = spec.geometry
    extents = g.read_extents
    merged, axes = _blocks.merged(x, w, spec), spec.kernel_axes
    if merged > 1:
        w = _blocks.widen(w.transpose(spec.to_last("kernel")), spec.groups, merged)
        axes = spec.as_last.kernel_axes
    return convolve(
        cut(x, extents, spec.lead),
        w,
        extents,
        spec,
        spec.image_axes("input"),
        axes,
        spec.image_axes("output"),
        window_strides=g.stride,
        rhs_dilation=g.dilation,
        feature_group_count=spec.groups // merged,
    )


def input(y: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    g = spec.geometry
    extents = g.spread_extents
    merged = _blocks.merged(y, w, spec)
    o, c, *window = spec.kernel_axes
    axes = (c, o, *window)
    if spec.groups == 1:
        w = lax.rev(w, window)
    else:
        w = flip(swap_channels(w.transpose(spec.to_last("kernel")), spec.groups))
        w = _blocks.widen(w, spec.groups, merged)
        axes = spec.as_last.kernel_axes
    y, steps = _spread(cut(y, extents, spec.lead), extents, spec)
    return convolve(
        y,
        w,
        extents,
        spec,
        spec.image_axes("output"),
        axes,
        spec.image_axes("input"),
        lhs_dilation=steps,
        rhs_dilation=g.dilation,
        feature_group_count=spec.groups // merged,
    )


def _spread(
    y: jax.Array, extents: Sequence[Extent], spec: Spec
) -> tuple[jax.Array, list[int]]:
    """Dilates y on axes on which XLA must not, and returns the strides left to XLA.

    On a CPU, where this lowering runs by name only, XLA would end the process for some
    strides (`xla.swapped_wrongly`).
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
    """The diagonal parts of the blocks' dense gradients."""
    g = spec.geometry
    extents = g.read_extents
    merged = _blocks.merged(x, y, spec)
    blocks = replace(spec, groups=spec.groups // merged)
    x = cut(x, extents, spec.lead)
    w = kernel_gradient(x, y, extents, blocks, g.stride, g.dilation)
    if merged == 1:
        return w
    w = _blocks.narrow(w.transpose(spec.to_last("kernel")), spec.groups, merged)
    return w.transpose(spec.from_last("kernel"))


def spreads(case: Case) -> str | None:
    merged = _blocks.merge(case.spec, case.sizes.c, case.sizes.o)
    if case.role == "kernel" and merged == case.groups:
        return None  # the diagonal of a dense gradient is selected, not multiplied
    if case.role == "kernel" or merged == 1:
        return xla.spreads(case)
    return f"from an image into the {merged} groups of its block, as NaN"


def scratch(case: Case) -> int:
    """Sliced, dilated and transposed operands, and the block kernel twice."""
    merged = _blocks.merge(case.spec, case.sizes.c, case.sizes.o)
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
