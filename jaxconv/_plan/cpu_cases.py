"""Conditions of the CPU rules."""

from __future__ import annotations

import math

from jaxconv._core.spec import Case
from jaxconv._lowerings.cpu import chunks
from jaxconv._lowerings.cpu.onednn_kernel import narrow_patches
from jaxconv._lowerings.general import fft


def large_kernel(case: Case) -> bool:
    """Direct sums with many times the work of transforms, and enough work at all."""
    _, c, o = case.sizes
    if fft.LOWERING.refuse(case) is not None or min(c, o) > 16:
        return False
    least, factor = 2**27, 32.0
    if case.groups == 1 and max(c, o) <= 8:  # XLA is slow on few channels
        least, factor = 2**23, 2.5
    elif depthwise(case):
        least, factor = 2**24, 3.0 if case.role == "kernel" else 8.0
    return case.multiply_adds >= max(least, factor * fft.steps(case))


def kernel_of_few(case: Case) -> bool:
    """Kernels of up to 7x7 of few channels, among those for which XLA is slow."""
    small = case.geometry.ndim == 2 and case.geometry.taps <= 49
    return case.role == "output" and case.groups == 1 and small and large_kernel(case)


def long_filters(case: Case) -> bool:
    """1-D input gradients with one channel and a long kernel."""
    line = case.role == "input" and case.groups == 1 and case.sizes.c == 1
    g = case.geometry
    return line and g.ndim == 1 and max(g.stride) == 1 and g.taps > 49


def small_images(case: Case) -> bool:
    """Kernel gradients of depthwise kernels about as large as the image."""
    g = case.geometry
    small = g.positions <= 64 and g.taps >= 25 and g.ndim == 2
    first = case.spec.layout.first
    return case.role == "kernel" and depthwise(case) and small and first


def depthwise(case: Case) -> bool:
    return case.depthwise and case.groups > 1


def depthwise_first(case: Case) -> bool:
    """Depthwise convolutions with channels first.

    Of kernel gradients those with a stride, or with several outputs per channel.
    """
    g = case.geometry
    if not depthwise(case) or case.spec.layout.last:
        return False
    if case.role == "output":  # a stride would copy large images first
        few = max(g.stride) == 1 or case.bytes("input") <= 2**24
        return few and g.taps <= 169
    if case.role == "input":
        return True
    most = 16 if max(g.stride) > 1 else 25 if case.sizes.o > 1 else 0
    return g.taps <= most and g.output[-1] >= 14


def one_channel(case: Case) -> bool:
    """Convolutions of one input channel, without a stride."""
    one = channels_in(case, 1) and case.role == "output" and case.geometry.taps <= 49
    return one and not many_filters(case)


def many_filters(case: Case) -> bool:
    """Large kernels from one channel to many, channels last, on which XLA is quicker.

    7x7, 1 to 32 channels at 64x64, 4 images, takes 0.73 ms by 'shift' and 0.55 by XLA,
    at 224x224 with stride 2 2.2 and 1.6.
    """
    one = case.groups == 1 and case.sizes.c == 1 and case.role == "output"
    many = case.sizes.o >= 32 and case.geometry.taps >= 49
    return one and many and case.spec.layout.last


def onednn_output(case: Case) -> bool:
    """All convolutions, except dense ones from many channels to few, and most 1-D ones.

    XLA is as fast on dense 1-D convolutions, unless the kernel is long.  7x7 of 3
    channels at 64x64, 4 images, takes 2.4 ms by XLA and 0.5 by oneDNN, from 64 to 3
    channels 3.3 and 8.8; short sums of few channels are best written out.
    """
    line = case.geometry.ndim == 1 and case.geometry.taps < 128
    few = case.sizes.o <= 3 and (case.sizes.c >= 32 or few_in_all(case))
    return case.role == "output" and not (case.groups == 1 and (line or few))


def few_windows(case: Case) -> bool:
    """Dense 2-D cases in which putting the kernel in order costs more than the sums.

    XLA is slow where the kernel has more taps than the image has positions.
    """
    g, (n, c, o) = case.geometry, case.sizes
    windows, dense = n * g.positions, case.groups == 1 and g.ndim == 2
    if not dense or case.role == "kernel" or g.taps == 1 or g.taps > g.positions:
        return False
    if case.role == "input":
        most = 64 if not_overlapping(case) else 256
        small = windows <= most and g.positions <= 64
        return max(g.stride) > 1 and small and min(c, o) >= 16
    work = case.multiply_adds
    if windows <= 128:
        return min(c, o) >= 3 and work < 2**26
    return windows <= 1024 and min(c, o) >= 16 and work < 2**24


def not_overlapping(case: Case) -> bool:
    g = case.geometry
    return all(s >= k for s, k in zip(g.stride, g.kernel, strict=True))


def onednn_input(case: Case) -> bool:
    """Input gradients with enough channels; with a stride, one call per phase."""
    g, c, last = case.geometry, case.sizes.c, case.spec.layout.last
    if case.role != "input":
        return False
    if max(g.stride) > 1:
        return g.ndim > 1 and c * (case.groups if last else 1) >= 32
    wide = c * (case.groups if last else 1) >= (16 if g.ndim < 3 else 8)
    return wide or (last and case.sizes.o <= 2)


def onednn_points(case: Case) -> bool:
    """Dense kernel gradients of 1x1 kernels with long sums."""
    g, (n, c, o) = case.geometry, case.sizes
    dense = case.role == "kernel" and case.groups == g.taps == 1
    return dense and n * g.positions >= 32 and min(c, o) >= 2


def few_columns(case: Case) -> bool:
    """Kernel gradients of 1x1 kernels with few channels on one side, channels last."""
    g, (_, c, o) = case.geometry, case.sizes
    dense = case.role == "kernel" and case.groups == g.taps == 1
    return dense and case.spec.layout.last and 8 <= min(c, o) < 32 and g.ndim == 2


def onednn_kernel(case: Case) -> bool:
    """Dense kernel gradients; of lines only those that are one product of patches."""
    g, (_, c, o) = case.geometry, case.sizes
    if case.role != "kernel" or case.groups > 1 or case.multiply_adds < 2**21:
        return False
    if g.ndim == 1:
        few = g.taps <= 16 and narrow_patches(g, c, o)
        short = g.taps <= (3 if max(g.stride) == 1 else 8) and max(g.dilation) <= 64
        return o >= 8 and (few or (short and c >= 8))
    return o >= 8 and g.taps <= 256 and not not_overlapping(case)


def worth_a_product(case: Case) -> bool:
    """Products with enough terms in each sum, or with a single position."""
    g, (n, c, o) = case.geometry, case.sizes
    terms = {"output": g.taps * c, "input": o, "kernel": n * g.positions}[case.role]
    return terms >= (8 if g.ndim < 3 else 4) or g.positions == 1


def channels_in(case: Case, channels: int) -> bool:
    """Whether there are at most so many input channels, no groups and no stride."""
    dense = case.groups == 1 and max(case.geometry.stride) == 1
    return dense and case.sizes.c <= channels


def few_in_all(case: Case) -> bool:
    """Few channels, with sums short enough to be unrolled."""
    g, (_, c, o) = case.geometry, case.sizes
    if case.groups > 1:
        return False
    if case.spec.layout.last:
        short = terms(case) <= 75 and not many_filters(case)
        return g.ndim == 2 and case.role != "kernel" and short
    if g.ndim >= 2:
        most = 27 if g.ndim == 2 else 108
        return case.role != "kernel" and max(g.stride) == 1 and terms(case) <= most
    one = 1 in (c, o) and g.taps <= 16
    return one and (case.role != "kernel" or (c == 1 and max(g.stride) == 1))


def terms(case: Case) -> int:
    """The number of products in a sum of the output or the input role."""
    return case.geometry.taps * (
        case.sizes.c if case.role == "output" else case.sizes.o
    )


def few_points(case: Case) -> bool:
    """1x1 convolutions with few channels, for which a matrix product is narrow."""
    g, (_, c, o) = case.geometry, case.sizes
    first = case.spec.layout.first and case.groups == 1
    plane = g.ndim == 2 and g.taps == 1 and max(g.stride) == 1
    into = o if case.role == "output" else c
    few = terms(case) <= 2 or (terms(case) <= 64 and into <= 2)
    large = case.role == "output" and case.bytes("output") >= 2**23
    few = few or (large and terms(case) <= 16)
    return first and plane and few and case.role != "kernel"


def very_few_in_all(case: Case) -> bool:
    """Few channels, for which unrolled sums are faster than oneDNN."""
    g, most = case.geometry, max(case.sizes[1:])
    if case.spec.layout.last:
        return few_in_all(case) and most <= 2 and case.role == "output"
    return few_in_all(case) and (g.ndim < 3 or most <= 8)


def few_in(case: Case) -> bool:
    few = {1: 1, 2: 8}.get(case.geometry.ndim, 4)
    small = case.sizes.c * case.geometry.taps <= (72 if case.geometry.ndim < 3 else 108)
    return case.role == "input" and channels_in(case, few) and small


def one_channel_in(case: Case) -> bool:
    return case.role == "input" and channels_in(case, 1) and case.geometry.taps <= 49


def deep_and_small(case: Case) -> bool:
    """Input gradients of small images with many channels, as in a network's end."""
    g = case.geometry
    plane = g.ndim == 2 and max(g.stride) == 1 and g.positions <= 64
    return case.role == "input" and case.groups == 1 and plane and case.sizes.o >= 256


def strided_input(case: Case) -> bool:
    """Dense input gradients with a stride, except 1-D ones with many channels.

    For a kernel of 8, stride 4, 512 to 256 channels, XLA is faster.
    """
    g = case.geometry
    deep_line = g.ndim == 1 and g.taps < 10 and case.sizes.o >= 256
    return (
        case.role == "input"
        and case.groups == 1
        and max(g.stride) > 1
        and not deep_line
    )


def few_channels_or_not_2d(case: Case) -> bool:
    """Strided input gradients whose columns (im2col) are small enough."""
    g, (n, c, _) = case.geometry, case.sizes
    windows = n * g.positions * g.taps * c
    few = g.ndim != 2 or c <= 8
    return strided_input(case) and few and windows <= 2**21


def full_phases(case: Case) -> bool:
    """Strided input gradients whose phases need few zeros added to the kernel."""
    g, o = case.geometry, case.sizes.o
    padded = math.prod(-(-axis.span // axis.s) * axis.s for axis in g.axes)
    enough = case.sizes.n * g.positions >= 512 or o <= 128
    full = padded <= 1.35 * g.taps and o <= 512 and enough
    nearly = padded <= 1.8 * g.taps and o <= 64
    return strided_input(case) and (g.ndim != 2 or full or nearly)


def deep_bfloat16(case: Case) -> bool:
    wide = min(case.sizes.c, case.sizes.o) >= 128
    large = case.role != "kernel" or case.geometry.positions >= 1024
    return case.dtype.name == "bfloat16" and wide and large


def few_positions(case: Case) -> bool:
    """Kernel gradients with many channels and few positions to sum over."""
    g, (n, c, o) = case.geometry, case.sizes
    few = case.groups == 1 and n * g.positions <= 256 and max(g.stride) > 1
    return case.role == "kernel" and g.ndim == 2 and few and min(c, o) >= 128


def strided_gradient(case: Case) -> bool:
    """Strided kernel gradients with few taps, of images that fit the last cache."""
    g, (_, c, o) = case.geometry, case.sizes
    size = case.bytes("input") + case.bytes("output")
    strided = case.role == "kernel" and case.groups == 1 and max(g.stride) > 1
    few = g.taps <= {1: 4, 2: 9}.get(g.ndim, 27) and min(c, o) >= 32
    few = few and (g.ndim > 1 or max(c, o) <= 384)
    return strided and few and size <= 24e6


def line(case: Case) -> bool:
    """1-D convolutions with a dilation, or with few taps and few channels."""
    g = case.geometry
    few = min(case.sizes.c, case.sizes.o) <= 32 and g.taps <= 16
    return g.ndim == 1 and case.role != "kernel" and (few or max(g.dilation) > 1)


def one_output(case: Case) -> bool:
    """Kernel gradients of a single output channel of images, with few taps."""
    g, (_, c, o) = case.geometry, case.sizes
    dense = case.role == "kernel" and case.groups == 1 and g.ndim == 2
    return dense and o == 1 and c >= 32 and g.taps <= 25


def few_pairs(case: Case) -> bool:
    """Kernel gradients of one input channel and a few output channels of images."""
    g, (_, c, o) = case.geometry, case.sizes
    dense = case.role == "kernel" and case.groups == 1 and g.ndim == 2
    return dense and c == 1 and 1 < o <= 4 and g.taps <= 9


def narrow_gradient(case: Case) -> bool:
    """Kernel gradients with few output channels.

    The padding must be at least that of "same": with less, XLA swaps the operands back.
    """
    n, c, o = case.sizes
    g = case.geometry
    wide = math.prod(g.input) <= math.prod(g.output)
    return case.role == "kernel" and n <= 16 and o <= 16 < c and wide


def one_volume(case: Case) -> bool:
    """3-D kernel gradients of one input and one output channel."""
    _, c, o = case.sizes
    return case.role == "kernel" and case.geometry.ndim == 3 and c == o == 1


def past_the_cache(case: Case) -> bool:
    return case.geometry.ndim == 2 and chunks.gains(case)


def volume(case: Case) -> bool:
    return case.geometry.ndim >= 3
