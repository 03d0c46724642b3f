"""The named settings of the gallery's pictures, in its sections."""

from __future__ import annotations

import numpy as np

from jaxconv.viz._gallery_entry import PHOTO, SIDE, Section, entry

_X306, _K306 = np.arange(9).reshape(3, 3), np.arange(4).reshape(2, 2)
_X006 = np.array([[1, 0, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1], [0, 1, 0, 0]])
_K006 = np.array([[0, 1, 1], [0, 1, 0], [1, 0, 1]])
_Y006 = np.array([[2, 3], [1, 3]])
_LETTERS = np.array([["a", "b"], ["c", "d"]])
_KERNEL = np.array([["K11", "K12"], ["K21", "K22"]])
_LINE, _TAPS = np.array([3, 1, 2, 4]), np.array([1, 2, -1])
_LAYERS = (
    {"kernel": 7, "stride": 2, "padding": 3},
    {"kernel": 5, "stride": 2, "padding": 2},
    {"kernel": 5, "stride": 2, "padding": 2},
    {"kernel": 5, "stride": 2, "padding": 2},
)
_RATE = 14  # the dilation, in pixels, of the deformable kernel on the photo
_SEEN = ((10, 14), (34, 36), (54, 52))


def offset() -> np.ndarray:
    """Kernels that are turned and scaled, more so towards the lower right."""
    out = SIDE - 2 * _RATE
    taps = _RATE * (np.argwhere(np.ones((3, 3))) - 1.0)
    share = np.add.outer(np.arange(out), np.arange(out)) / (2 * out - 2)
    angle, scale = 1.2 * share, 1 + 0.9 * share
    dy, dx = (side.reshape(-1, 1, 1) for side in taps.T)
    rows = scale * (np.cos(angle) * dy - np.sin(angle) * dx) - dy
    columns = scale * (np.sin(angle) * dy + np.cos(angle) * dx) - dx
    return np.stack([rows, columns], 1).reshape(18, out, out)


_STRIDED = {"stride": 2, "padding": 1}
_STEPS = {"view": "zero_insertion"}
_PAPER = (
    entry("relationship-01", "1: no padding, stride 1", "conv", (4, 4), (3, 3)),
    entry("relationship-02", "2: padding, stride 1", "conv", (5, 5), (4, 4), padding=2),
    entry(
        "relationship-03", "3: half (same) padding", "conv", (5, 5), (3, 3), padding=1
    ),
    entry("relationship-04", "4: full padding", "conv", (5, 5), (3, 3), padding=2),
    entry(
        "relationship-05", "5: no padding, stride 2", "conv", (5, 5), (3, 3), stride=2
    ),
    entry(
        "relationship-06", "6: padding, stride 2", "conv", (5, 5), (3, 3), **_STRIDED
    ),
    entry(
        "relationship-06-odd",
        "6, with a remainder that is never read",
        "conv",
        (6, 6),
        (3, 3),
        **_STRIDED,
    ),
    entry(
        "relationship-07",
        "7: pooling has the same windows, and no kernel",
        "conv",
        (5, 5),
        (3, 3),
    ),
    entry(
        "relationship-08",
        "8: transposed, no padding, stride 1 (transpose of 1)",
        "conv_transpose",
        (2, 2),
        (3, 3),
        **_STEPS,
    ),
    entry(
        "relationship-09",
        "9: transposed, padding, stride 1 (transpose of 2)",
        "conv_transpose",
        (6, 6),
        (4, 4),
        padding=2,
        **_STEPS,
    ),
    entry(
        "relationship-10",
        "10: transposed half padding (transpose of 3)",
        "conv_transpose",
        (5, 5),
        (3, 3),
        padding=1,
        **_STEPS,
    ),
    entry(
        "relationship-11",
        "11: transposed full padding (transpose of 4)",
        "conv_transpose",
        (7, 7),
        (3, 3),
        padding=2,
        **_STEPS,
    ),
    entry(
        "relationship-12",
        "12: transposed, no padding, stride 2 (transpose of 5)",
        "conv_transpose",
        (2, 2),
        (3, 3),
        stride=2,
        **_STEPS,
    ),
    entry(
        "relationship-13",
        "13: transposed, padding, stride 2 (transpose of 6)",
        "conv_transpose",
        (3, 3),
        (3, 3),
        **_STRIDED,
        **_STEPS,
    ),
    entry(
        "relationship-14",
        "14: with output_padding 1 (transpose of 6 with a remainder)",
        "conv_transpose",
        (3, 3),
        (3, 3),
        **_STRIDED,
        output_padding=1,
        **_STEPS,
    ),
    entry("relationship-15", "15: dilated kernel", "conv", (7, 7), (3, 3), dilation=2),
)
_BY_NAME = {one.name.removeprefix("relationship-"): one for one in _PAPER}
_NOTES = tuple(
    _BY_NAME[name] for name in ("01", "02", "05", "06", "08", "09", "12", "13")
)

_NUMBERS = (
    entry("claim-0-06", "A convolution with its numbers", "conv", _X006, _K006),
    entry("claim-0-06-matrix", "The same as a matrix", "matrix", _X006, _K006),
    entry(
        "claim-0-09",
        "The transposed matrix times that result: the size is back, the values are not",
        "matrix",
        _Y006,
        _K006,
        transposed=True,
    ),
    entry("claim-2-03", "The matrix of a 2×2 kernel on 3×3", "matrix", (3, 3), (2, 2)),
    entry(
        "claim-2-08",
        "A transposed convolution in letters",
        "conv_transpose",
        _LETTERS,
        _KERNEL,
    ),
    entry(
        "claim-3-04",
        "The same 4×4 result by scattering and by zero insertion",
        "conv_transpose",
        _X306,
        _K306,
        view="both",
    ),
)

_BOTH = {"view": "both"}
_MORE = (
    entry(
        "output-padding-0",
        "Without output_padding: input 7 went to 4, and comes back as 7",
        "conv_transpose",
        _LINE,
        _TAPS,
        **_STRIDED,
        **_BOTH,
    ),
    entry(
        "output-padding-1",
        "With output_padding 1 as 8: the border of zeros grows at the end only",
        "conv_transpose",
        _LINE,
        _TAPS,
        **_STRIDED,
        output_padding=1,
        **_BOTH,
    ),
    entry(
        "transposed-two-ways",
        "One to many, and the equal convolution of stride 1",
        "conv_transpose",
        (3, 3),
        (3, 3),
        **_STRIDED,
        **_BOTH,
    ),
    entry(
        "transposed-dilated",
        "Transposed and dilated: the border is d(k-1) - padding",
        "conv_transpose",
        (3, 3),
        (2, 2),
        stride=2,
        padding=1,
        dilation=3,
    ),
    entry(
        "transposed-dilated-1d",
        "The same on one axis, two ways",
        "conv_transpose",
        _LINE,
        _TAPS,
        stride=2,
        padding=1,
        dilation=2,
        **_BOTH,
    ),
    entry(
        "cropped-border",
        "Padding above d(k-1): the border is negative and cuts inputs off",
        "conv_transpose",
        np.array([1, 3, 2, 4, 5, 2]),
        _TAPS,
        padding=3,
        **_STEPS,
    ),
    entry(
        "circular",
        "Circular padding: the other end",
        "conv",
        (5, 5),
        (3, 3),
        padding=1,
        padding_mode="circular",
    ),
    entry(
        "circular-1d",
        "Circular, with numbers",
        "conv",
        np.array([3, 1, 2, 4, 5]),
        _TAPS,
        padding=1,
        padding_mode="circular",
    ),
    entry(
        "reflect-1d",
        "Reflect: without the edge element",
        "conv",
        np.array([3, 1, 2, 4, 5]),
        _TAPS,
        padding=1,
        padding_mode="reflect",
    ),
    entry(
        "replicate-1d",
        "Replicate: the edge element",
        "conv",
        np.array([3, 1, 2, 4, 5]),
        _TAPS,
        padding=1,
        padding_mode="replicate",
    ),
    entry(
        "circular-transposed",
        "Its adjoint: what was read through the padding is added where it was read",
        "conv_transpose",
        _LINE,
        _TAPS,
        padding=1,
        padding_mode="circular",
    ),
    entry(
        "causal",
        "Causal: all padding in front",
        "conv",
        np.array([3, 1, 2, 4, 5, 2]),
        np.array([1, 2]),
        padding="causal",
        dilation=2,
    ),
    entry(
        "asymmetric",
        "Padding on one side only",
        "conv",
        (4, 4),
        (3, 3),
        padding=((0, 1), (2, 0)),
    ),
    entry("dilations", "One kernel, three dilations", "dilations", (3, 3)),
)

_CHANNELS = (
    entry("channels", "Every output reads every input", "channels", 4, 6),
    entry("grouped", "Two groups that never mix", "channels", 4, 6, groups=2),
    entry("depthwise", "As many groups as channels", "channels", 4, 4, groups=4),
    entry(
        "grouped-transposed",
        "A grouped transposed convolution: its kernel has the inputs first",
        "conv_transpose",
        3,
        3,
        stride=2,
        groups=2,
        channels=(6, 4),
    ),
)

_PHOTOS = (
    entry(
        "overlap-3", "Kernel 3 at stride 2: uneven", "overlap", (4, 4), (3, 3), stride=2
    ),
    entry("overlap-4", "Kernel 4: even", "overlap", (4, 4), (4, 4), stride=2),
    entry(
        "deformable",
        "Sampling points of a deformable convolution, turned and scaled",
        "deform",
        PHOTO,
        offset(),
        3,
        dilation=_RATE,
        positions=_SEEN,
    ),
    entry("receptive-field", "Four layers on a photo", "receptive", PHOTO, _LAYERS),
)

_REST = tuple(one for one in _PAPER if one not in _NOTES)
SECTIONS = (
    Section(
        "Padding and stride",
        "Four convolutions, and below each its transposed convolution. The numbers are "
        "those of Dumoulin and Visin, "
        "[arXiv:1603.07285](https://arxiv.org/abs/1603.07285). The padding of a "
        "transposed convolution is that of the matching convolution.",
        _NOTES,
    ),
    Section(
        "More of the paper's relationships",
        "Half and full padding, remainders, dilation.",
        _REST,
    ),
    Section("With numbers", "Worked through, value by value.", _NUMBERS, 2),
    Section(
        "Output padding, dilation, padding modes",
        "What pictures of convolutions seldom show.",
        _MORE,
        3,
    ),
    Section("Channels", "Who reads whom.", _CHANNELS, 2),
    Section("Overlap, deformable sampling, receptive fields", "", _PHOTOS, 2),
)
