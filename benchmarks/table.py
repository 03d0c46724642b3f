"""The table of workloads.

Positional arguments: name, batch, space, channels in, channels out, kernel, stride,
padding, dilation, groups, output padding.
"""

from __future__ import annotations

from benchmarks.workloads import FAMILIES, Workload
from benchmarks.workloads import workload as row

# Layers of well-known models, and shapes that users reported as slow.
KNOWN = (
    row("dense resnet stem 7x7 s2", 8, (224, 224), 3, 64, 7, 2, 3),
    row("dense 3x3 64@56", 8, (56, 56), 64, 64, 3, 1, 1),
    row("dense 3x3 s2 128@56", 8, (56, 56), 128, 128, 3, 2, 1),
    row("dense 3x3 512@7", 8, (7, 7), 512, 512, 3, 1, 1),
    row("dense 1x1 256-64@56", 8, (56, 56), 256, 64, 1),
    row("dense 1x1 s2 256-512@56", 8, (56, 56), 256, 512, 1, 2),
    row("dense aspp 3x3 d6 256@33", 1, (33, 33), 256, 256, 3, 1, 6, 6),
    row("dense patch embed 16x16 s16", 8, (224, 224), 3, 768, 16, 16),
    row("dense lenet 5x5 1-32@28", 64, (28, 28), 1, 32, 5, 1, 2),
    row("depthwise 3x3 256@124", 1, (124, 124), 256, 256, 3, 1, 1, 1, 256),
    row("depthwise convnext 7x7 96@56", 8, (56, 56), 96, 96, 7, 1, 3, 1, 96),
    row("depthwise mobilenet 3x3 s2 96@112", 8, (112, 112), 96, 96, 3, 2, 1, 1, 96),
    row("depthwise effnet 5x5 s2 240@28", 8, (28, 28), 240, 240, 5, 2, 2, 1, 240),
    row("depthwise 5x5 d2 128@56", 4, (56, 56), 128, 128, 5, 1, 4, 2, 128),
    row("depthwise 1d k5 512@1024", 32, 1024, 512, 512, 5, 1, 2, 1, 512),
    row(
        *("grouped resnext g32 3x3 128@56", 8, (56, 56), 128, 128, 3, 1, 1, 1, 32),
        slow=("kernel",),
    ),
    row("grouped alexnet g2 5x5 96-256@27", 8, (27, 27), 96, 256, 5, 1, 2, 1, 2),
    row("grouped 1x1 g2 512-128@64", 8, (64, 64), 512, 128, 1, 1, 0, 1, 2),
    row("grouped 1d g8 k3 d4 64@1024", 32, 1024, 64, 64, 3, 1, 4, 4, 8),
    row("transposed dcgan 4x4 s2 512-256@8", 16, (8, 8), 512, 256, 4, 2, 1),
    row(
        *("transposed dcgan 4x4 s2 128-64@32", 16, (32, 32), 128, 64, 4, 2, 1),
        slow=("kernel",),
    ),
    row("transposed dcgan 4x4 s2 64-3@32", 16, (32, 32), 64, 3, 4, 2, 1),
    row("transposed unet 2x2 s2 128-64@64", 4, (64, 64), 128, 64, 2, 2),
    row("transposed 3x3 s2 op1 64-32@56", 4, (56, 56), 64, 32, 3, 2, 1, 1, 1, 1),
    row(
        *("transposed depthwise 4x4 s2 64@56", 4, (56, 56), 64, 64, 4, 2, 1, 1, 64),
        slow=("kernel",),
    ),
    row("transposed 1d hifigan k16 s8 512-256@200", 4, 200, 512, 256, 16, 8, 4),
    row("transposed 1d oobleck k8 s4 512-256@512", 2, 512, 512, 256, 8, 4, 2),
    row(
        *("transposed 3d k3 s2 op1 64-1@32", 1, (32, 32, 16)),
        *(64, 1, 3, 2, 1, 1, 1, 1),
    ),
    row("3d unet k3 16-32@32", 2, (32, 32, 32), 16, 32, 3, 1, 1),
    row("1d k5 128@512", 16, 512, 128, 128, 5, 1, 2),
)

# Further public reports, some with fewer channels or a smaller batch, and a few shapes
# of our own; the default selection takes those that are quick and unlike the rest.
FURTHER = (
    row("dense 3x3 bf16 256@56", 1, (56, 56), 256, 256, 3, 1, 1, dtype="bfloat16"),
    row("dense 51x51 1@286", 4, (286, 286), 1, 1, 51, default=False),
    row(
        *("dense 100x100 f64 1@100", 1, (100, 100), 1, 1, 100, 1),
        ((49, 50), (49, 50)),
        dtype="float64",
        default=False,
    ),
    row(
        *("dense scan 3x3 64@32", 4, (32, 32), 64, 64, 3, 1, 1),
        context="scan",
        count=4,
    ),
    row(
        *("dense vmap 3x3 3-64@32", 32, (32, 32), 3, 64, 3, 1, 1),
        context="vmap",
        count=10,
        default=False,
    ),
    row("depthwise 3x3 512@62", 1, (62, 62), 512, 512, 3, 1, 1, 1, 512, default=False),
    row("depthwise 31x31 64@28", 2, (28, 28), 64, 64, 31, 1, 15, 1, 64, default=False),
    row(
        *("depthwise 1d causal k4 1024@16384", 1, 16384, 1024, 1024, 4, 1),
        *(((3, 0),), 1, 1024),
        default=False,
    ),
    row(
        *("grouped 1x1 g2 512-128@64 batch 16", 16, (64, 64), 512, 128, 1),
        *(1, 0, 1, 2),
        default=False,
    ),
    row("grouped 3x3 g4 64@28", 8, (28, 28), 64, 64, 3, 1, 1, 1, 4),
    *(
        row(
            *(f"grouped 1d g8 k3 d{d} 64@1024", 32, 1024, 64, 64, 3, 1, d, d, 8),
            default=False,
        )
        for d in (1, 32, 512)
    ),
    row(
        *("transposed 3x3 s2 op1 32@64", 16, (64, 64), 32, 32, 3, 2, 1, 1, 1, 1),
        slow=("kernel",),
        default=False,
    ),
    row(
        *("transposed 4x4 s2 64-32@32", 16, (32, 32), 64, 32, 4, 2, 1),
        default=False,
    ),
    row("transposed 3x3 64-32@64", 8, (64, 64), 64, 32, 3, 1, 1, default=False),
    row(
        *("transposed grouped g2 3x3 s2 op1 64-32@32", 8, (32, 32), 64, 32, 3, 2),
        *(1, 1, 2, 1),
        default=False,
    ),
    row(
        *("transposed 32x32 s16 128-32@8", 1, (8, 8), 128, 32, 32, 16, 8),
        default=False,
    ),
    row(
        *("transposed 1d oobleck k20 s10 2048-1024@64", 1, 64, 2048, 1024, 20, 10, 5),
        default=False,
    ),
    row(
        *("transposed 1d depthwise k4 s2 512@512", 8, 512, 512, 512, 4, 2, 1, 1, 512),
        default=False,
    ),
    row("transposed 3d k3 4@48", 1, (48, 48, 48), 4, 4, 3, 1, 1, default=False),
    row("transposed 3d 28x28x1 50-1@1", 200, (1, 1, 1), 50, 1, (28, 28, 1)),
    row("3d depthwise k3 32@24", 2, (24, 24, 24), 32, 32, 3, 1, 1, 1, 32),
    row("3d k3 s2 32-64@24", 2, (24, 24, 24), 32, 64, 3, 2, 1),
    row("1d blur k11 1@1297", 2520, 1297, 1, 1, 11, default=False),
    row("1d dilated k2 d512 64@8192", 2, 8192, 64, 64, 2, 1, ((512, 0),), 512),
    row("1d k10 s5 1-512@16000", 1, 16000, 1, 512, 10, 5),
)

WORKLOADS: tuple[Workload, ...] = KNOWN + FURTHER


def in_turn(workloads: tuple[Workload, ...]) -> list[Workload]:
    """One of each family after another, so that a short run has seen all families."""
    members = {f: [w for w in workloads if w.family == f] for f in FAMILIES}
    rounds = range(max(map(len, members.values())))
    return [
        members[family][i]
        for i in rounds
        for family in FAMILIES
        if i < len(members[family])
    ]
