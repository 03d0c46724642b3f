"""Layers of the architectures that people run, for `benchmarks.run --all-lowerings`.

They stand beside the workloads of `benchmarks.table` and are chosen for their variety:
batches from 1 to 64, both layouts, few channels and many, small images and large ones.
A name that ends in "last" has its channels last.  The first lines of an architecture's
layers are those that its first stages have, the last ones those of its last stages.
"""

from __future__ import annotations

from typing import Any

from benchmarks.table import WORKLOADS
from benchmarks.workloads import Workload, workload


def _row(name: str, *sizes: Any, **more: Any) -> Workload:
    layout = "channels_last" if name.endswith(" last") else "channels_first"
    return workload(name, *sizes, layout=layout, **more)


CIRCULAR = {"padding_mode": "circular"}

# The arguments are those of `benchmarks.table`.
DENSE = (
    _row("dense resnet stem 7x7 s2 3-64@224 last", 1, (224, 224), 3, 64, 7, 2, 3),
    _row("dense resnet18 3x3 64@56 last", 4, (56, 56), 64, 64, 3, 1, 1),
    _row("dense resnet18 3x3 128@28 last", 16, (28, 28), 128, 128, 3, 1, 1),
    _row("dense resnet18 3x3 256@14", 16, (14, 14), 256, 256, 3, 1, 1),
    _row("dense resnet18 3x3 s2 256-512@14", 32, (14, 14), 256, 512, 3, 2, 1),
    _row("dense resnet18 3x3 512@7 last", 1, (7, 7), 512, 512, 3, 1, 1),
    _row("dense resnet50 1x1 64-256@56 last", 4, (56, 56), 64, 256, 1),
    _row("dense resnet50 1x1 1024-256@14", 16, (14, 14), 1024, 256, 1),
    _row("dense resnet50 1x1 512-2048@7 last", 32, (7, 7), 512, 2048, 1),
    _row("dense resnet50 1x1 s2 512-1024@28 last", 4, (28, 28), 512, 1024, 1, 2),
    _row("dense cifar 3x3 3-16@32", 64, (32, 32), 3, 16, 3, 1, 1),
    _row("dense cifar 3x3 16@32", 64, (32, 32), 16, 16, 3, 1, 1),
    _row("dense cifar 3x3 64@8 last", 64, (8, 8), 64, 64, 3, 1, 1),
    _row("dense vgg 3x3 64-128@112", 1, (112, 112), 64, 128, 3, 1, 1),
    _row("dense vgg 3x3 512@14", 4, (14, 14), 512, 512, 3, 1, 1),
    _row("dense convnext 4x4 s4 3-96@224 last", 8, (224, 224), 3, 96, 4, 4),
    _row("dense convnext 2x2 s2 96-192@56", 4, (56, 56), 96, 192, 2, 2),
    _row("dense effnet 3x3 s2 3-32@224 last", 4, (224, 224), 3, 32, 3, 2, 1),
    _row("dense mobilenet 1x1 16-96@112", 4, (112, 112), 16, 96, 1),
    _row("dense mobilenet 1x1 320-1280@7 last", 8, (7, 7), 320, 1280, 1),
    _row("dense unet 3x3 1-32@256", 2, (256, 256), 1, 32, 3, 1, 1),
    _row("dense unet 3x3 64@128", 1, (128, 128), 64, 64, 3, 1, 1),
    _row("dense unet 3x3 256-128@64 last", 1, (64, 64), 256, 128, 3, 1, 1),
    _row("dense unet head 1x1 64-2@256", 2, (256, 256), 64, 2, 1),
    _row("dense fcn head 3x3 512-64@60", 1, (60, 60), 512, 64, 3, 1, 1),
    _row("dense deeplab head 1x1 256-21@65 last", 2, (65, 65), 256, 21, 1),
    _row("dense aspp 3x3 d12 256-64@33 last", 2, (33, 33), 256, 64, 3, 1, 12, 12),
    _row("dense pix2pix 4x4 s2 3-64@256", 1, (256, 256), 3, 64, 4, 2, 1),
    _row("dense pix2pix 4x4 s2 128-256@64 last", 1, (64, 64), 128, 256, 4, 2, 1),
    _row("dense patchgan 4x4 512-1@31", 1, (31, 31), 512, 1, 4, 1, 1),
    _row("dense dcgan 4x4 s2 64-128@32", 32, (32, 32), 64, 128, 4, 2, 1),
    _row("dense dcgan 4x4 512-1@4 last", 64, (4, 4), 512, 1, 4),
    _row("dense srcnn 9x9 3-64@64", 4, (64, 64), 3, 64, 9, 1, 4),
    _row("dense srcnn 5x5 32-3@64 last", 4, (64, 64), 32, 3, 5, 1, 2),
    _row("dense vae 3x3 128-3@64", 4, (64, 64), 128, 3, 3, 1, 1),
    _row("dense sobel 3x3 1-2@512", 1, (512, 512), 1, 2, 3, 1, 1),
    _row("dense ssim 11x11 1@256", 8, (256, 256), 1, 1, 11),
    _row("dense periodic 3x3 1@256", 1, (256, 256), 1, 1, 3, 1, 1, **CIRCULAR),
    _row("dense periodic 3x3 1@512", 1, (512, 512), 1, 1, 3, 1, 1, **CIRCULAR),
    _row("dense periodic 5x5 2@256 last", 2, (256, 256), 2, 2, 5, 1, 2, **CIRCULAR),
    _row("dense periodic 3x3 16@64", 4, (64, 64), 16, 16, 3, 1, 1, **CIRCULAR),
    _row("dense vmap 3x3 16@16", 1, (16, 16), 16, 16, 3, context="vmap", count=32),
    _row("dense vmap 5x5 1-8@28", 1, (28, 28), 1, 8, 5, context="vmap", count=64),
    _row(
        "dense bf16 3x3 128@28 last", 4, (28, 28), 128, 128, 3, 1, 1, dtype="bfloat16"
    ),
    _row("dense bf16 1x1 256-64@56", 4, (56, 56), 256, 64, 1, dtype="bfloat16"),
)
DEPTHWISE = (
    _row("depthwise mobilenet 3x3 32@112 last", 4, (112, 112), 32, 32, 3, 1, 1, 1, 32),
    _row(
        "depthwise mobilenet 3x3 s2 144@56 last", 8, (56, 56), 144, 144, 3, 2, 1, 1, 144
    ),
    _row("depthwise mobilenet 3x3 384@14", 16, (14, 14), 384, 384, 3, 1, 1, 1, 384),
    _row("depthwise mobilenet 3x3 960@7 last", 32, (7, 7), 960, 960, 3, 1, 1, 1, 960),
    _row("depthwise effnet 5x5 672@14", 8, (14, 14), 672, 672, 5, 1, 2, 1, 672),
    _row("depthwise effnet 5x5 s2 672@14 last", 8, (14, 14), 672, 672, 5, 2, 2, 1, 672),
    _row("depthwise effnet 3x3 s2 96@112", 2, (112, 112), 96, 96, 3, 2, 1, 1, 96),
    _row("depthwise convnext 7x7 96@56 last", 1, (56, 56), 96, 96, 7, 1, 3, 1, 96),
    _row("depthwise convnext 7x7 384@14 last", 8, (14, 14), 384, 384, 7, 1, 3, 1, 384),
    _row("depthwise convnext 7x7 768@7", 16, (7, 7), 768, 768, 7, 1, 3, 1, 768),
    _row("depthwise replknet 13x13 64@56", 1, (56, 56), 64, 64, 13, 1, 6, 1, 64),
    _row(
        "depthwise segnext 1x21 64@56", 2, (56, 56), 64, 64, (1, 21), 1, (0, 10), 1, 64
    ),
    _row("depthwise xception 3x3 d2 728@19", 4, (19, 19), 728, 728, 3, 1, 2, 2, 728),
    _row("depthwise multiplier 3x3 32-64@56", 4, (56, 56), 32, 64, 3, 1, 1, 1, 32),
    _row(
        "depthwise 1d mamba k4 1024@512", 2, 512, 1024, 1024, 4, 1, ((3, 0),), 1, 1024
    ),
    _row(
        "depthwise 1d mamba k4 1536@256 last",
        4,
        256,
        1536,
        1536,
        4,
        1,
        ((3, 0),),
        1,
        1536,
    ),
    _row("depthwise 1d conformer k31 256@400", 8, 400, 256, 256, 31, 1, 15, 1, 256),
    _row("depthwise 1d vocos k7 512@256 last", 8, 256, 512, 512, 7, 1, 3, 1, 512),
    _row("depthwise 1d tcn k3 d8 128@1024", 4, 1024, 128, 128, 3, 1, 8, 8, 128),
)
GROUPED = (
    _row("grouped resnext g32 3x3 128@56 last", 2, (56, 56), 128, 128, 3, 1, 1, 1, 32),
    _row("grouped resnext g32 3x3 256@28", 8, (28, 28), 256, 256, 3, 1, 1, 1, 32),
    _row(
        "grouped resnext g32 3x3 s2 512@28 last", 4, (28, 28), 512, 512, 3, 2, 1, 1, 32
    ),
    _row("grouped resnext g32 3x3 1024@7", 16, (7, 7), 1024, 1024, 3, 1, 1, 1, 32),
    _row("grouped regnet g7 3x3 s2 168@56", 4, (56, 56), 168, 168, 3, 2, 1, 1, 7),
    _row("grouped regnet g7 3x3 56@56 last", 4, (56, 56), 56, 56, 3, 1, 1, 1, 7),
    _row("grouped regnet g19 3x3 152@28", 8, (28, 28), 152, 152, 3, 1, 1, 1, 19),
    _row("grouped regnet g46 3x3 368@14 last", 8, (14, 14), 368, 368, 3, 1, 1, 1, 46),
    _row("grouped shufflenet 1x1 g3 240@28", 16, (28, 28), 240, 240, 1, 1, 0, 1, 3),
    _row(
        "grouped shufflenet 1x1 g8 384@14 last", 32, (14, 14), 384, 384, 1, 1, 0, 1, 8
    ),
    _row("grouped 1d wav2vec k128 g16 768@100", 1, 100, 768, 768, 128, 1, 64, 1, 16),
    _row("grouped 1d melgan k41 s4 g4 16-64@4096", 2, 4096, 16, 64, 41, 4, 20, 1, 4),
    _row("grouped 1d conv-tasnet k3 g8 256@800 last", 2, 800, 256, 256, 3, 1, 1, 1, 8),
    _row("grouped 3d k3 g4 32@16", 2, (16, 16, 16), 32, 32, 3, 1, 1, 1, 4),
)
TRANSPOSED = (
    _row("transposed pix2pix 4x4 s2 512-256@16 last", 1, (16, 16), 512, 256, 4, 2, 1),
    _row("transposed pix2pix 4x4 s2 128-3@128", 1, (128, 128), 128, 3, 4, 2, 1),
    _row("transposed unet 2x2 s2 512-256@16 last", 2, (16, 16), 512, 256, 2, 2),
    _row(
        "transposed 3x3 s2 op1 128-64@28 last", 2, (28, 28), 128, 64, 3, 2, 1, 1, 1, 1
    ),
    _row("transposed fcn 16x16 s8 21@32", 1, (32, 32), 21, 21, 16, 8, 4),
    _row("transposed dcgan 4x4 100-512@1", 64, (1, 1), 100, 512, 4),
    _row("transposed dcgan 4x4 s2 256-128@16 last", 8, (16, 16), 256, 128, 4, 2, 1),
    _row(
        "transposed depthwise 3x3 s2 op1 32@28 last",
        4,
        (28, 28),
        32,
        32,
        3,
        2,
        1,
        1,
        32,
        1,
    ),
    _row("transposed 1d hifigan k4 s2 128-64@1600", 2, 1600, 128, 64, 4, 2, 1),
    _row("transposed 1d encodec k10 s5 256-128@200 last", 2, 200, 256, 128, 10, 5),
    _row("transposed 1d dac k16 s8 768-384@64", 1, 64, 768, 384, 16, 8, 4),
    _row("transposed 3d unet k2 s2 32-16@16", 1, (16, 16, 16), 32, 16, 2, 2),
    _row("transposed 3d vnet k4 s2 32-16@12 last", 1, (12, 12, 12), 32, 16, 4, 2, 1),
)
VOLUMES = (
    _row("3d unet k3 32-64@16 last", 2, (16, 16, 16), 32, 64, 3, 1, 1),
    _row("3d unet k3 1-16@48", 1, (48, 48, 48), 1, 16, 3, 1, 1),
    _row("3d unet k3 128@8", 2, (8, 8, 8), 128, 128, 3, 1, 1),
    _row("3d c3d k3 3-64@16", 1, (16, 56, 56), 3, 64, 3, 1, 1),
    _row("3d resnet k3 s2 64-128@14 last", 2, (14, 14, 14), 64, 128, 3, 2, 1),
    _row("3d r2plus1d 1x3x3 32-64@8", 2, (8, 28, 28), 32, 64, (1, 3, 3), 1, (0, 1, 1)),
    _row("3d head 1x1x1 64-4@24", 1, (24, 24, 24), 64, 4, 1),
    _row("3d periodic k3 1@48", 1, (48, 48, 48), 1, 1, 3, 1, 1, **CIRCULAR),
)
LINES = (
    _row("1d wavenet k2 d16 64-128@4096", 1, 4096, 64, 128, 2, 1, ((16, 0),), 16),
    _row("1d encodec k7 1-32@8192", 2, 8192, 1, 32, 7, 1, ((6, 0),)),
    _row("1d encodec k4 s2 32-64@8192 last", 2, 8192, 32, 64, 4, 2, 1),
    _row("1d dac k16 s8 256-512@512", 1, 512, 256, 512, 16, 8, 4),
    _row("1d hifigan k11 d5 64@2048", 2, 2048, 64, 64, 11, 1, 25, 5),
    _row("1d hifigan k3 256@512 last", 4, 512, 256, 256, 3, 1, 1),
    _row("1d hifigan k7 32-1@8192", 2, 8192, 32, 1, 7, 1, 3),
    _row("1d sincnet k251 1-80@3200", 16, 3200, 1, 80, 251),
    _row("1d sincnet k251 1-80@3200 last", 4, 3200, 1, 80, 251),
    _row("1d stft k400 s160 1-402@16000", 4, 16000, 1, 402, 400, 160),
    _row("1d stft k769 s64 1-256@16384", 2, 16384, 1, 256, 769, 64, 384),
    _row("1d text k5 128-100@64 last", 32, 64, 128, 100, 5),
    _row("1d whisper k3 80-384@1500", 1, 1500, 80, 384, 3, 1, 1),
    _row("1d whisper k3 s2 384@1500 last", 1, 1500, 384, 384, 3, 2, 1),
    _row("1d conv-tasnet k1 512-128@800", 4, 800, 512, 128, 1),
    _row("1d wav2vec k3 s2 512@1000", 2, 1000, 512, 512, 3, 2),
    _row("1d ecg k15 12-64@1000 last", 16, 1000, 12, 64, 15, 1, 7),
)

LAYERS: tuple[Workload, ...] = (
    *(*DENSE, *DEPTHWISE, *GROUPED, *TRANSPOSED, *VOLUMES, *LINES),
)
BY_NAME = {w.name: w for w in (*WORKLOADS, *LAYERS)}
# One contraction each: a loop's are those of the same convolution outside of it.
MEASURED: tuple[Workload, ...] = tuple(
    w for w in (*WORKLOADS, *LAYERS) if w.context != "scan"
)
