"""The plan's rules for CPUs, checked against the tables of every lowering's times.

The tables are `benchmarks/results/lowerings-*.json`; `python -m benchmarks.regret`
reports by how much the rules miss the best lowering of each case, and
tests/test_regret.py bounds it.  Numbers in a reason are milliseconds on the Xeon of the
table, if no other processor is named; three numbers are those of the output, the
input's gradient and the kernel's gradient.
"""

from __future__ import annotations

from collections.abc import Callable

from jaxconv._core.spec import Case
from jaxconv._plan import cpu_cases as cases
from jaxconv._plan import cpu_groups as groups
from jaxconv._plan.rule import Rule


def _rule(
    name: str, applies: Callable[[Case], bool], reason: str, onednn: bool = False
) -> Rule:
    return Rule(name, ("cpu",), applies, reason, onednn=onednn)


CPU: tuple[Rule, ...] = (
    _rule(
        "onednn",
        cases.kernel_of_few,
        "With oneDNN transforms pay for larger kernels only: 5x5, 4 to 8 channels at "
        "28x28, 32 images, takes 1.28 ms by 'fft' and 0.58 this way, 7x7 at 64x64, 4 "
        "images, 1.4 and 0.7, but 9x9 of 2 channels 0.34 and 0.61",
    ),
    _rule(
        "fft",
        cases.large_kernel,
        "Transforms take far fewer operations than direct sums of a kernel this "
        "large: 61, 730 and 33 ms by XLA become 2.3, 1.9 and 1.7 for 51x51, one "
        "channel at 286x286",
    ),
    _rule(
        "fft",
        cases.long_filters,
        "XLA adds up only for one channel where a line is made from many filtered "
        "ones: 69 ms become 21 for the input's gradient of a kernel of 251, 1 to 80 "
        "channels, 3200 long",
    ),
    _rule(
        "narrow",
        cases.depthwise_first,
        "With channels first, sums over whole rows need no other order: depthwise 3x3 "
        "of 256 channels at 124x124 takes 1.6 ms where 'shift' takes 2.3, and lines of "
        "512, kernel 4, stride 2, 1.4, 1.7 and 3.1 where it takes 5.5, 6.3 and 10.4",
    ),
    _rule(
        "onednn",
        groups.points_of_groups,
        "A product of each group needs the groups first: 1x1, 8 groups of 48 at 14x14, "
        "channels last, takes 2.6 and 2.3 ms by 'product' and 0.9 and 0.9 this way",
    ),
    _rule(
        "onednn",
        cases.onednn_points,
        "XLA adds up long sums of products slowly: the kernel's gradient of 1x1, 256 "
        "to 64 channels at 56x56, takes 4.8 ms by 'product' and 3.2 this way, of 64 to "
        "2 at 256x256 9.8 and 1.7",
    ),
    _rule(
        "einsum",
        cases.few_columns,
        "Where oneDNN cannot be called, products with few columns are quicker image by "
        "image: the kernel's gradient of 1x1, 256 to 21 channels at 65x65, channels "
        "last, takes 2.8 ms by 'product' and 1.7 this way",
    ),
    _rule(
        "narrow",
        cases.few_points,
        "A product with few channels on one side is narrow: 1x1, 64 to 2 channels at "
        "256x256, takes 4 ms by 'product' and 1.4 this way, and its input's "
        "gradient 10 and 2.3",
    ),
    _rule(
        "xla",
        cases.few_windows,
        "Other ways put the kernel in another order first, which few windows do not "
        "pay for: the input's gradient of 4x4, stride 2, 256 to 512 channels at 4x4, "
        "4 images, takes 3.8 ms by 'onednn' and 2.1 this way, and 3x3 of 256 channels "
        "at 8x8, one image, 1.3 and 0.7",
    ),
    _rule(
        "product",
        cases.worth_a_product,
        "Windows that do not overlap are one product of matrices: the input's "
        "gradient of patches of 16x16 took 116 ms by XLA and takes 8.6, 1x1 with "
        "stride 2 35 ms and takes 9, its kernel's gradient 80 ms and takes 11",
    ),
    _rule(
        "polyphase",
        groups.grouped_phases,
        "oneDNN is quicker on all phases at once than on one group after another: the "
        "input's gradient of 7 groups of 24 at 56x56, stride 2, takes 3.6 ms by "
        "'separate' and 2.9 this way",
        onednn=True,
    ),
    _rule(
        "narrow",
        groups.very_narrow_groups,
        "XLA is slow on groups of few channels: 8 groups of 8, 1024 long, take 10.7, "
        "10.5 and 21 ms by 'grouped' and 1.4, 1.4 and 2.6 this way; 32 groups of 4 at "
        "56x56 14, 15 and 28 ms and 2.8, 2.6 and 8.6",
    ),
    _rule(
        "onednn",
        cases.onednn_kernel,
        "A kernel's gradient is a convolution with batch and channels exchanged, or a "
        "product of patches: 3x3, 64 channels at 56x56, takes 20 ms by 'chunks' and 12 "
        "this way, 3x3x3, 16 to 32 at 32x32x32, 22 by 'slices' and 14, and 3x3, 1 to "
        "32 at 256x256, 5.9 by 'chunks' and 1.3",
    ),
    _rule(
        "narrow",
        cases.very_few_in_all,
        "Few channels make sums short enough to be written out: a kernel of 7, 32 to 1 "
        "channels, 8192 long, takes 0.64 ms by oneDNN and 0.2 this way, the input's "
        "gradient of 3x3x3, 4 channels at 48x48x48, 1.8 and 1.1",
    ),
    _rule(
        "separate",
        groups.long_groups,
        "Of lines under long kernels oneDNN is quicker with each group alone: a kernel "
        "of 128, 16 groups of 48, 100 long, takes 12.2 and 17.2 ms all at once and 7.4 "
        "and 9.5 this way",
        onednn=True,
    ),
    _rule(
        "xla",
        groups.long_groups,
        "XLA is slow on dense lines under long kernels, and less so on grouped ones: a "
        "kernel of 128, 16 groups of 48, 100 long, takes 166 and 165 ms by 'grouped' "
        "and 11.5 and 19 this way",
    ),
    _rule(
        "onednn",
        cases.onednn_output,
        "oneDNN's kernels are compiled for this processor: 13.9 ms by XLA become 11.9 "
        "for 3x3, 64 channels at 56x56, 12 become 6.4 for 3x3, stride 2, 128 at 56x56, "
        "and 25 by 'slices' become 11 for 3x3x3, 16 to 32 at 32x32x32",
    ),
    _rule(
        "fft",
        cases.small_images,
        "A depthwise kernel as large as the image has sums with few products and many "
        "results: the kernel's gradient of 7x7, 768 channels at 7x7, takes 11.8 ms by "
        "'shift' and 6.8 this way",
    ),
    _rule(
        "shift",
        cases.depthwise,
        "XLA runs depthwise convolutions in a slow loop: 3x3 of 256 channels at "
        "124x124 took 100, 100 and 425 ms and takes 2.3, 2 and 8; 7x7 of 384 at 14x14, "
        "channels last, 39, 38 and 117, now 1.3, 1.7 and 3.7",
    ),
    _rule(
        "shift",
        cases.one_channel,
        "With one channel in, a sum of shifted images is shorter than a convolution: "
        "2.5 ms by XLA become 0.3 for 5x5, 1 to 6 channels at 28x28 (EPYC)",
    ),
    _rule(
        "overlap_add",
        cases.deep_and_small,
        "Many channels over a small image are one large product: the input's gradient "
        "of 3x3, 512 channels at 7x7, took 11.4 ms by XLA and takes 7.9, of a single "
        "image 4.1, now 2.3",
    ),
    _rule(
        "onednn",
        cases.onednn_input,
        "An input's gradient is a convolution with the flipped kernel: on a Xeon with "
        "AMX 21 ms become 14 for 3x3, 64 channels at 56x56, 118 become 20 for 7 groups "
        "of 24, stride 2, and 99 become 37 for lines of 512 to 256 channels, stride 8; "
        "but not for 3 channels, where 69 would become 120",
    ),
    _rule(
        "narrow",
        cases.one_output,
        "XLA slides the whole image over a result of one channel: the kernel's "
        "gradient of 4x4, 512 to 1 channels at 31x31, takes 8.8 ms and 1.0 this way",
    ),
    _rule(
        "shift",
        cases.few_pairs,
        "Few pairs of channels are one sum per tap: the kernel's gradient of 3x3, 1 to "
        "2 channels at 512x512, takes 2.5 ms by XLA and 0.94 this way",
    ),
    _rule(
        "separate",
        groups.wide_groups,
        "Groups of 16 channels and more are worth a convolution of their own: 7 groups "
        "of 24 at 56x56, stride 2, take 11 ms by 'grouped', 7.3 by 'narrow' and 2 this "
        "way, 32 of 16 at 28x28, stride 2, 2.2 and 1.6",
    ),
    _rule(
        "narrow",
        groups.narrow_groups,
        "Blocks of merged groups waste most of their work where these are narrow: 4 "
        "groups of 16 at 28x28 take 2 ms by 'grouped' and 1.6 this way, 7 of 24 at "
        "56x56 11.2 and 7.4",
    ),
    _rule(
        "fft",
        groups.awkward_groups,
        "These groups are held evenly by a wide block only, most of it zeros: the "
        "input's gradient of 46 groups of 8 at 14x14 takes 10.1 ms by 'grouped' and "
        "5.3 this way",
    ),
    _rule(
        "onednn",
        groups.long_gradients,
        "Of lines under long kernels oneDNN takes all groups at once: the kernel's "
        "gradient of one of 128, 16 groups of 48, 100 long, takes 42 ms by 'fft' and "
        "25 this way",
    ),
    _rule(
        "fft",
        groups.long_gradients,
        "XLA has no quick code for lines under long kernels: the kernel's gradient of "
        "one of 128, 16 groups of 48, 100 long, takes 164 ms by 'separate' and 36 this "
        "way",
    ),
    _rule(
        "rows",
        groups.gradients_of_lines,
        "Images of height 1 are quicker than lines: the kernel's gradient of a kernel "
        "of 41, stride 4, 4 groups of 4 to 16 channels, 4096 long, takes 2.5 ms by "
        "'grouped' and 0.75 this way, of 3, 8 groups of 32, 800 long, 2 and 1.6",
    ),
    _rule(
        "separate",
        groups.gradients_of_groups,
        "Of a block's gradient most is thrown away: the kernel's gradient of 7 groups "
        "of 24 at 56x56, stride 2, takes 13.6 ms by 'grouped' and 5.2 this way, of 19 "
        "of 8 at 28x28 21.5 and 3.9",
    ),
    _rule(
        "grouped",
        groups.any_groups,
        "XLA is slow on groups, and fast on the dense convolution of several of them: "
        "32 groups of 32 at 7x7 took 15, 14 and 1560 ms and take 3.4, 2.9 and 4; 2 of "
        "48 at 27x27 53, 126 and 223, now 13, 24 and 45",
    ),
    _rule(
        "separate",
        groups.any_groups,
        "NaN and infinity have to stay in their own group: 32 groups of 4 took 382 ms "
        "all at once and take 179 one after another; 2 of 48 took 274, now 71",
    ),
    _rule(
        "narrow",
        cases.few_in_all,
        "Few channels make sums short enough to be written out: 3x3x3 of 4 channels "
        "at 48x48x48 took 10.3 and 10.3 ms by XLA and takes 1.2 and 1.1, of 3 to 64 at "
        "16x56x56 19.3, now 4.7",
    ),
    _rule(
        "overlap_add",
        cases.few_channels_or_not_2d,
        "XLA multiplies the zeros that the stride puts between elements: 1290 ms "
        "become 1.2 in 3-D with stride 2, 64 to 1 channels, and 5.9 become 0.74 for a "
        "kernel of 400, stride 160, 1 to 402 channels",
    ),
    _rule(
        "overlap_add",
        cases.few_in,
        "With few channels one product and shifted sums are shorter than a "
        "convolution: 4.3 ms by XLA become 1.3 for 5x5, 1 to 32 channels at 28x28, and "
        "28.4 become 7.3 for 3x3x3, 3 to 64 at 16x56x56",
    ),
    _rule(
        "shift",
        cases.one_channel_in,
        "With one channel in and few out the columns of a product would be too large; "
        "shifted sums need none: 27.5 ms by XLA become 0.41 for 3x3x3 at 48x48x48",
    ),
    _rule(
        "polyphase",
        cases.full_phases,
        "XLA multiplies the zeros that the stride puts between elements: 54 ms become "
        "17 for 4x4, stride 2, 128 to 64 channels at 32x32, 55 become 28 for 7x7, "
        "stride 2, 64 to 3 channels, and 4.8 become 4 for 3x3, 64 to 32 at 56x56",
    ),
    _rule(
        "taps",
        cases.deep_bfloat16,
        "XLA computes bfloat16 convolutions in float32, and its products in bfloat16 "
        "where the processor can: with AMX 3x3 of 256 channels at 56x56 took 13, 15 "
        "and 68 ms and takes 7.2, 7 and 10",
    ),
    _rule(
        "taps",
        cases.few_positions,
        "A sum over few positions is a short product for each tap: 2.8 ms by XLA "
        "become 2.0 for 4x4, stride 2, 512 to 256 channels at 4x4 (EPYC)",
    ),
    _rule(
        "taps",
        cases.strided_gradient,
        "XLA slides a window with holes for a kernel's gradient with a stride: 22.6 "
        "ms become 15.1 for 3x3, 128 channels at 56x56, and 5.4 become 3.9 for 3x3x3, "
        "32 to 64 at 24x24x24",
    ),
    _rule(
        "chunks",
        cases.past_the_cache,
        "XLA slows down on images that do not fit the cache: the kernel's gradient of "
        "3x3, 64 channels at 56x56, took 51 ms and takes 20, of 7x7, stride 2, 3 to 64 "
        "at 224x224 56, now 31",
    ),
    _rule(
        "rows",
        cases.line,
        "XLA's fast convolution has two axes of space, and a line becomes an image of "
        "height 1: 2.1 ms become 1.5 for a kernel of 11, dilation 5, 64 channels, 2048 "
        "long, and 0.65 become 0.38 for one of 7, 32 to 1 channels, 8192 long",
    ),
    _rule(
        "shift",
        cases.one_volume,
        "With one channel in and out each tap is one sum: the kernel's gradient of "
        "3x3x3 at 48x48x48 took 2.5 ms and takes 0.93",
    ),
    _rule(
        "slices",
        cases.volume,
        "XLA's fast convolution has two axes of space, and a volume is a sum of "
        "slices: 3x3x3, 16 to 32 channels at 32x32x32, took 42, 76 and 79 ms and takes "
        "25, 24 and 22",
    ),
    _rule(
        "exchange",
        cases.narrow_gradient,
        "With few channels out it is quicker to slide the result over the image than, "
        "as XLA does, the image over the result: 0.57 ms become 0.35 for the kernel's "
        "gradient of a kernel of 7, 32 to 1 channels, 8192 long",
    ),
)
