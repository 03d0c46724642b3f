"""Scenes as static SVG: text, the same for the same scene, readable in a diff."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape
from typing import NamedTuple

from jaxconv.viz import _png
from jaxconv.viz._frames import (
    Frames,
    Theme,
    caption_height,
    captions,
    head,
    head_height,
    over,
    under,
)  # fmt: skip
from jaxconv.viz._marks import WIDTH, Box, Cell, Dot, Line, Mark, Photo, Text, words_in
from jaxconv.viz._theme import STYLES, Style

FONT = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif"


class View(NamedTuple):
    """The rectangle of the page that is shown."""

    x: float
    y: float
    width: float
    height: float


def picture(scene: Frames, theme: Theme) -> str:
    """The chosen frames below one another, under one title."""
    top, step = head_height(scene), scene.height + caption_height(scene)
    frames = [scene.frames[index] for index in scene.still]
    many = len(frames) > 1
    lines = [*drawn(head(scene))]
    if many:
        lines += ['<defs><g id="base">', *drawn(scene.base), "</g></defs>"]
    for index, frame in enumerate(frames):
        lines.append(f'<g transform="translate(0 {number(top + index * step)})">')
        lines += drawn(under(frame))
        lines += ['<use href="#base"/>'] if many else drawn(scene.base)
        lines += [*drawn(over(frame)), *drawn(captions(scene, frame)), "</g>"]
    height = top + len(frames) * step + 6
    marks = [*head(scene), *scene.base, *(m for f in frames for m in f.marks)]
    return wrapped(scene, theme, View(0, 0, WIDTH, height), marks, lines)


def wrapped(
    scene: Frames,
    theme: Theme,
    view: View,
    marks: Iterable[Mark],
    lines: Iterable[str],
    *,
    inside: str = "",
    styles: str = "",
    page: bool = True,
) -> str:
    """The element around drawn lines, with the styles that the marks need.

    ``inside`` keeps the rules from the rest of a page; a file of its own has none,
    because browsers do not apply such rules to what <use> shows.  Without a ``page``
    the picture stands on whatever is behind it.
    """
    x, y, width, height = map(number, view)
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{x} {y} {width} {height}"'
        f' width="{width}" height="{height}" role="img">'
    )
    rules = _styles(theme, _classes(marks), inside)
    ground = f'<rect class="page" {_place(*view)}/>'.replace(' x="0" y="0"', "")
    return "\n".join(
        (
            opening,
            f"<title>{escape(f'{scene.title}; {scene.subtitle}')}</title>",
            f"<style>\n{rules}{styles and chr(10)}{styles}\n</style>",
            *([ground] if page else []),
            *lines,
            "</svg>\n",
        )
    )


def _classes(marks: Iterable[Mark]) -> list[str]:
    """The roles, and "on-" before those in which something is written."""
    found = {"page"}
    for mark in marks:
        if not isinstance(mark, Photo):
            found.add(mark.role)
        if isinstance(mark, Cell) and words_in(mark):
            found.add(f"on-{mark.role}")
    return sorted(found)


def _styles(theme: Theme, classes: list[str], inside: str) -> str:
    """The rules of a theme; "auto" is light unless the reader prefers dark."""
    lines = [f"{inside}text{{font-family:{FONT};stroke:none}}"]
    first = STYLES["dark" if theme == "dark" else "light"]
    rules = {name: _rule(name, first) for name in classes}
    lines += [f"{inside}.{name}{rule}" for name, rule in rules.items()]
    if theme == "auto":
        dark = {name: _rule(name, STYLES["dark"]) for name in classes}
        lines.append("@media (prefers-color-scheme:dark){")
        lines += [f"{inside}.{n}{rule}" for n, rule in dark.items() if rule != rules[n]]
        lines.append("}")
    return "\n".join(lines)


def _rule(name: str, theme: dict[str, Style]) -> str:
    if name.startswith("on-"):
        return f"{{fill:{theme[name[3:]].ink}}}"
    style = theme[name]
    dash = f";stroke-dasharray:{style.dash}" if style.dash else ""
    width = "" if style.width == 1 else f";stroke-width:{style.width:g}"
    return f"{{fill:{style.fill};stroke:{style.line}{width}{dash}}}"


def drawn(marks: Iterable[Mark]) -> list[str]:
    return [line for mark in marks for line in _lines(mark)]


def _lines(mark: Mark) -> Iterable[str]:
    match mark:
        case Cell():
            yield from _cell(mark)
        case Box():
            yield _rect(mark.role, mark.x, mark.y, mark.width, mark.height)
        case Line():
            ends = f'x1="{number(mark.x1)}" y1="{number(mark.y1)}"'
            ends += f' x2="{number(mark.x2)}" y2="{number(mark.y2)}"'
            yield f'<line class="{mark.role}" {ends}/>'
            if mark.head:
                points = " ".join(f"{number(x)},{number(y)}" for x, y in mark.tip)
                yield f'<polyline class="{mark.role}" points="{points}"/>'
        case Dot():
            place = (
                f'cx="{number(mark.x)}" cy="{number(mark.y)}" r="{number(mark.radius)}"'
            )
            yield f'<circle class="{mark.role}" {place}/>'
        case Text():
            yield _text(mark.role, mark.x, mark.y, mark.text, mark.size, mark.anchor)
        case Photo():
            data = base64.b64encode(_png.grey(mark.rows, mark.columns, mark.pixels))
            place = _place(mark.x, mark.y, mark.width, mark.height)
            yield f'<image {place} href="data:image/png;base64,{data.decode()}"/>'


def _cell(mark: Cell) -> Iterable[str]:
    yield _rect(mark.role, mark.x, mark.y, mark.size, mark.size)
    for words in words_in(mark):
        yield _text(f"on-{mark.role}", *words)


def _rect(role: str, x: float, y: float, width: float, height: float) -> str:
    return f'<rect class="{role}" {_place(x, y, width, height)}/>'


def _place(x: float, y: float, width: float, height: float) -> str:
    size = f'width="{number(width)}" height="{number(height)}"'
    return f'x="{number(x)}" y="{number(y)}" {size}'


def _text(role: str, x: float, y: float, text: str, size: float, anchor: str) -> str:
    place = f'x="{number(x)}" y="{number(y)}" font-size="{number(size)}"'
    if anchor != "start":
        place += f' text-anchor="{anchor}"'
    return f'<text class="{role}" {place}>{escape(text)}</text>'


def number(value: float) -> str:
    """A length with one digit after the point, and none where it is zero."""
    return f"{value:.1f}".removesuffix(".0")
