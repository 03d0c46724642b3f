"""What a picture shows, as plain data: frames of marks, and what lies around them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from jaxconv.viz._marks import MARGIN, TITLE_SIZE, WIDTH, Cell, Line, Mark, Text

Theme = Literal["auto", "light", "dark"]
LINE_HEIGHT = 16  # of a caption, which may need several lines
LINE = 58  # characters that fit on a line at the pictures' width
TALL = 300  # what is taller is not shown twice
MOST_FRAMES = 60  # of a file that plays them all
MOMENT, PAUSE = 800, 2400  # milliseconds of a frame and of the last


class Frame(NamedTuple):
    """What one moment adds to a scene's base, and a line of text below it."""

    marks: tuple[Mark, ...]
    caption: str


@dataclass(frozen=True)
class Frames:
    """All that a `Scene` holds, for the modules that draw it."""

    title: str
    subtitle: str
    legend: tuple[tuple[str, str], ...]
    height: float
    base: tuple[Mark, ...]
    frames: tuple[Frame, ...]
    still: tuple[int, ...]


def head_height(scene: Frames) -> float:
    """Room above the frames: title, subtitle and legend."""
    return max(mark.y for mark in head(scene) if isinstance(mark, Text)) + 11


def head(scene: Frames) -> tuple[Mark, ...]:
    """Title, subtitle and legend, at the top of every picture of a scene."""
    x, y = float(MARGIN), MARGIN + TITLE_SIZE - 3.0
    marks: list[Mark] = [Text(MARGIN, y, scene.title, TITLE_SIZE, role="title")]
    if scene.subtitle:
        y += 19
        marks.append(Text(MARGIN, y, scene.subtitle))
    for number, (role, word) in enumerate(scene.legend):
        width = 17 + 7.2 * len(word)
        if number == 0 or x + width > WIDTH - MARGIN:
            x, y = MARGIN, y + 19
        marks.append(Cell(x, y - 10, 12, role))
        marks.append(Text(x + 17, y, word))
        x += width + 12
    return tuple(marks)


def captions(scene: Frames, frame: Frame) -> list[Text]:
    """A frame's text below it, line by line."""
    return [
        Text(MARGIN, scene.height + 15 + LINE_HEIGHT * index, line)
        for index, line in enumerate(_lines(frame))
    ]


def _lines(frame: Frame) -> list[str]:
    return textwrap.wrap(frame.caption, LINE, break_long_words=False) or [""]


def caption_height(scene: Frames) -> float:
    """Room below a frame, the same for all of a scene's."""
    most = max(len(_lines(frame)) for frame in scene.frames)
    return 8.0 + LINE_HEIGHT * most


def under(frame: Frame) -> list[Mark]:
    """What lies behind the cells: lines between grids, which cross no number then."""
    return [m for m in frame.marks if isinstance(m, Line) and m.role == "beam"]


def over(frame: Frame) -> list[Mark]:
    return [m for m in frame.marks if not (isinstance(m, Line) and m.role == "beam")]


def sampled(scene: Frames) -> Frames:
    """Of very many frames some that lie evenly, the first and the last among them."""
    count = len(scene.frames)
    if count <= MOST_FRAMES:
        return scene
    last = MOST_FRAMES - 1
    kept = [round(index * (count - 1) / last) for index in range(MOST_FRAMES)]
    return replace(scene, frames=tuple(scene.frames[k] for k in kept), still=(last,))


def chosen(frames: Sequence[Frame], count: int, height: float) -> tuple[int, ...]:
    """So many frames for a static picture: the first ones, and the last."""
    last = len(frames) - 1
    if height > TALL:
        return (last,)
    return tuple(sorted({*range(min(count - 1, last)), last}))
