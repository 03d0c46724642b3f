"""Colours of roles, in a light and a dark theme.

The hues are those of Okabe and Ito, "Color Universal Design" (2008), which people with
any kind of colour vision can tell apart: inputs are always blue and outputs always
orange, whichever way a convolution goes.  A shade says what is lit.
"""

from __future__ import annotations

from typing import NamedTuple


class Style(NamedTuple):
    """Fill and outline, the colour of what is written inside, and dashes if any."""

    fill: str
    line: str
    ink: str
    width: float = 1.0
    dash: str = ""


def _cell(fill: str, line: str, ink: str, dash: str = "") -> Style:
    return Style(fill, line, ink, 1.0, dash)


def _stroke(line: str, width: float, dash: str = "") -> Style:
    return Style("none", line, line, width, dash)


LIGHT = {
    "page": _cell("#ffffff", "none", "#1a1a1a"),
    "text": _cell("#1a1a1a", "none", "#1a1a1a"),
    "title": _cell("#000000", "none", "#000000"),
    "input": _cell("#cfe7f7", "#5b9cc4", "#1a1a1a"),
    "input-lit": _cell("#0072b2", "#00456b", "#ffffff"),
    "output": _cell("#fdf1d8", "#cfa040", "#1a1a1a"),
    "output-done": _cell("#f7cf7a", "#b07a00", "#1a1a1a"),
    "output-lit": _cell("#e69f00", "#7a5400", "#000000"),
    "kernel": _cell("#8fd0b8", "#2f8267", "#1a1a1a"),
    "kernel-lit": _cell("#009e73", "#00563f", "#000000"),
    "padding": _cell("#f0f0f0", "#8f8f8f", "#555555", "3 2"),
    "padding-lit": _cell("#9a9a9a", "#444444", "#000000", "3 2"),
    "zero": _cell("#ffffff", "#b0b0b0", "#6b6b6b"),
    "zero-lit": _cell("#d0d0d0", "#555555", "#1a1a1a"),
    "cropped": _cell("#e8cbdb", "#a8527f", "#3d3d3d", "2 3"),
    "cropped-lit": _cell("#c58aab", "#6e2f52", "#000000", "2 3"),
    "window": _stroke("#000000", 2.5),
    "source": _stroke("#d55e00", 2.0, "4 2"),
    "beam": _stroke("#6b6b6b", 1.0),
    "arrow": _stroke("#1a1a1a", 1.3),
    "regular": Style("#ffffff", "#000000", "#000000", 1.2),
    "point": Style("#e69f00", "#000000", "#000000", 1.2),
    "ring": _stroke("#f0e442", 2.0),
    "halo": _stroke("#000000", 4.0),
    "path": _stroke("#f0e442", 1.6),
}
DARK = {
    **LIGHT,
    "page": _cell("#14171a", "none", "#eeeeee"),
    "text": _cell("#eeeeee", "none", "#eeeeee"),
    "title": _cell("#ffffff", "none", "#ffffff"),
    "input": _cell("#123f5a", "#3f86b0", "#ffffff"),
    "input-lit": _cell("#56b4e9", "#cfe7f7", "#000000"),
    "output": _cell("#3a2a08", "#8f6a1c", "#ffffff"),
    "output-done": _cell("#7f5a0a", "#d9a53a", "#ffffff"),
    "output-lit": _cell("#e69f00", "#ffe0a0", "#000000"),
    "kernel": _cell("#175a45", "#4fb596", "#ffffff"),
    "kernel-lit": _cell("#009e73", "#a8ecd6", "#000000"),
    "padding": _cell("#24282c", "#868686", "#bdbdbd", "3 2"),
    "padding-lit": _cell("#7d7d7d", "#dcdcdc", "#000000", "3 2"),
    "zero": _cell("#14171a", "#5c5c5c", "#a8a8a8"),
    "zero-lit": _cell("#454a50", "#c0c0c0", "#ffffff"),
    "cropped": _cell("#583a4a", "#c58aab", "#e0e0e0", "2 3"),
    "cropped-lit": _cell("#8c5272", "#f0d0e0", "#ffffff", "2 3"),
    "window": _stroke("#ffffff", 2.5),
    "source": _stroke("#ff8a3d", 2.0, "4 2"),
    "beam": _stroke("#a8a8a8", 1.0),
    "arrow": _stroke("#eeeeee", 1.3),
}
# A sequence from few to many, for maps of counts: viridis' lightness in Okabe-Ito's
# blues, so that more is darker on light pages and lighter on dark ones.
STEPS = 6
_PALE, _DEEP = (0xEA, 0xF4, 0xFB), (0x00, 0x4B, 0x76)


def _heat(step: int, dark: bool) -> Style:
    """The count's share of the way from pale to deep."""
    share = step / (STEPS - 1)
    ends = (_DEEP, _PALE) if dark else (_PALE, _DEEP)
    mixed = [round(a + (b - a) * share) for a, b in zip(*ends, strict=True)]
    fill = "#" + "".join(f"{value:02x}" for value in mixed)
    return _cell(fill, "#6b6b6b", "#000000" if sum(mixed) > 330 else "#ffffff")


for _step in range(STEPS):
    LIGHT[f"heat-{_step}"] = _heat(_step, False)
    DARK[f"heat-{_step}"] = _heat(_step, True)

# One colour for each layer, which lie on photos and are seen there in both themes.
LAYERS = ("#f0e442", "#56b4e9", "#e69f00", "#cc79a7", "#1fb489", "#ff8a5c")
for _place, _colour in enumerate(LAYERS):
    for _theme in (LIGHT, DARK):
        _theme[f"layer-{_place}"] = _cell(_colour, "#000000", "#000000")
        _theme[f"layer-{_place}-edge"] = _stroke(_colour, 2.0)
# Where cells are too small for outlines: parts of a large matrix.
for _theme in (LIGHT, DARK):
    for _role in ("kernel", "kernel-lit", "zero"):
        _theme[f"{_role}-fine"] = _theme[_role]._replace(line="none")

STYLES = {"light": LIGHT, "dark": DARK}
