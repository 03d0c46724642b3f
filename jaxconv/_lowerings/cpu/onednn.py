"""``onednn``: oneDNN's convolutions, the ones that PyTorch runs on a CPU.

jaxlib's wheels for Linux contain oneDNN (`onednn_call`).  The plan's place says where
it can be called; ``refuse`` says for which contractions.

XLA can call oneDNN's forward convolution only.  The input role with stride 1 is a
forward convolution with the flipped kernel.  With a larger stride it is one for each
residue of the stride, with the taps that reach that residue.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import jax
import jax.numpy as jnp

from jaxconv._core.axes import Input, Kernel, Output
from jaxconv._core.geometry import Axis, Geometry, Ints, read_extent
from jaxconv._core.spec import OPERANDS, Case, Spec
from jaxconv._lowerings.base import Lowering, flip, swap_channels, widened_bytes
from jaxconv._lowerings.cpu.onednn_call import Axes, call

# With bfloat16 and float16 oneDNN ended the process or returned wrong values, even on
# processors with the instructions: jaxlib 0.10.2, AMX, groups, or kernels wider than
# the image.
TYPE = "float32"
MOST_BYTES = 2**31 - 1  # of an array: oneDNN's kernels keep offsets in 32 bits
LONGEST = 2**24  # of an axis with its padding, a stride, or a dilated kernel
MOST_AXES = 3
MOST_CALLS = 64  # of the input role, one for each residue of the stride


def output(x: Input, w: Kernel, spec: Spec) -> Output:
    return _convolve(x, w, spec.geometry, spec.groups)


def _convolve(
    x: jax.Array, w: jax.Array, g: Geometry, groups: int, axes: Axes | None = None
) -> jax.Array:
    """The output role; zeros where no window reads anything but padding."""
    if any(read_extent(axis).empty for axis in g.axes):
        channels = w.shape[axes.second if axes else -1]
        return jnp.zeros((x.shape[0], *g.output, channels), x.dtype)
    return call(x, w, g, groups, axes=axes)


# The input role -----------------------------------------------------------------------


class Phase:
    """One axis of one phase: the elements m*s + r of the result, r the residue.

    Result u = p*s + t*d is counted from the first padding element.  Element m*s + r
    uses the taps with t*d = r modulo s, which are ``count`` evenly spaced taps, and tap
    t reads y[m - t*d // s]: a convolution of stride 1 with the taps in reverse.
    """

    def __init__(self, axis: Axis, residue: int):
        reached = [t for t in range(axis.k) if t * axis.d % axis.s == residue]
        common = math.gcd(axis.s, axis.d)
        start = axis.lo // axis.s
        self.size = (axis.lo + axis.i - 1) // axis.s + 1 - start
        self.crop = axis.lo - start * axis.s
        self.taps = slice(reached[0], None, axis.s // common) if reached else slice(0)
        self.count, self.dilation = len(reached), axis.d // common
        back = reached[-1] * axis.d // axis.s if reached else 0
        self.low = back - start


def input(y: Output, w: Kernel, spec: Spec) -> Input:
    g = spec.geometry
    w = flip(w)
    if spec.groups > 1:  # a group's output channels must be adjacent
        w, axes = swap_channels(w, spec.groups), None
    else:
        axes = Axes(g.ndim + 1, g.ndim, tuple(range(g.ndim)))
    if max(g.stride) == 1:
        low = tuple(axis.span - 1 - axis.lo for axis in g.axes)
        flipped = replace(g, input=g.output, output=g.input, low=low)
        return _convolve(y, w, flipped, spec.groups, axes)
    residues = itertools.product(*map(range, g.stride))
    return _interleave([_phase(y, w, spec, r, axes) for r in residues], spec)


def _phase(
    y: jax.Array, w: jax.Array, spec: Spec, residue: Ints, axes: Axes | None
) -> jax.Array:
    """The convolution of one residue; w is flipped already."""
    g = spec.geometry
    phases = [Phase(axis, r) for axis, r in zip(g.axes, residue, strict=True)]
    size = tuple(p.size for p in phases)
    if any(p.count == 0 for p in phases):
        channels = w.shape[axes.second if axes else -1]
        return jnp.zeros((y.shape[0], *size, channels), y.dtype)
    taps = (_flipped(p.taps, k) for p, k in zip(phases, g.kernel, strict=True))
    geometry = Geometry(
        g.output,
        tuple(p.count for p in phases),
        size,
        (1,) * g.ndim,
        tuple(p.dilation for p in phases),
        tuple(p.low for p in phases),
    )
    return _convolve(y, w[tuple(taps)], geometry, spec.groups, axes)


def _flipped(taps: slice, k: int) -> slice:
    """The slice of a flipped axis that selects the same taps."""
    wanted = range(k)[taps]
    return slice(k - 1 - wanted[-1], k - wanted[0], wanted.step)


def _interleave(parts: list[jax.Array], spec: Spec) -> jax.Array:
    """Interleaves the results of all residues and cuts the image's padding off."""
    g = spec.geometry
    for axis in reversed(range(g.ndim)):
        s = g.stride[axis]
        parts = [
            _along(parts[i : i + s], axis + 1) if s > 1 else parts[i]
            for i in range(0, len(parts), s)
        ]
    phases = (Phase(axis, 0) for axis in g.axes)
    inside = (slice(p.crop, p.crop + i) for p, i in zip(phases, g.input, strict=True))
    return parts[0][(slice(None), *inside)]


def _along(parts: list[jax.Array], axis: int) -> jax.Array:
    shape = list(parts[0].shape)
    shape[axis] *= len(parts)
    return jnp.stack(parts, axis + 1).reshape(shape)


# Cases that it takes ------------------------------------------------------------------


def refuse(case: Case) -> str | None:
    g = case.geometry
    if case.dtype.name != TYPE:
        return f"oneDNN is only right for {TYPE}, not for {case.dtype.name}"
    if g.ndim > MOST_AXES:
        return f"oneDNN takes at most {MOST_AXES} spatial axes, not {g.ndim}"
    if type(case.sizes.n) is not int:
        return "oneDNN needs to know every size, and the batch is symbolic"
    if _summed(case) == 1:
        return "oneDNN's code for sums over one channel hangs or overruns its memory"
    if max(map(_longest, g.axes)) > LONGEST:
        return f"oneDNN is given axes, strides and kernels of at most {LONGEST}"
    if case.role == "input" and math.prod(g.stride) > MOST_CALLS:
        return f"a stride of {g.stride} takes more than {MOST_CALLS} calls of oneDNN"
    largest = max(case.bytes(operand) for operand in OPERANDS)
    if largest > MOST_BYTES:
        return f"oneDNN is given arrays of at most {MOST_BYTES} bytes, not {largest}"
    return None


def _summed(case: Case) -> int:
    """The input channels of a group in the convolution that oneDNN is called for.

    With one channel, and no faster code for the geometry, oneDNN starts a parallel loop
    inside a task of XLA's threads, which then wait for each other.
    """
    return case.sizes.o if case.role == "input" else case.sizes.c


def _longest(axis: Axis) -> int:
    return max(axis.i + max(axis.lo, 0) + max(axis.hi, 0), axis.span, axis.s)


def scratch(case: Case) -> int:
    """The operands sliced and transposed, and the copies that oneDNN itself makes."""
    x, w, y = map(case.bytes, ("input", "kernel", "output"))
    if case.role == "output":
        return x + 2 * w + widened_bytes(case)
    return 2 * x + y + 3 * w + widened_bytes(case)


LOWERING = Lowering(
    "onednn",
    "oneDNN's convolution, out of jaxlib's own wheel",
    {"output": output, "input": input},
    refuse,
    scratch,
)
