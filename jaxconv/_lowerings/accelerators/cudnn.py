"""``cudnn``: convolutions in the forms that XLA turns into cuDNN's own calls.

On a GPU, XLA looks for the shapes of a forward convolution and of its two gradients,
and hands each to the library as such.  What it does not recognise becomes a forward
convolution over explicit zeros: the wrong call, and many times the work.  Hence:

* The input role is a dilated convolution with a kernel that is turned last, after all
  transposes; otherwise the turn is not seen.  cuDNN has no such call for groups with a
  stride, or for a stride with a dilation, and XLA exchanges operand and kernel where
  the kernel has more elements than the image: then it is one convolution of phases.
* The kernel role of a dilated convolution has none either: the residues modulo the
  dilation join the batch, which leaves an ordinary one.
* Of uneven padding XLA makes an explicit copy, and with a dilation it fills the kernel
  with zeros as well: so padding is made even where the last window leaves room for it,
  and else, if dilated, put on first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
from jax import lax

from jaxconv._core.geometry import (
    Axis,
    Extent,
    Geometry,
    Ints,
    read_extent,
    spread_extent,
)
from jaxconv._core.spec import Case, Spec
from jaxconv._lowerings.accelerators.native import convolve, kernel_gradient
from jaxconv._lowerings.base import (
    Lowering,
    cut,
    flip,
    frame,
    framed_bytes,
    pad,
    swap_channels,
    widened_bytes,
)
from jaxconv._lowerings.general import polyphase, xla


def output(x: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    g = spec.geometry
    if any(read_extent(axis).empty for axis in g.axes):
        return jnp.zeros((x.shape[0], *g.output, w.shape[-1]), x.dtype)
    extents = [even_extent(axis) for axis in g.axes]
    return _forward(
        cut(x, extents), w, extents, spec, window_strides=g.stride, groups=spec.groups
    )


def even_extent(axis: Axis) -> Extent:
    """`read_extent`, with the freedom of less than a stride at the end put to use.

    As many inputs past the last window, or zeros, give the same windows: so nothing
    is cut off that need not be, and the high padding becomes the low one.
    """
    e, spare = read_extent(axis), axis.s - 1
    stop = axis.i if axis.i - e.stop <= spare else e.stop
    spare -= stop - e.stop
    high = e.low if e.high <= e.low <= e.high + spare else e.high
    return Extent(e.start, stop, e.low, high)


def input(y: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    g = spec.geometry
    extents = [spread_extent(axis) for axis in g.axes]
    if any(e.empty for e in extents):
        return jnp.zeros((y.shape[0], *g.input, w.shape[-2] * spec.groups), y.dtype)
    if by_phases(spec):
        return polyphase.input(y, w, spec, output)
    y, turned = cut(y, extents), flip(swap_channels(w, spec.groups))
    if max(g.stride) == 1:
        return _forward(y, turned, extents, spec, groups=spec.groups)
    return convolve(y, turned, extents, spec, lhs_dilation=g.stride)


def by_phases(spec: Spec) -> bool:
    """Whether the input role has a stride, and no call of cuDNN's for it."""
    g = spec.geometry
    if max(g.stride) == 1:
        return False
    swapped = g.taps > g.positions or any(
        xla.swapped_wrongly(axis, spread_extent(axis)) for axis in g.axes
    )
    return spec.groups > 1 or max(g.dilation) > 1 or swapped


def kernel(x: jax.Array, y: jax.Array, spec: Spec) -> jax.Array:
    g = spec.geometry
    extents = [read_extent(axis) for axis in g.axes]
    if any(e.empty for e in extents):
        c = x.shape[-1] // spec.groups
        return jnp.zeros((*g.kernel, c, y.shape[-1]), x.dtype)
    if by_residues(spec):
        x, y, g = _residues(frame(x, extents), y, g)
    else:
        x, g = _points(x, g)
    extents = [read_extent(axis) for axis in g.axes]
    last = replace(spec, layout="channels_last")
    return kernel_gradient(cut(x, extents), y, extents, last, g.stride, g.dilation)


def _points(x: jax.Array, g: Geometry) -> tuple[jax.Array, Geometry]:
    """x and its geometry where axes of one tap hold only the elements that are read."""
    lead: tuple[slice, ...] = (slice(None),)
    axes: list[Axis] = []
    for axis in g.axes:
        first, last = -axis.lo, -axis.lo + (axis.o - 1) * axis.s
        alone = axis.k == 1 and axis.s > 1 and first >= 0 and last < axis.i
        lead += (slice(first, last + 1, axis.s) if alone else slice(None),)
        axes.append(axis._replace(i=axis.o, s=1, lo=0) if alone else axis)
    return x[lead], Geometry(*zip(*axes, strict=True))


def by_residues(spec: Spec) -> bool:
    """Whether there is a dilation, without a stride there, and not too many zeros.

    XLA takes what has fewer positions left than taps for a forward convolution.
    """
    g = spec.geometry
    by = _steps(g)
    apart = all(s == 1 for d, s in zip(by, g.stride, strict=True) if d > 1)
    rows = math.prod(-(-o // d) for o, d in zip(g.output, by, strict=True))
    return max(by) > 1 and apart and filled(spec) <= 2 and rows > g.taps


def _steps(g: Geometry) -> Ints:
    """The dilation, where there is more than one tap to be apart."""
    return tuple(axis.d if axis.k > 1 else 1 for axis in g.axes)


def filled(spec: Spec) -> float:
    """How many times larger y is with zeros to whole rows of the dilation."""
    g = spec.geometry
    return math.prod(
        -(-o // d) * d / o for o, d in zip(g.output, _steps(g), strict=True)
    )


def _residues(
    x: jax.Array, y: jax.Array, g: Geometry
) -> tuple[jax.Array, jax.Array, Geometry]:
    """Positions d*q + r of framed x and of y, for each r, as further images."""
    by, one = _steps(g), (1,) * g.ndim
    rows = tuple(-(-o // d) for o, d in zip(g.output, by, strict=True))
    whole = (
        axis._replace(o=q, d=1) if d > 1 else axis
        for axis, q, d in zip(g.axes, rows, by, strict=True)
    )
    reach = tuple(axis.reach for axis in whole)
    apart = Geometry(reach, g.kernel, rows, g.stride, one, (0,) * g.ndim)
    return _apart(x, reach, by), _apart(y, rows, by), apart


def _apart(v: jax.Array, size: Sequence[int], by: Sequence[int]) -> jax.Array:
    """(n, *(size*by), c), with zeros if it is shorter, as (*by, n), *size, c."""
    n = len(size)
    space = v.shape[1 : n + 1]
    more = [q * d - i for q, d, i in zip(size, by, space, strict=True)]
    v = pad(v, (0,) * n, more)
    pairs = [part for q, d in zip(size, by, strict=True) for part in (q, d)]
    v = v.reshape(v.shape[0], *pairs, v.shape[-1])
    v = v.transpose(*range(2, 2 * n + 1, 2), 0, *range(1, 2 * n, 2), 2 * n + 1)
    return v.reshape(-1, *size, v.shape[-1])


def _forward(
    x: jax.Array,
    w: jax.Array,
    extents: list[Extent],
    spec: Spec,
    *,
    window_strides: Sequence[int] | None = None,
    groups: int,
) -> jax.Array:
    """A convolution forwards; uneven padding with a dilation is put on before it."""
    g = spec.geometry
    if max(g.dilation) > 1 and any(e.low != e.high for e in extents):
        x = pad(x, [e.low for e in extents], [e.high for e in extents])
        # Without it XLA would take the zeros back into the convolution's padding.
        x = lax.optimization_barrier(x)
        extents = [Extent(0, size, 0, 0) for size in x.shape[1:-1]]
    return convolve(
        x,
        w,
        extents,
        spec,
        window_strides=window_strides,
        rhs_dilation=g.dilation,
        feature_group_count=groups,
    )


def spreads(case: Case) -> str | None:
    phases = case.role == "input" and by_phases(case.spec)
    if case.role == "kernel" and by_residues(case.spec) and filled(case.spec) > 1:
        return "from x near the border to taps that do not read it, as NaN"
    return (polyphase if phases else xla).spreads(case)


def scratch(case: Case) -> int:
    """What is padded, turned or put in order first, and wider copies of all."""
    if case.role == "output":
        return framed_bytes(case, "input") + widened_bytes(case)
    if case.role == "input":
        if by_phases(case.spec):
            return polyphase.scratch(case)
        turned = case.bytes("kernel")
        return 2 * turned + framed_bytes(case, "output") + widened_bytes(case)
    pairs = case.groups if case.depthwise else 1  # XLA on a CPU: of all channels
    copies = framed_bytes(case, "input") + case.bytes("output")
    if by_residues(case.spec):
        # Those with zeros to whole rows, by residue, and once more in order.
        copies += 2 * math.ceil(filled(case.spec) * copies)
    return copies + pairs * case.bytes("kernel") + widened_bytes(case)


LOWERING = Lowering(
    "cudnn",
    "lax.conv_general_dilated in the forms that XLA hands to cuDNN as they are",
    {"output": output, "input": input, "kernel": kernel},
    scratch=scratch,
    spreads=spreads,
)
