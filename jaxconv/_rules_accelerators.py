"""The plan's rules for GPUs and TPUs, from what their compilers make of each form.

No such hardware was at hand.  The numbers are those of compilations ahead of time for
an H200 and for TPU v5e (`docs/accelerators.md`): of cuDNN's call, the multiply-adds
that its shapes imply and the temporary bytes; of a TPU, the compiler's estimated
cycles.  ``lax`` stands before "to", in its channels-first form.
"""

from __future__ import annotations

import jax.numpy as jnp

from jaxconv._rules import Rule
from jaxconv._spec import Case

GPU = ("cuda", "rocm")  # XLA has the same passes for cuDNN and for MIOpen
TPU = ("tpu",)
POSITIONS = 512  # of y, from which on it pays to slide it over x


def _in_floats(case: Case) -> bool:
    return jnp.issubdtype(case.dtype, jnp.inexact) and case.spec.ndim <= 3


def _one_position(case: Case) -> bool:
    """The input role of a kernel as large as the image: cuDNN would slide it over."""
    one = case.geometry.positions == 1
    return _in_floats(case) and case.role == "input" and one


def _strided_kernel(case: Case) -> bool:
    g = case.geometry
    strided = case.role == "kernel" and case.groups == 1 and max(g.stride) > 1
    return _in_floats(case) and strided and g.ndim > 1 and g.positions >= POSITIONS


ACCELERATORS: tuple[Rule, ...] = (
    Rule(
        "product",
        GPU,
        _one_position,
        "one position: 28x28x1 50-1@1 6.1e9 to 7.8e6 multiply-adds",
        True,
    ),
    Rule(
        "cudnn",
        GPU,
        _in_floats,
        "cuDNN's own calls: transposed 4x4 stride 2 128-64@32 convForward of 8.6e9 to "
        "convBackwardInput of 2.1e9 multiply-adds, 54 to 17 MB; its kernel convForward "
        "with a window of 32x32 to convBackwardFilter; causal 1-D dilation 512 3.4e10 "
        "to 1.3e8",
        False,
    ),
    Rule(
        "stretch",
        TPU,
        _strided_kernel,
        "strided kernel gradients: 3x3 stride 2 128@56 31 to 25 thousand cycles; 1x1 "
        "stride 2 256-512@56 39 to 17; not at 256@28, 23 to 82",
        False,
    ),
    Rule(
        "mxu",
        TPU,
        _in_floats,
        "narrow groups: 32 of 8@28 558 to 74 thousand cycles; dense and depthwise ones "
        "are XLA's own",
        False,
    ),
)
