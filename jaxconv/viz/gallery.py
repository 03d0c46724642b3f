"""The table of named settings that every picture of the gallery is built from."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from jaxconv import viz
from jaxconv.viz._moving import moving, unlabelled
from jaxconv.viz._scene import Scene


class Entry(NamedTuple):
    """A picture: its file's name, what it shows, and the call that makes it."""

    name: str
    words: str
    function: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]

    def scene(self, photo: np.ndarray) -> Scene:
        """The photo, grey and square, stands where the arguments say so."""
        given = (photo if a is PHOTO else a for a in self.arguments)
        return getattr(viz, self.function)(*given, **self.options)

    def svg(self, photo: np.ndarray) -> str:
        """The picture as it is committed: moving, without words that stand beside it.

        One with numbers keeps the sum below it.
        """
        arrays = any(isinstance(a, np.ndarray) for a in self.arguments)
        told = arrays or self.function not in ("conv", "conv_transpose")
        scene = self.scene(photo)
        return moving(
            scene if told else unlabelled(scene), "auto", bare=True, told=told
        )

    @property
    def title(self) -> str:
        """With the number that the paper gives it, if any."""
        return ("Relationship " if self.words[0].isdigit() else "") + self.words

    @property
    def formula(self) -> str:
        return FORMULAS.get(self.name, "")

    @property
    def call(self) -> str:
        """The line of Python that makes it."""
        parts = [_written(value) for value in self.arguments]
        parts += [f"{name}={_written(value)}" for name, value in self.options.items()]
        return f"viz.{self.function}({', '.join(parts)})"


class Section(NamedTuple):
    title: str
    words: str
    entries: tuple[Entry, ...]
    columns: int = 4


PHOTO = "photo"  # in place of the pixels
SIDE = 128  # pixels of the photo


def _entry(
    name: str, words: str, function: str, *arguments: Any, **options: Any
) -> Entry:
    return Entry(name, words, function, arguments, options)


def _written(value: Any) -> str:
    if value is PHOTO:
        return "photo"
    if not isinstance(value, np.ndarray):
        return repr(value)
    if value.size > 20:
        return "offset"
    return f"np.array({value.tolist()!r})"


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


def _offset() -> np.ndarray:
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
    _entry("relationship-01", "1: no padding, stride 1", "conv", (4, 4), (3, 3)),
    _entry(
        "relationship-02", "2: padding, stride 1", "conv", (5, 5), (4, 4), padding=2
    ),
    _entry(
        "relationship-03", "3: half (same) padding", "conv", (5, 5), (3, 3), padding=1
    ),
    _entry("relationship-04", "4: full padding", "conv", (5, 5), (3, 3), padding=2),
    _entry(
        "relationship-05", "5: no padding, stride 2", "conv", (5, 5), (3, 3), stride=2
    ),
    _entry(
        "relationship-06", "6: padding, stride 2", "conv", (5, 5), (3, 3), **_STRIDED
    ),
    _entry(
        "relationship-06-odd",
        "6, with a remainder that is never read",
        "conv",
        (6, 6),
        (3, 3),
        **_STRIDED,
    ),
    _entry(
        "relationship-07",
        "7: pooling has the same windows, and no kernel",
        "conv",
        (5, 5),
        (3, 3),
    ),
    _entry(
        "relationship-08",
        "8: transposed, no padding, stride 1 (undoes 1)",
        "conv_transpose",
        (2, 2),
        (3, 3),
        **_STEPS,
    ),
    _entry(
        "relationship-09",
        "9: transposed, padding, stride 1 (undoes 2)",
        "conv_transpose",
        (6, 6),
        (4, 4),
        padding=2,
        **_STEPS,
    ),
    _entry(
        "relationship-10",
        "10: transposed half padding (undoes 3)",
        "conv_transpose",
        (5, 5),
        (3, 3),
        padding=1,
        **_STEPS,
    ),
    _entry(
        "relationship-11",
        "11: transposed full padding (undoes 4)",
        "conv_transpose",
        (7, 7),
        (3, 3),
        padding=2,
        **_STEPS,
    ),
    _entry(
        "relationship-12",
        "12: transposed, no padding, stride 2 (undoes 5)",
        "conv_transpose",
        (2, 2),
        (3, 3),
        stride=2,
        **_STEPS,
    ),
    _entry(
        "relationship-13",
        "13: transposed, padding, stride 2 (undoes 6)",
        "conv_transpose",
        (3, 3),
        (3, 3),
        **_STRIDED,
        **_STEPS,
    ),
    _entry(
        "relationship-14",
        "14: with output_padding 1 (undoes 6 with a remainder)",
        "conv_transpose",
        (3, 3),
        (3, 3),
        **_STRIDED,
        output_padding=1,
        **_STEPS,
    ),
    _entry("relationship-15", "15: dilated kernel", "conv", (7, 7), (3, 3), dilation=2),
)
_BY_NAME = {entry.name.removeprefix("relationship-"): entry for entry in _PAPER}
_NOTES = tuple(
    _BY_NAME[name] for name in ("01", "02", "05", "06", "08", "09", "12", "13")
)

_NUMBERS = (
    _entry("claim-0-06", "A convolution with its numbers", "conv", _X006, _K006),
    _entry("claim-0-06-matrix", "The same as a matrix", "matrix", _X006, _K006),
    _entry(
        "claim-0-09",
        "The transposed matrix times that result: the size is back, the values are not",
        "matrix",
        _Y006,
        _K006,
        transposed=True,
    ),
    _entry("claim-2-03", "The matrix of a 2×2 kernel on 3×3", "matrix", (3, 3), (2, 2)),
    _entry(
        "claim-2-08",
        "A transposed convolution in letters",
        "conv_transpose",
        _LETTERS,
        _KERNEL,
    ),
    _entry(
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
    _entry(
        "output-padding-0",
        "Without output_padding: input 7 went to 4, and comes back as 7",
        "conv_transpose",
        _LINE,
        _TAPS,
        **_STRIDED,
        **_BOTH,
    ),
    _entry(
        "output-padding-1",
        "With output_padding 1 as 8: the border of zeros grows at the end only",
        "conv_transpose",
        _LINE,
        _TAPS,
        **_STRIDED,
        output_padding=1,
        **_BOTH,
    ),
    _entry(
        "transposed-two-ways",
        "One to many, and the equal convolution of stride 1",
        "conv_transpose",
        (3, 3),
        (3, 3),
        **_STRIDED,
        **_BOTH,
    ),
    _entry(
        "transposed-dilated",
        "Transposed and dilated: the border is d(k-1) - padding",
        "conv_transpose",
        (3, 3),
        (2, 2),
        stride=2,
        padding=1,
        dilation=3,
    ),
    _entry(
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
    _entry(
        "cropped-border",
        "Padding above d(k-1): the border is negative and cuts inputs off",
        "conv_transpose",
        np.array([1, 3, 2, 4, 5, 2]),
        _TAPS,
        padding=3,
        **_STEPS,
    ),
    _entry(
        "circular",
        "Circular padding: the other end",
        "conv",
        (5, 5),
        (3, 3),
        padding=1,
        padding_mode="circular",
    ),
    _entry(
        "circular-1d",
        "Circular, with numbers",
        "conv",
        np.array([3, 1, 2, 4, 5]),
        _TAPS,
        padding=1,
        padding_mode="circular",
    ),
    _entry(
        "reflect-1d",
        "Reflect: without the edge element",
        "conv",
        np.array([3, 1, 2, 4, 5]),
        _TAPS,
        padding=1,
        padding_mode="reflect",
    ),
    _entry(
        "replicate-1d",
        "Replicate: the edge element",
        "conv",
        np.array([3, 1, 2, 4, 5]),
        _TAPS,
        padding=1,
        padding_mode="replicate",
    ),
    _entry(
        "circular-transposed",
        "Its adjoint: what was read through the padding is added where it was read",
        "conv_transpose",
        _LINE,
        _TAPS,
        padding=1,
        padding_mode="circular",
    ),
    _entry(
        "causal",
        "Causal: all padding in front",
        "conv",
        np.array([3, 1, 2, 4, 5, 2]),
        np.array([1, 2]),
        padding="causal",
        dilation=2,
    ),
    _entry(
        "asymmetric",
        "Padding on one side only",
        "conv",
        (4, 4),
        (3, 3),
        padding=((0, 1), (2, 0)),
    ),
    _entry("dilations", "One kernel, three dilations", "dilations", (3, 3)),
)

_CHANNELS = (
    _entry("channels", "Every output reads every input", "channels", 4, 6),
    _entry("grouped", "Two groups that never mix", "channels", 4, 6, groups=2),
    _entry("depthwise", "As many groups as channels", "channels", 4, 4, groups=4),
    _entry(
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
    _entry(
        "overlap-3", "Kernel 3 at stride 2: uneven", "overlap", (4, 4), (3, 3), stride=2
    ),
    _entry("overlap-4", "Kernel 4: even", "overlap", (4, 4), (4, 4), stride=2),
    _entry(
        "deformable",
        "Sampling points of a deformable convolution, turned and scaled",
        "deform",
        PHOTO,
        _offset(),
        3,
        dilation=_RATE,
        positions=_SEEN,
    ),
    _entry("receptive-field", "Four layers on a photo", "receptive", PHOTO, _LAYERS),
)

# What gives the size of the result; i is the input's, k the kernel's, s the stride, p
# the padding, d the dilation, a the output_padding.
FORMULAS = {
    "relationship-01": "o = i - k + 1",
    "relationship-02": "o = i - k + 2p + 1",
    "relationship-03": "o = i, for p = (k - 1)/2",
    "relationship-04": "o = i + k - 1, for p = k - 1",
    "relationship-05": "o = ⌊(i - k)/s⌋ + 1",
    "relationship-06": "o = ⌊(i + 2p - k)/s⌋ + 1",
    "relationship-06-odd": "o = ⌊(i + 2p - k)/s⌋ + 1",
    "relationship-07": "o = ⌊(i - k)/s⌋ + 1",
    "relationship-08": "o = i + k - 1",
    "relationship-09": "o = i + k - 1 - 2p",
    "relationship-10": "o = i, for p = (k - 1)/2",
    "relationship-11": "o = i - k + 1, for p = k - 1",
    "relationship-12": "o = s(i - 1) + k",
    "relationship-13": "o = s(i - 1) + k - 2p",
    "relationship-14": "o = s(i - 1) + k - 2p + a",
    "relationship-15": "o = ⌊(i + 2p - d(k - 1) - 1)/s⌋ + 1",
    "claim-0-06": "y[p] = Σ x[p + t] w[t]",
    "claim-0-06-matrix": "y = C x",
    "claim-0-09": "x' = Cᵀ y",
    "claim-2-03": "C[p, q] = w[q - p]",
    "claim-2-08": "y[p + t] += x[p] w[t]",
    "claim-3-04": "y[p + t] += x[p] w[t]",
    "output-padding-0": "o = s(i - 1) + k - 2p",
    "output-padding-1": "o = s(i - 1) + k - 2p + a",
    "transposed-dilated": "border = d(k - 1) - p",
    "transposed-dilated-1d": "border = d(k - 1) - p",
    "cropped-border": "border = k - 1 - p, below zero",
    "dilations": "span = d(k - 1) + 1",
    "channels": "y[o] = Σ w[o, c] * x[c]",
    "grouped": "c only of the group of o",
    "depthwise": "y[c] = w[c] * x[c]",
    "overlap-3": "k mod s = 1",
    "overlap-4": "k mod s = 0",
    "deformable": "y[p] = Σ w[t] x(p + t + Δ[p, t])",
    "receptive-field": "size = 1 + Σ d(k - 1) Π s",
}
_REST = tuple(entry for entry in _PAPER if entry not in _NOTES)
SECTIONS = (
    Section(
        "Padding and stride",
        "Four convolutions, and below each the transposed one that undoes it. The "
        "numbers are those of Dumoulin and Visin, "
        "[arXiv:1603.07285](https://arxiv.org/abs/1603.07285); a transposed "
        "convolution has the padding of the one it undoes.",
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


def entries() -> Iterable[Entry]:
    """Every picture once."""
    return {e.name: e for section in SECTIONS for e in section.entries}.values()


def index() -> str:
    """The page that shows them all, in Markdown."""
    lines = ["# Gallery", "", _OPENING]
    for section in SECTIONS:
        lines += ["", f"## {section.title}", ""]
        lines += [section.words, ""] if section.words else []
        lines += [f'<table class="gallery of-{section.columns}">']
        for first in range(0, len(section.entries), section.columns):
            row = section.entries[first : first + section.columns]
            lines += ["<tr>", *map(_shown, row), "</tr>"]
        lines.append("</table>")
    return "\n".join(lines) + "\n"


def _shown(entry: Entry) -> str:
    """A cell of the page's table: picture, title, formula and what makes it."""
    title, formula, call = map(html.escape, (entry.title, entry.formula, entry.call))
    image = f'<img src="{entry.name}.svg" alt="{title}">'
    said = f"<br><i>{formula}</i>" if formula else ""
    return f"<td>{image}<br><b>{title}</b>{said}<br><code>{call}</code></td>"


_OPENING = """\
Every picture is computed from the library's own geometry by the line below it, after
`from jaxconv import viz`. Inputs are blue, kernels green and outputs orange, also where
the convolution is transposed. `.save("a.gif")` or `.save("a.svg", moving=True)` on the
result writes it as it moves here, and in a notebook it has a player; `make gallery`
builds this page."""
