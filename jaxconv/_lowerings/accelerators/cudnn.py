"""``cudnn``: convolutions in the forms that XLA recognises and compiles to cuDNN calls.

On a GPU, XLA's pattern matcher recognises a forward convolution and its gradients with
respect to input and kernel, and replaces each by the cuDNN call for it.  Other forms
become a forward convolution over explicit zeros, which is many times the work.  So:

* The input role is a convolution with a dilated input (lhs_dilation) and a kernel that
  is flipped after all transposes; otherwise XLA does not see the flip.  cuDNN has no
  such call for groups with a stride, nor for a stride with a dilation.  XLA also
  exchanges operand and kernel if the kernel has more elements than the image.  In these
  cases the polyphase form is used, which is one forward convolution.
* cuDNN has no call for the kernel role of a dilated convolution.  Position p of x and y
  is written as d*q + r.  A tap's offset t*d is a multiple of d, so it connects only
  positions of the same residue r: the residues are moved into the batch, and what is
  left is the kernel role of a convolution without dilation.
* XLA copies operands to apply asymmetric padding, and with a dilation also fills the
  kernel with zeros.  So padding is made symmetric if the stride leaves unused elements
  behind the last window; otherwise, with a dilation, the padding is a separate step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
from jax import lax

from jaxconv._core.axes import Input, Kernel, Output
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


def output(x: Input, w: Kernel, spec: Spec) -> Output:
    g = spec.geometry
    extents = [even_extent(axis) for axis in g.axes]
    return _forward(
        cut(x, extents), w, extents, spec, window_strides=g.stride, groups=spec.groups
    )


def even_extent(axis: Axis) -> Extent:
    """`read_extent` with symmetric padding, where possible, and fewer inputs cut off.

    Up to stride - 1 inputs or zeros behind the last window change no window.  They are
    used to keep inputs that need not be sliced off, and to raise the high padding to
    the low one.
    """
    e, spare = read_extent(axis), axis.s - 1
    stop = axis.i if axis.i - e.stop <= spare else e.stop
    spare -= stop - e.stop
    high = e.low if e.high <= e.low <= e.high + spare else e.high
    return Extent(e.start, stop, e.low, high)


def input(y: Output, w: Kernel, spec: Spec) -> Input:
    g = spec.geometry
    extents = g.spread_extents
    if by_phases(spec):
        return polyphase.input(y, w, spec, output)
    y, flipped = cut(y, extents), flip(swap_channels(w, spec.groups))
    if max(g.stride) == 1:
        return _forward(y, flipped, extents, spec, groups=spec.groups)
    return convolve(y, flipped, extents, spec, lhs_dilation=g.stride)


def by_phases(spec: Spec) -> bool:
    """Whether the input role has a stride, and cuDNN has no call for it."""
    g = spec.geometry
    if max(g.stride) == 1:
        return False
    swapped = g.taps > g.positions or any(
        xla.swapped_wrongly(axis, spread_extent(axis)) for axis in g.axes
    )
    return spec.groups > 1 or max(g.dilation) > 1 or swapped


def kernel(x: Input, y: Output, spec: Spec) -> Kernel:
    g = spec.geometry
    extents = g.read_extents
    if by_residues(spec):
        x, y, g = _residues(frame(x, extents), y, g)
    else:
        x, g = _points(x, g)
    extents = g.read_extents
    last = spec.as_last
    return kernel_gradient(cut(x, extents), y, extents, last, g.stride, g.dilation)


def _points(x: jax.Array, g: Geometry) -> tuple[jax.Array, Geometry]:
    """Slices axes with one tap to the elements that are read; their stride becomes 1.

    Returns x and its geometry after that.
    """
    lead: tuple[slice, ...] = (slice(None),)
    axes: list[Axis] = []
    for axis in g.axes:
        first, last = -axis.lo, -axis.lo + (axis.o - 1) * axis.s
        alone = axis.k == 1 and axis.s > 1 and first >= 0 and last < axis.i
        lead += (slice(first, last + 1, axis.s) if alone else slice(None),)
        axes.append(axis._replace(i=axis.o, s=1, lo=0) if alone else axis)
    return x[lead], Geometry.of(axes)


def by_residues(spec: Spec) -> bool:
    """Whether to move the residues of a dilation into the batch.

    The dilated axes must have stride 1, and rounding their sizes up to multiples of the
    dilation may at most double y.  With no more positions than taps left, XLA would
    take the result for a forward convolution.
    """
    g = spec.geometry
    by = _steps(g)
    apart = all(s == 1 for d, s in zip(by, g.stride, strict=True) if d > 1)
    rows = math.prod(-(-o // d) for o, d in zip(g.output, by, strict=True))
    return max(by) > 1 and apart and filled(spec) <= 2 and rows > g.taps


def _steps(g: Geometry) -> Ints:
    """The dilation of each axis; 1 if the axis has one tap, to which it is nothing."""
    return tuple(axis.d if axis.k > 1 else 1 for axis in g.axes)


def filled(spec: Spec) -> float:
    """The factor by which y grows if its sizes become multiples of the dilation."""
    g = spec.geometry
    return math.prod(
        -(-o // d) * d / o for o, d in zip(g.output, _steps(g), strict=True)
    )


def _residues(
    x: jax.Array, y: jax.Array, g: Geometry
) -> tuple[jax.Array, jax.Array, Geometry]:
    """Moves the residues r of positions d*q + r of framed x and of y into the batch."""
    by = _steps(g)
    rows = (-(-o // d) for o, d in zip(g.output, by, strict=True))
    axes = (axis._replace(o=q, d=1, lo=0) for axis, q in zip(g.axes, rows, strict=True))
    apart = Geometry.of(axis._replace(i=axis.reach) for axis in axes)
    return _to_batch(x, apart.input, by), _to_batch(y, apart.output, by), apart


def _to_batch(v: jax.Array, size: Sequence[int], by: Sequence[int]) -> jax.Array:
    """From (n, *(size*by), c), zero-padded to that size, to ((*by, n), *size, c)."""
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
    extents: Sequence[Extent],
    spec: Spec,
    *,
    window_strides: Sequence[int] | None = None,
    groups: int,
) -> jax.Array:
    """A forward convolution; pads first if padding is asymmetric and taps dilated."""
    g = spec.geometry
    if max(g.dilation) > 1 and any(e.low != e.high for e in extents):
        x = pad(x, [e.low for e in extents], [e.high for e in extents])
        # The barrier keeps XLA from merging the zeros into the convolution's padding.
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
    """Padded, flipped and transposed operands, and copies of all in a wider type."""
    if case.role == "output":
        return framed_bytes(case, "input") + widened_bytes(case)
    if case.role == "input":
        if by_phases(case.spec):
            return polyphase.scratch(case)
        turned = case.bytes("kernel")
        return 2 * turned + framed_bytes(case, "output") + widened_bytes(case)
    # XLA computes a depthwise kernel's gradient for all pairs of channels on a CPU.
    pairs = case.groups if case.depthwise else 1
    copies = framed_bytes(case, "input") + case.bytes("output")
    if by_residues(case.spec):
        # Both are zero-padded to multiples of the dilation, and then transposed.
        copies += 2 * math.ceil(filled(case.spec) * copies)
    return copies + pairs * case.bytes("kernel") + widened_bytes(case)


LOWERING = Lowering(
    "cudnn",
    "lax.conv_general_dilated in the forms that XLA hands to cuDNN as they are",
    {"output": output, "input": input, "kernel": kernel},
    scratch=scratch,
    spreads=spreads,
)
