"""The plan's rules for GPUs and TPUs, from what their compilers make of each form.

No such hardware was at hand.  The numbers are those of compilations ahead of time for
an H200 and for TPU v5e (`docs/accelerators.md`): of cuDNN's call, the multiply-adds
that its shapes imply and the temporary bytes; of a TPU, the compiler's estimated
cycles.  ``lax`` stands before "to", in its channels-first form.
"""

from __future__ import annotations

import jax.numpy as jnp

from jaxconv._core.spec import Case
from jaxconv._lowerings.base import summed_bytes
from jaxconv._plan.rule import Rule

GPU = ("cuda", "rocm")  # XLA has the same passes for cuDNN and for MIOpen
TPU = ("tpu",)
POSITIONS = 512  # from which on `stretch` and `lines` pay
LANES = 128  # of a register
SUMMED = 2**25  # bytes that stay on the chip from one product to the next


def _in_floats(case: Case) -> bool:
    return jnp.issubdtype(case.dtype, jnp.inexact) and case.spec.ndim <= 3


def _one_position(case: Case) -> bool:
    """The input role of a kernel as large as the image: cuDNN would slide it over."""
    one = case.geometry.positions == 1
    return _in_floats(case) and case.role == "input" and one


def _few_in_strided(case: Case) -> bool:
    """The kernel's gradient over few channels, which are the window's then."""
    g, (_, c, o) = case.geometry, case.sizes
    strided = case.role == "kernel" and case.groups == 1 and max(g.stride) > 1
    few = c <= (32 if g.ndim == 2 else 16) and c < o and g.positions >= POSITIONS
    return _in_floats(case) and strided and g.ndim > 1 and few


def _thin_line(case: Case) -> bool:
    """A long line with few channels in the result."""
    g, (_, c, o) = case.geometry, case.sizes
    if case.role == "kernel" or not _a_few_products(case):
        return False
    made, length = (o, g.output) if case.role == "output" else (c, g.input)
    return g.ndim == 1 and _thin(case, made, 96) and length[0] >= POSITIONS


def _thin_image(case: Case) -> bool:
    """The same of an image, whose lines fill a register and have fewer channels yet."""
    g, (_, c, o) = case.geometry, case.sizes
    if case.role == "kernel" or not _a_few_products(case):
        return False
    read, made = (c, o) if case.role == "output" else (o, c)
    few = _thin(case, made, 48) and read * case.groups <= 64
    return g.ndim == 2 and few and min(g.input[-1], g.output[-1]) >= LANES


def _thin_line_kernel(case: Case) -> bool:
    """Of few channels and taps, from sums that are long."""
    g, (n, c, o) = case.geometry, case.sizes
    if case.role != "kernel" or g.taps > 3 or type(n) is not int:  # symbolic
        return False
    long = n * g.positions >= 2**14 and g.positions >= POSITIONS
    return g.ndim == 1 and _thin(case, max(c, o), 96) and long


def _a_few_products(case: Case) -> bool:
    """Not in memory, each time, what is added up; nor of a batch unknown yet."""
    g = case.geometry
    if max(g.stride) > 1 or g.taps > 9 or type(case.sizes.n) is not int:
        return False
    return summed_bytes(case) <= SUMMED


def _thin(case: Case, channels: int, most: int) -> bool:
    few = 8 <= channels * case.groups <= most
    return _in_floats(case) and few and not (case.depthwise or case.spec.mapped)


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
        _few_in_strided,
        "strided kernel gradients of few channels: 4x4 stride 2 32-64@64 38 to 27 "
        "thousand cycles; 3x3x3 16-32@32 190 to 62; not at 64-64@56, 29 to 48",
        False,
    ),
    Rule(
        "lines",
        TPU,
        _thin_line,
        "long lines of few channels: k 3, 64@1024 112 to 54 thousand cycles; 8 groups "
        "of 8 185 to 58; not 128@1024, 46 to 48, nor 32@50, 13 to 17",
        False,
    ),
    Rule(
        "lines",
        TPU,
        _thin_image,
        "wide images of few channels: 3x3 64-32@128 508 to 177 thousand cycles; "
        "24@224 511 to 166; 8@128 416 to 69; not 64@56, 119 to 126, nor 8 of 32@512",
        False,
    ),
    Rule(
        "lines",
        TPU,
        _thin_line_kernel,
        "their kernel gradients of few taps: k 3, 32 of 64@1024 48 to 32 thousand "
        "cycles; 8 groups of 8 104 to 29; not 8 of 64@1024, 14 to 16",
        False,
    ),
    Rule(
        "mxu",
        TPU,
        _in_floats,
        "narrow groups: 3x3, 32 of 4@56 2713 to 126 thousand cycles; dense and "
        "depthwise ones are XLA's own",
        False,
    ),
)
