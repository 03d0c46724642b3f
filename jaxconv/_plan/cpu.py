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
    return case.role == "output"


def _onednn_input(case: Case) -> bool:
    """Enough channels in; where the phases of a stride are full they are one call."""
    return case.role == "input" and case.sizes.c >= 16 and not _full_phases(case)


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
        "Transforms take far fewer operations than direct sums of a kernel this "
        "large: 14484 ms by XLA become 1.8 for 300x300 on an image of that size, 872 "
        "become 17 for 30x30 on 530x1430 pixels, 6.3 become 0.6 for 9x9 on 128x128, "
        "1.9 become 0.4 for 7x7 of 4 channels on 64x64",
    ),
    Rule(
        "onednn",
        ("cpu",),
        _onednn_output,
        "oneDNN's kernels are compiled for this processor: on a Xeon with AMX 30 ms "
        "by XLA become 21 for 3x3, 64 channels at 56x56, 49 become 22 for 3x3, stride "
        "2, 128 at 56x56, 56 become 2 for 7 groups of 24 at 56x56, 32 become 17 for "
        "1x1, 256 to 64 at 56x56, and 40 become 22 for 3x3x3, 16 to 32 at 32x32x32",
    ),
    Rule(
        "shift",
        ("cpu",),
        _depthwise,
        "XLA runs depthwise convolutions in a slow loop: of 3x3 and 256 channels of "
        "124x124 pixels the output, the input's gradient and the kernel's took 69, 69 "
        "and 81 ms and take 1, 1.7 and 3; of 7x7 and 96 channels of 56x56 97, 97 and "
        "94 ms, now 2, 4.4 and 5.2",
    ),
    Rule(
        "shift",
        ("cpu",),
        _one_channel,
        "With one channel in, a sum of shifted images is shorter than a convolution: "
        "1.2 ms by XLA become 0.2 for 3x3, 16 channels out and 64x64 pixels, 2.5 "
        "become 0.3 for 5x5, 6 channels out and 28x28",
    ),
    Rule(
        "product",
        ("cpu",),
        _worth_a_product,
        "Windows that do not overlap are one product of matrices: the input's "
        "gradient of patches of 16x16 took 92 ms by XLA and takes 5.2, 1x1 with "
        "stride 2 18 ms and takes 11, its kernel's gradient 41 ms and takes 8.5, 2x2 "
        "with stride 2, 96 to 192 channels of 56x56, 5.7 ms and takes 3.4",
    ),
    Rule(
        "narrow",
        ("cpu",),
        _narrow_groups,
        "XLA is slow on groups of few channels: on a Xeon the output, the input's "
        "gradient and the kernel's of 8 groups of 8, 1024 long, took 9.4, 9.6 and 22 "
        "ms and take 1.4, 1.4 and 2.7; 32 groups of 8 at 28x28 took 47 and 47 ms and "
        "take 4.2 and 4; 32 groups of 4 at 56x56 take 14, 12 and 22 ms by 'grouped' "
        "and 2.7, 2.8 and 8.6 this way",
    ),
    Rule(
        "onednn",
        ("cpu",),
        _onednn_input,
        "an input's gradient is a convolution with the turned kernel: on a Xeon with "
        "AMX 21 ms become 14 for 3x3, 64 channels at 56x56, 118 become 20 for 7 groups "
        "of 24, stride 2, and 99 become 37 for lines of 512 to 256 channels, stride 8; "
        "but not for 3 channels, where 69 would become 120",
    ),
    Rule(
        "grouped",
        ("cpu",),
        lambda case: case.groups > 1,
        "XLA is slow on groups, and fast on the dense convolution of several of them: "
        "the output, the input's gradient and the kernel's of 32 groups of 4 took 87, "
        "89 and 7790 ms and take 9.5, 9.8 and 18; of 2 groups of 48 34, 124 and 176 "
        "ms, now 16, 17 and 14",
    ),
    Rule(
        "separate",
        ("cpu",),
        lambda case: case.groups > 1,
        "NaN and infinity have to stay in their own group: 32 groups of 4 took 382 ms "
        "all at once and take 179 one after another (Xeon); 2 of 48 took 274, now 71",
    ),
    Rule(
        "overlap_add",
        ("cpu",),
        _few_channels_or_not_2d,
        "XLA multiplies the zeros that the stride puts between elements: 1880 ms "
        "become 0.7 in 3-D with stride 2, 64 to 1 channels, and 18 become 14 in 1-D "
        "with stride 8",
    ),
    Rule(
        "overlap_add",
        ("cpu",),
        _few_in,
        "With few channels one product and shifted sums are shorter than a "
        "convolution: 1.5 ms by XLA become 0.9 for 3x3 of 3 to 32 channels at 64x64, "
        "2.2 become 1.9 for 8 to 32",
    ),
    Rule(
        "shift",
        ("cpu",),
        _one_channel_in,
        "With one channel in and few out the columns of a product would be too large; "
        "shifted sums need none: 3.7 ms by XLA become 0.5 for 5x5, 1 to 6 channels at "
        "28x28",
    ),
    Rule(
        "polyphase",
        ("cpu",),
        _full_phases,
        "XLA multiplies the zeros that the stride puts between elements: 42 ms become "
        "26 for 4x4, stride 2, 128 to 64 channels at 32x32, 55 become 31 for 7x7, "
        "stride 2, 64 to 3 channels; but not for 3x3 with stride 2, which is filled "
        "up to 4x4: 4.0 ms would become 6.1",
    ),
    Rule(
        "taps",
        ("cpu",),
        _deep_bfloat16,
        "XLA computes bfloat16 convolutions in float32, and its products in bfloat16 "
        "where the processor can: 9.1 ms become 4.3 for 3x3 of 512 channels at 7x7, "
        "8.3 become 5.1 for 256 at 14x14; with AMX on a Xeon the output, the input's "
        "gradient and the kernel's of 256 at 56x56 took 15, 15 and 48 ms and take "
        "7.5, 7.5 and 9.8, of 8 images of 256 at 28x28 27, 27 and 98 ms and take 15, "
        "15 and 24; at 64 channels it is slower",
    ),
    Rule(
        "taps",
        ("cpu",),
        _few_positions,
        "A sum over few positions is a short product for each tap: 2.8 ms by XLA "
        "become 2.0 for 4x4, stride 2, 512 to 256 channels at 4x4; at 16x16 with 128 "
        "to 64 channels 1.6 would become 2.0",
    ),
    Rule(
        "chunks",
        ("cpu",),
        lambda case: case.geometry.ndim == 2 and chunks.gains(case),
        "XLA slows down on images that do not fit the cache: on a Xeon the kernel's "
        "gradient of 3x3, 64 channels at 56x56, took 55 ms and takes 22, of 1 channel "
        "at 256x256 145 ms and takes 46",
    ),
    Rule(
        "rows",
        ("cpu",),
        _one_axis,
        "XLA's fast convolution has two axes of space, and a line becomes an image of "
        "height 1: 7.4 ms become 4.3 for a kernel of 3 and 768 channels",
    ),
    Rule(
        "slices",
        ("cpu",),
        lambda case: case.geometry.ndim >= 3,
        "XLA's fast convolution has two axes of space, and a volume is a sum of "
        "slices: the output, the input's gradient and the kernel's of 3x3x3, 16 to 32 "
        "channels at 32x32x32, took 33, 62 and 101 ms and take 9.9, 11 and 19",
    ),
    Rule(
        "exchange",
        ("cpu",),
        _narrow_gradient,
        "With few channels out it is quicker to slide the result over the image than, "
        "as XLA does, the image over the result: 32 ms become 0.9 for the kernel's "
        "gradient of 7x7, 64 to 3 channels",
    ),
)
