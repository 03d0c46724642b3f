"""The plan's rules for GPUs and TPUs, from programs compiled for them.

The numbers in the reasons are not measured times.  They come from compilations ahead of
time for an H200 and for TPU v5e (`docs/accelerators.md`): for a GPU the multiply-adds
and the temporary bytes of the cuDNN call, for a TPU the cycles that the compiler
estimates.  The first number is that of lax with channels first.
"""

from __future__ import annotations

import jax.numpy as jnp

from jaxconv._core.spec import Case
from jaxconv._lowerings.base import summed_bytes
from jaxconv._plan.rule import Rule

GPU = ("cuda", "rocm")  # XLA has the same passes for cuDNN and for MIOpen
TPU = ("tpu",)
POSITIONS = 512  # the fewest positions for which `stretch` and `lines` pay
LANES = 128  # lanes of a register
SUMMED = 2**25  # the most bytes of a sum that stays on the chip between products


def _in_floats(case: Case) -> bool:
    return jnp.issubdtype(case.dtype, jnp.inexact) and case.spec.ndim <= 3


def _one_position(case: Case) -> bool:
    """The input role with a single position, for which cuDNN computes far too much."""
    one = case.geometry.positions == 1
    return _in_floats(case) and case.role == "input" and one


def _few_in_strided(case: Case) -> bool:
    """Strided kernel gradients with few input channels."""
    g, (_, c, o) = case.geometry, case.sizes
    strided = case.role == "kernel" and case.groups == 1 and max(g.stride) > 1
    few = c <= (32 if g.ndim == 2 else 16) and c < o and g.positions >= POSITIONS
    return _in_floats(case) and strided and g.ndim > 1 and few


def _thin_line(case: Case) -> bool:
    """Long 1-D convolutions with few channels in the result."""
    g, (_, c, o) = case.geometry, case.sizes
    if case.role == "kernel" or not _a_few_products(case):
        return False
    made, length = (o, g.output) if case.role == "output" else (c, g.input)
    return g.ndim == 1 and _thin(case, made, 96) and length[0] >= POSITIONS


def _thin_image(case: Case) -> bool:
    """2-D convolutions with even fewer channels, and rows that fill a register."""
    g, (_, c, o) = case.geometry, case.sizes
    if case.role == "kernel" or not _a_few_products(case):
        return False
    read, made = (c, o) if case.role == "output" else (o, c)
    few = _thin(case, made, 48) and read * case.groups <= 64
    return g.ndim == 2 and few and min(g.input[-1], g.output[-1]) >= LANES


def _thin_line_kernel(case: Case) -> bool:
    """1-D kernel gradients with few channels and taps, and long sums."""
    g, (n, c, o) = case.geometry, case.sizes
    if case.role != "kernel" or g.taps > 3 or type(n) is not int:  # symbolic
        return False
    long = n * g.positions >= 2**14 and g.positions >= POSITIONS
    return g.ndim == 1 and _thin(case, max(c, o), 96) and long


def _a_few_products(case: Case) -> bool:
    """Few taps whose sum stays on the chip, without a stride or a symbolic batch."""
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
        "A single position is one product of matrices: 28x28x1, 50 to 1 channels, "
        "takes 7.8e6 multiply-adds in place of 6.1e9",
        True,
    ),
    Rule(
        "cudnn",
        GPU,
        _in_floats,
        "cuDNN has a call of its own for each role, and XLA is given the form that it "
        "recognises: a transposed 4x4, stride 2, 128 to 64 channels at 32x32, is "
        "convBackwardInput of 2.1e9 multiply-adds and 17 MB in place of convForward "
        "of 8.6e9 and 54 MB; its kernel's gradient convBackwardFilter in place of "
        "convForward with a window of 32x32; a causal line with dilation 512 takes "
        "1.3e8 in place of 3.4e10",
        False,
    ),
    Rule(
        "stretch",
        TPU,
        _few_in_strided,
        "With few channels the kernel's gradient of a strided convolution fills more "
        "of the unit's tiles when y is stretched: 38 thousand cycles become 27 for "
        "4x4, stride 2, 32 to 64 channels at 64x64, 190 become 62 for 3x3x3, 16 to 32 "
        "at 32x32x32; but not for 64 to 64 at 56x56, where 29 would become 48",
        False,
    ),
    Rule(
        "lines",
        TPU,
        _thin_line,
        "Long lines of few channels fill more of the unit's tiles as one product per "
        "tap: 112 thousand cycles become 54 for a kernel of 3, 64 channels, 1024 "
        "long, 185 become 58 for 8 groups of 8; but not for 128 channels, 1024 long, "
        "where 46 would become 48, nor for 32 channels, 50 long, where 13 would "
        "become 17",
        False,
    ),
    Rule(
        "lines",
        TPU,
        _thin_image,
        "Wide images of few channels fill more of the unit's tiles as one product per "
        "tap: 508 thousand cycles become 177 for 3x3, 64 to 32 channels at 128x128, "
        "511 become 166 for 24 at 224x224, 416 become 69 for 8 at 128x128; but not "
        "for 64 at 56x56, where 119 would become 126, nor for 8 groups of 32 at "
        "512x512",
        False,
    ),
    Rule(
        "lines",
        TPU,
        _thin_line_kernel,
        "The kernel's gradient of long lines of few channels fills more of the unit's "
        "tiles as one product per tap, where there are few taps: 48 thousand cycles "
        "become 32 for a kernel of 3, 32 of 64 channels, 1024 long, 104 become 29 for "
        "8 groups of 8; but not for 8 of 64, where 14 would become 16",
        False,
    ),
    Rule(
        "mxu",
        TPU,
        _in_floats,
        "Narrow groups leave most of the matrix unit idle, and merged ones fill it: "
        "2713 thousand cycles become 126 for 3x3, 32 groups of 4 at 56x56; dense and "
        "depthwise convolutions are XLA's own",
        False,
    ),
)
