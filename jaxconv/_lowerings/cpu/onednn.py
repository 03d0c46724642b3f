"""``onednn``: oneDNN's convolutions, the ones that PyTorch runs on a CPU.

jaxlib's wheels for Linux contain oneDNN (`onednn_call`).  The plan's place says where
it can be called; ``refuse`` says for which contractions.

XLA can call oneDNN's forward convolution and its matrix product only.  The input role
with stride 1 is a forward convolution with the flipped kernel.  With a larger stride it
is one for each residue of the stride, with the taps that reach that residue.  The
kernel role is in `onednn_kernel`.
"""

from __future__ import annotations

import math
from dataclasses import replace

import jax
import jax.numpy as jnp

from jaxconv._core.axes import Input, Kernel, Output
from jaxconv._core.geometry import Axis, Geometry, Ints
from jaxconv._core.spec import OPERANDS, Case, Spec
from jaxconv._lowerings.base import Lowering, Steps, flip, swap_channels, widened_bytes
from jaxconv._lowerings.cpu import onednn_kernel
from jaxconv._lowerings.cpu.onednn_call import MOST_AXES, Axes, convolve
from jaxconv._lowerings.phases import Phases, interleave

# With bfloat16 and float16 oneDNN ended the process or returned wrong values, even on
# processors with the instructions: jaxlib 0.10.2, AMX, groups, or kernels wider than
# the image.
TYPE = "float32"
MOST_BYTES = 2**31 - 1  # of an array: oneDNN's kernels keep offsets in 32 bits
LONGEST = 2**24  # of an axis with its padding, a stride, or a dilated kernel
MOST_CALLS = 64  # of the input role, one for each residue of the stride

# oneDNN's names of steps after a convolution.  Its other activations are different from
# XLA's: "RELU" and "RELU6" make numbers of NaN, "GELU_ERF" makes NaN of infinity, and
# "ELU" and "GELU_TANH" are less exact.
STEPS = {
    "shift": "BIAS",
    "add": "BINARY_ADD",
    "sigmoid": "SIGMOID",
    "silu": "SWISH",
    "tanh": "TANH",
}


def output(x: Input, w: Kernel, spec: Spec, after: Steps = ()) -> Output:
    names = [STEPS[name] for name, _ in after]
    operands = [operand for _, operand in after if operand is not None]
    return convolve(x, w, spec.geometry, spec.groups, None, names, operands)


# The input role -----------------------------------------------------------------------


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
        return convolve(y, w, flipped, spec.groups, axes)
    plans = [Phases(axis) for axis in g.axes]
    return interleave(lambda r: _phase(y, w, spec, plans, r, axes), plans, lead=1)


def _phase(
    y: jax.Array,
    w: jax.Array,
    spec: Spec,
    plans: list[Phases],
    residue: Ints,
    axes: Axes | None,
) -> jax.Array:
    """The convolution of one residue r with the taps of t*d = r modulo s.

    These taps are evenly spaced; w is flipped already, and so are they.
    """
    g, size = spec.geometry, tuple(p.size for p in plans)
    reached = [p.taps[r] for p, r in zip(plans, residue, strict=True)]
    if not all(reached):
        channels = w.shape[axes.second if axes else -1]
        return jnp.zeros((y.shape[0], *size, channels), y.dtype)
    common = tuple(map(math.gcd, g.stride, g.dilation))
    step = (s // c for s, c in zip(g.stride, common, strict=True))
    index = tuple(
        slice(k - 1 - taps[-1][0], k - taps[0][0], by)
        for k, taps, by in zip(g.kernel, reached, step, strict=True)
    )
    geometry = Geometry.of(
        Axis(p.axis.o, len(taps), p.size, 1, p.axis.d // c, p.low - taps[-1][1])
        for p, taps, c in zip(plans, reached, common, strict=True)
    )
    return convolve(y, w[index], geometry, spec.groups, axes)


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
    called = g
    if case.role == "kernel":
        if (reason := onednn_kernel.refuse(case)) is not None:
            return reason
        called = onednn_kernel.called(case)
    if max(map(_longest, (*g.axes, *called.axes))) > LONGEST:
        return f"oneDNN is given axes, strides and kernels of at most {LONGEST}"
    if case.role == "input" and math.prod(g.stride) > MOST_CALLS:
        return f"a stride of {g.stride} takes more than {MOST_CALLS} calls of oneDNN"
    largest = max(case.bytes(operand) for operand in OPERANDS)
    if case.role == "kernel":
        largest = max(largest, onednn_kernel.copied(case))
    if largest > MOST_BYTES:
        return f"oneDNN is given arrays of at most {MOST_BYTES} bytes, not {largest}"
    return None


def _summed(case: Case) -> int:
    """The input channels of a group in the convolution that oneDNN is called for.

    With one channel, and no faster code for the geometry, oneDNN starts a parallel loop
    inside a task of XLA's threads, which then wait for each other.
    """
    if case.role == "kernel":
        return onednn_kernel.summed(case)
    return case.sizes.o if case.role == "input" else case.sizes.c


def _longest(axis: Axis) -> int:
    return max(axis.i + max(axis.lo, 0) + max(axis.hi, 0), axis.span, axis.s)


def scratch(case: Case) -> int:
    """The operands sliced and transposed, and the copies that oneDNN itself makes."""
    if case.role == "kernel":
        return onednn_kernel.scratch(case)
    x, w, y = map(case.bytes, ("input", "kernel", "output"))
    if case.role == "output":
        return x + 2 * w + widened_bytes(case)
    return 2 * x + y + 3 * w + widened_bytes(case)


def spreads(case: Case) -> str | None:
    return onednn_kernel.spreads(case) if case.role == "kernel" else None


LOWERING = Lowering(
    "onednn",
    "oneDNN's convolution, out of jaxlib's own wheel",
    {"output": output, "input": input, "kernel": onednn_kernel.kernel},
    refuse,
    scratch,
    spreads=spreads,
    finishes=frozenset(STEPS),
)
