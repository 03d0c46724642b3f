"""``onednn``: oneDNN's convolutions, the ones that PyTorch runs on a CPU.

jaxlib's wheels for Linux hold oneDNN (`onednn_call`).  Where it can be called is for
the plan's place to say; ``refuse`` says which contractions it can be given.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxconv._core.geometry import read_extent
from jaxconv._core.spec import OPERANDS, Case, Spec
from jaxconv._lowerings.base import Lowering, widened_bytes
from jaxconv._lowerings.cpu.onednn_call import call

# bfloat16 and float16 have been wrong and have ended the process, in grouped
# convolutions on a processor with AMX.
TYPES = ("float32",)
MOST_BYTES = 2**31 - 1  # of an array: oneDNN's kernels keep offsets in 32 bits
LONGEST = 2**24  # of an axis with its padding, a stride, or a dilated kernel
MOST_AXES = 3


def output(x: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    g = spec.geometry
    if any(read_extent(axis).empty for axis in g.axes):
        return jnp.zeros((x.shape[0], *g.output, w.shape[-1]), x.dtype)
    return call(x, w, g, spec.groups)


def refuse(case: Case) -> str | None:
    g = case.geometry
    if case.dtype.name not in TYPES:
        return f"oneDNN takes {', '.join(TYPES)}, not {case.dtype.name}"
    if case.spec.dtype.itemsize > case.dtype.itemsize:
        return f"its result would be rounded to {case.dtype.name} first"
    if g.ndim > MOST_AXES:
        return f"oneDNN takes at most {MOST_AXES} spatial axes, not {g.ndim}"
    if type(case.sizes.n) is not int:
        return "oneDNN needs to know every size, and the batch is symbolic"
    if (
        max(max(a.i + max(a.lo, 0) + max(a.hi, 0), a.span, a.s) for a in g.axes)
        > LONGEST
    ):
        return f"oneDNN is given axes, strides and kernels of at most {LONGEST}"
    largest = max(case.bytes(operand) for operand in OPERANDS)
    if largest > MOST_BYTES:
        return f"oneDNN is given arrays of at most {MOST_BYTES} bytes, not {largest}"
    return None


def scratch(case: Case) -> int:
    """What is cut off first, and oneDNN's own copy of the kernel and its columns."""
    return case.bytes("input") + 2 * case.bytes("kernel") + widened_bytes(case)


LOWERING = Lowering(
    "onednn",
    "oneDNN's convolution, out of jaxlib's own wheel",
    {"output": output},
    refuse,
    scratch,
)
