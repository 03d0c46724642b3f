"""The plan's rules for CPUs, each beside the measurement that made it."""

from __future__ import annotations

import math

from jaxconv._core.spec import Case
from jaxconv._lowerings.cpu import chunks
from jaxconv._lowerings.general import fft
from jaxconv._plan.rule import Rule


def _large_kernel(case: Case) -> bool:
    """Direct sums that are many times the work of transforms, and long in any case."""
    _, c, o = case.sizes
    if fft.LOWERING.refuse(case) is not None or min(c, o) > 16:
        return False
    narrow = case.groups == 1 and max(c, o) <= 8  # XLA is slow on few channels
    least, factor = (2**23, 2.5) if narrow else (2**27, 32)
    return case.multiply_adds >= max(least, factor * fft.steps(case))


def _depthwise(case: Case) -> bool:
    return case.depthwise and case.groups > 1


def _one_channel(case: Case) -> bool:
    """A depthwise convolution of a single channel; with a stride XLA is as fast."""
    return _channels_in(case, 1) and case.role == "output" and case.geometry.taps <= 49


def _onednn_output(case: Case) -> bool:
    """All but depthwise lines, which it has no quick code for."""
    line = case.geometry.ndim == 1
    return case.role == "output" and not (line and _depthwise(case))


def _narrow_groups(case: Case) -> bool:
    """Few channels in a group; fewer with a stride, and where channels come last.

    XLA then reads across the layout, which it does well in a sum of few products only.
    """
    g, (_, c, o) = case.geometry, case.sizes
    first, most = case.spec.layout == "channels_first", max(c, o)
    if case.groups == 1:
        return False
    if case.role == "kernel":
        few = 8 if g.ndim == 1 else 4 if first and max(g.stride) == 1 else 2
        return most <= few and g.output[-1] >= 14
    if first:
        return most <= (8 if max(g.stride) == 1 else 4)
    few = most <= 8 if case.role == "output" else most <= 2 and g.ndim <= 2
    return few and g.taps * c <= 100


def _worth_a_product(case: Case) -> bool:
    """Enough terms in each sum, or a single position."""
    g, (n, c, o) = case.geometry, case.sizes
    terms = {"output": g.taps * c, "input": o, "kernel": n * g.positions}[case.role]
    return terms >= 8 or g.positions == 1


def _channels_in(case: Case, channels: int) -> bool:
    """At most so many channels in, no groups, no stride."""
    dense = case.groups == 1 and max(case.geometry.stride) == 1
    return dense and case.sizes.c <= channels


def _few_in(case: Case) -> bool:
    few = 8 if case.geometry.ndim == 2 else 1
    small = case.sizes.c * case.geometry.taps <= 72
    return case.role == "input" and _channels_in(case, few) and small


def _one_channel_in(case: Case) -> bool:
    return case.role == "input" and _channels_in(case, 1) and case.geometry.taps <= 49


def _strided_input(case: Case) -> bool:
    """But for deep lines with few taps: at k 8, s 4, 512-256 rows is faster."""
    g = case.geometry
    deep_line = g.ndim == 1 and g.taps < 10 and case.sizes.o >= 256
    return (
        case.role == "input"
        and case.groups == 1
        and max(g.stride) > 1
        and not deep_line
    )


def _few_channels_or_not_2d(case: Case) -> bool:
    return _strided_input(case) and (case.geometry.ndim != 2 or case.sizes.c <= 8)


def _full_phases(case: Case) -> bool:
    """Taps that fill the residues of the stride, and not too deep a sum."""
    g, o = case.geometry, case.sizes.o
    padded = math.prod(-(-axis.span // axis.s) * axis.s for axis in g.axes)
    dense = o <= 128 and padded <= 1.35 * g.taps
    return _strided_input(case) and (g.ndim != 2 or dense)


def _deep_bfloat16(case: Case) -> bool:
    wide = min(case.sizes.c, case.sizes.o) >= 128
    return case.dtype.name == "bfloat16" and wide


def _few_positions(case: Case) -> bool:
    """The kernel's gradient from few positions: deep in channels, short in sums."""
    n, c, o = case.sizes
    few = case.groups == 1 and n * case.geometry.positions <= 256
    return (
        case.role == "kernel" and case.geometry.ndim == 2 and few and min(c, o) >= 128
    )


def _one_axis(case: Case) -> bool:
    """But for kernel gradients with some channels, or dilated (1.2 to 3.9, slower)."""
    g = case.geometry
    slow = min(case.sizes.c, case.sizes.o) > 16 or max(g.dilation) > 1
    return g.ndim == 1 and not (case.role == "kernel" and slow)


def _narrow_gradient(case: Case) -> bool:
    """And padding as wide as "same": XLA swaps the operands back where it is less."""
    n, c, o = case.sizes
    g = case.geometry
    wide = math.prod(g.input) <= math.prod(g.output)
    return case.role == "kernel" and n <= 16 and o <= 16 < c and wide


# Measured on an AMD EPYC (Zen 5), two cores, jax 0.10.2, float32: milliseconds of "xla"
# and of the rule's lowering, by role (output / input / kernel) where three stand.
CPU: tuple[Rule, ...] = (
    Rule(
        "fft",
        ("cpu",),
        _large_kernel,
        "large kernels: 300x300 on itself 14484 to 1.8; 30x30 1@530x1430 872 to 17; "
        "9x9 3-1@128 6.3 to 0.6; 7x7 4-4@64 1.9 to 0.4",
    ),
    Rule(
        "onednn",
        ("cpu",),
        _onednn_output,
        "oneDNN (Xeon, AMX): 3x3 64@56 30 to 21; 3x3 stride 2 128@56 49 to 22; "
        "depthwise 7x7 96@56 38 to 2.9; 7 groups of 24@56 56 to 2; 1x1 256-64@56 32 to "
        "17; volume 3x3x3 16-32@32 40 to 22; not depthwise lines k 5 512@1024, 7 to 43",
    ),
    Rule(
        "shift",
        ("cpu",),
        _depthwise,
        "depthwise: 3x3 256@124 69/69/81 to 1/1.7/3; 7x7 96@56 97/97/94 to 2/4.4/5.2",
    ),
    Rule(
        "shift",
        ("cpu",),
        _one_channel,
        "one channel in: 3x3 1-16@64 1.2 to 0.2; 5x5 1-6@28 2.5 to 0.3",
    ),
    Rule(
        "product",
        ("cpu",),
        _worth_a_product,
        "windows apart: patch 16x16 input 92 to 5.2; 1x1 stride 2 18 to 11, kernel 41 "
        "to 8.5; 2x2 stride 2 96-192@56 5.7 to 3.4",
    ),
    Rule(
        "narrow",
        ("cpu",),
        _narrow_groups,
        "few channels in a group (Xeon): 8 of 8@1024 9.4/9.6/22 to 1.4/1.4/2.7; 32 of "
        "8@28 47/47 to 4.2/4; 32 of 4@56 by grouped 14/12/22, here 2.7/2.8/8.6",
    ),
    Rule(
        "grouped",
        ("cpu",),
        lambda case: case.groups > 1,
        "32 groups of 4 87/89/7790 to 9.5/9.8/18; 2 of 48 34/124/176 to 16/17/14",
    ),
    Rule(
        "overlap_add",
        ("cpu",),
        _few_channels_or_not_2d,
        "transposed: 3-D stride 2 64-1 1880 to 0.7; 1-D stride 8 18 to 14",
    ),
    Rule(
        "overlap_add",
        ("cpu",),
        _few_in,
        "few channels in: 3x3 3-32@64 1.5 to 0.9; 3x3 8-32@64 2.2 to 1.9",
    ),
    Rule(
        "shift",
        ("cpu",),
        _one_channel_in,
        "one channel in, few out, so that columns are too large: 5x5 1-6@28 3.7 to 0.5",
    ),
    Rule(
        "polyphase",
        ("cpu",),
        _full_phases,
        "transposed: 4x4 stride 2 128-64@32 42 to 26; 7x7 stride 2 64-3 55 to 31; not "
        "3x3 stride 2, padded to 4x4: 128-64@32 4.0 to 6.1",
    ),
    Rule(
        "taps",
        ("cpu",),
        _deep_bfloat16,
        "bfloat16: 3x3 512@7 9.1 to 4.3; 3x3 256@14 8.3 to 5.1; slower at 64 channels; "
        "with AMX (Xeon) 256@56 15/15/48 to 7.5/7.5/9.8; 8 of 256@28 27/27/98 to "
        "15/15/24",
    ),
    Rule(
        "taps",
        ("cpu",),
        _few_positions,
        "few positions: 4x4 stride 2 512-256@4 2.8 to 2.0; at 128-64@16 1.6 to 2.0",
    ),
    Rule(
        "chunks",
        ("cpu",),
        lambda case: case.geometry.ndim == 2 and chunks.gains(case),
        "images past the cache (Xeon): 3x3 64@56 kernel 55 to 22; 1@256 145 to 46",
    ),
    Rule(
        "rows",
        ("cpu",),
        _one_axis,
        "XLA's fast convolution has two axes: 1-D kernel 3, 768 channels 7.4 to 4.3",
    ),
    Rule(
        "slices",
        ("cpu",),
        lambda case: case.geometry.ndim >= 3,
        "XLA's fast convolution has two axes: 3x3x3 16-32@32 33/62/101 to 9.9/11/19",
    ),
    Rule(
        "exchange",
        ("cpu",),
        _narrow_gradient,
        "few channels out: 7x7 64-3 kernel 32 to 0.9",
    ),
)
