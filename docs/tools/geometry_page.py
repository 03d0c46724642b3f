"""docs/geometry.md: the relationships between sizes, from the table below.

A formula is a Python expression, which the tests evaluate beside the library's own line
and which is written on the page as it stands here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from as_latex import latex
from jaxconv._core import geometry as geo
from jaxconv.viz import gallery


class Relationship(NamedTuple):
    """``name`` = ``formula`` where ``fixed`` and ``holds`` are true.

    ``fixed`` gives letters by the others, ``library`` is the expression that computes
    the same, and ``picture`` the name of an entry of the gallery.
    """

    title: str
    name: str
    formula: str
    library: str
    fixed: dict[str, str]
    holds: str
    picture: str
    words: str = ""

    def letters(self, free: dict[str, int]) -> dict[str, int]:
        """All letters, the fixed ones from the free ones."""
        found = dict(free)
        for letter, value in self.fixed.items():
            found[letter] = evaluate(value, found)
        return found


class Section(NamedTuple):
    title: str
    words: str
    entries: tuple[Relationship, ...]


def evaluate(expression: str, letters: dict[str, int]) -> int:
    """Of letters, and of what the library's module of geometry has."""
    return eval(expression, {"max": max, **vars(geo)}, dict(letters))


FORWARD = "output_size(i, k, s, d, p, p)"
BACK = "input_size(o, k, s, d, p, p, a)"
PLAIN = {"s": "1", "d": "1"}
UNPADDED = {"p": "0", "d": "1"}
WHOLE = {"d": "1", "a": "0"}


def _paper(
    number: str,
    formula: str,
    fixed: dict[str, str],
    holds: str = "",
    words: str = "",
    library: str = "",
) -> Relationship:
    """One of the numbered ones, named as its picture is."""
    found = _entry(f"relationship-{number}")
    back = found.function == "conv_transpose"
    library = library or (BACK if back else FORWARD)
    title, name = f"Relationship {found.words}", "i" if back else "o"
    return Relationship(title, name, formula, library, fixed, holds, found.name, words)


def _entry(name: str) -> gallery.Entry:
    (found,) = (entry for entry in gallery.entries() if entry.name == name)
    return found


HALF, FULL = {**PLAIN, "p": "k // 2"}, {**PLAIN, "p": "k - 1"}
CONVOLUTIONS = (
    _paper("01", "i - k + 1", {**PLAIN, "p": "0"}),
    _paper("02", "i - k + 2*p + 1", PLAIN),
    _paper("03", "i", HALF, "k % 2 == 1"),
    _paper("04", "i + k - 1", FULL),
    _paper("05", "(i - k) // s + 1", UNPADDED),
    _paper("06", "(i + 2*p - k) // s + 1", {"d": "1"}),
    _paper(
        "06-odd",
        "p - (i + 2*p - k) % s",
        {"d": "1"},
        "",
        "The remainder of the division is padding, or input, that no window reaches. "
        "The library keeps the low padding and the sizes, and derives what is left at "
        "the other end.",
        "Axis(i, k, output_size(i, k, s, d, p, p), s, d, p).hi",
    )._replace(name="hi"),
    _paper("07", "(i - k) // s + 1", UNPADDED),
    _paper(
        "15",
        "(i + 2*p - k - (k - 1)*(d - 1)) // s + 1",
        {},
        "",
        "A dilated kernel has the size of its span.",
    ),
)
TRANSPOSED = (
    _paper("08", "o + k - 1", {**PLAIN, "p": "0", "a": "0"}),
    _paper("09", "o + k - 1 - 2*p", {**PLAIN, "a": "0"}),
    _paper("10", "o", {**HALF, "a": "0"}, "k % 2 == 1"),
    _paper("11", "o - (k - 1)", {**FULL, "a": "0"}),
    _paper("12", "s*(o - 1) + k", {**UNPADDED, "a": "0"}),
    _paper("13", "s*(o - 1) + k - 2*p", WHOLE),
    _paper(
        "14",
        "s*(o - 1) + a + k - 2*p",
        {"d": "1"},
        "a < s",
        "a is `output_padding`, the remainder of Relationship 6.",
    ),
)
BEYOND = (
    Relationship(
        "Span of a dilated kernel",
        "K",
        "d*(k - 1) + 1",
        "span(k, d)",
        {},
        "",
        "dilations",
    ),
    Relationship(
        "Unequal padding",
        "o",
        "(i + lo + hi - d*(k - 1) - 1) // s + 1",
        "output_size(i, k, s, d, lo, hi)",
        {},
        "",
        "asymmetric",
        "What every convolution is computed by. In the picture the rows have padding "
        "at their end and the columns at their beginning.",
    ),
    Relationship(
        "Causal padding",
        "o",
        "(i - 1) // s + 1",
        "output_size(i, k, s, d, lo, hi)",
        {"lo": "d*(k - 1)", "hi": "0"},
        "",
        "causal",
        "All of it in front, so that no output reads an input after its own.",
    ),
    Relationship(
        'Padding of "SAME"',
        "lo + hi",
        "max((-(-i // s) - 1)*s + d*(k - 1) + 1 - i, 0)",
        "same_padding(i, k, s, d)",
        {},
        "",
        "",
        'The least that gives ⌈i/s⌉ outputs, half on each side; "SAME" puts an odd '
        'element at the end and "SAME_LOWER" at the beginning.',
    ),
    Relationship(
        "Transposed and dilated",
        "i",
        "s*(o - 1) + d*(k - 1) + 1 - 2*p + a",
        BACK,
        {},
        "a < max(s, d)",
        "transposed-dilated",
        "What every transposed convolution is computed by, with lo + hi for 2p.",
    ),
    Relationship(
        "Reach of all windows",
        "r",
        "s*(o - 1) + d*(k - 1) + 1",
        "Axis(i, k, o, s, d, lo).reach",
        {"i": "k", "lo": "0"},
        "",
        "",
        "The high padding is r - i - lo, below zero where inputs are left over.",
    ),
    Relationship(
        "Border of a transposed convolution",
        "b",
        "d*(k - 1) - p",
        "spread_extent(Axis(i, k, o, s, d, p)).low",
        {"i": "s*(o - 1) + d*(k - 1) + 1 - 2*p"},
        "p <= d*(k - 1)",
        "transposed-dilated-1d",
        "Seen as a convolution of stride 1, it has s - 1 zeros between the elements of "
        "its argument and b around them, and its kernel is turned.",
    ),
    Relationship(
        "A border below zero",
        "c",
        "-(-(p - d*(k - 1)) // s)",
        "spread_extent(Axis(i, k, o, s, d, p)).start",
        {"i": "s*(o - 1) + d*(k - 1) + 1 - 2*p"},
        "p > d*(k - 1)",
        "cropped-border",
        "The first c elements of the argument reach nothing that is kept, and are cut "
        "off.",
    ),
)
SECTIONS = (
    Section(
        "Convolutions",
        "The paper's 1 to 7 and 15 are cases of one line.",
        CONVOLUTIONS,
    ),
    Section(
        "Transposed convolutions",
        "The paper's 8 to 14. A transposed convolution has the geometry of the "
        "convolution that it is the transpose of: its argument has that convolution's "
        "output size o, and its result the input size i.",
        TRANSPOSED,
    ),
    Section("What the paper leaves out", "", BEYOND),
)
OPENING = """\
# Geometry

Sizes along one axis, by the numbers in Dumoulin and Visin's
[guide](https://arxiv.org/abs/1603.07285): input size i, kernel k, output o, stride s,
dilation d, padding p on both sides (lo and hi where they differ) and a more elements at
the end. The tests evaluate every formula beside the line of
[jaxconv/_core/geometry.py](../jaxconv/_core/geometry.py) that computes it, and compare
both with the picture. The pictures are the [gallery](gallery/index.md)'s.
"""


def page() -> str:
    lines = [OPENING, *_code()]
    for section in SECTIONS:
        lines += [f"## {section.title}", "", section.words, ""]
        for entry in section.entries:
            lines += _entry_lines(entry)
    return "\n".join(lines).replace("\n\n\n", "\n\n").rstrip() + "\n"


def _code() -> list[str]:
    functions: tuple[Callable[..., Any], ...] = (
        geo.output_size, geo.input_size, geo.span, geo.same_padding,
    )  # fmt: skip
    return ["```text", *map(_one_line, functions), "```", ""]


def _one_line(function: Callable[..., Any]) -> str:
    """A function that is one expression, as its name and that."""
    names = ", ".join(inspect.signature(function).parameters)
    value = inspect.getsource(function).rpartition("return ")[2].strip()
    return f"{function.__name__}({names}) = {value}"


def _entry_lines(found: Relationship) -> list[str]:
    name = latex(found.name)
    lines = [f"### {found.title}", "", f"$${name} = {latex(found.formula)}$$", ""]
    where = [f"${latex(k)} = {latex(v)}$" for k, v in found.fixed.items()]
    where += [f"${latex(found.holds)}$"] if found.holds else []
    told = f"where {', '.join(where)}; " if where else ""
    lines += [f"{told}`{found.library}`. {found.words}".rstrip(), ""]
    if found.picture:
        words = _entry(found.picture).words
        lines += [f"![{words}](gallery/{found.picture}.svg)", ""]
    return lines
