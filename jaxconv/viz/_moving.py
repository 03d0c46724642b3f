"""Scenes as SVG that moves by itself, in a page or as an image of one.

What several frames have is written once, with the stretch of frames that show it.
Readers who prefer less motion, and programs without animation, see the last frame.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

from jaxconv.viz._frames import (
    MOMENT,
    PAUSE,
    Frames,
    Theme,
    caption_height,
    captions,
    head,
    head_height,
    over,
    sampled,
    under,
)  # fmt: skip
from jaxconv.viz._marks import MARGIN, WIDTH, Box, Cell, Dot, Line, Mark, Photo, Text
from jaxconv.viz._svg import View, drawn, number, wrapped

Stretch = tuple[int, int]  # first frame, and one past the last


def moving(
    scene: Frames, theme: Theme, *, bare: bool = False, told: bool = True
) -> str:
    """All frames, or some of very many.

    A ``bare`` picture has no title and is cut to what is drawn, for pages that have the
    words beside it; ``told`` is with each frame's text below it.
    """
    scene = sampled(scene)
    top = 0.0 if bare else head_height(scene)
    count = len(scene.frames)
    below = [captions(scene, frame) if told else [] for frame in scene.frames]
    lines = list[str]() if bare else [*drawn(head(scene))]
    lines.append(f'<g transform="translate(0 {number(top)})">')
    lines += _animated([under(f) for f in scene.frames], scene)
    lines += drawn(scene.base)
    lines += _animated([over(frame) for frame in scene.frames], scene)
    lines += [*_animated(below, scene), "</g>"]
    marks = [*scene.base, *itertools.chain(*(frame.marks for frame in scene.frames))]
    marks += itertools.chain(*below)
    if bare:
        view = _bounds(marks)
    else:
        marks += head(scene)
        view = View(0, 0, WIDTH, top + scene.height + caption_height(scene))
    styles = _keyframes(lines, count)
    return wrapped(scene, theme, view, marks, lines, styles=styles, page=not bare)


def unlabelled(scene: Frames) -> Frames:
    """Without the words beside the grids."""
    base = tuple(mark for mark in scene.base if not isinstance(mark, Text))
    return replace(scene, base=base)


def _animated(frames: Sequence[Sequence[Mark]], scene: Frames) -> list[str]:
    """A group for each stretch of frames, one after the other as they begin."""
    if len(scene.frames) == 1:
        return drawn(itertools.chain(*frames))
    groups: dict[tuple[int, Stretch], list[Mark]] = {}
    for stretch, mark in _stretches(frames):
        layer = 0 if isinstance(mark, Cell) else 1
        groups.setdefault((layer, stretch), []).append(mark)
    lines: list[str] = []
    for (_, (start, stop)), marks in sorted(groups.items()):
        if (start, stop) == (0, len(frames)):
            lines += drawn(marks)
        else:
            lines += [f'<g class="s{start}-{stop}">', *drawn(marks), "</g>"]
    return lines


def _stretches(frames: Sequence[Sequence[Mark]]) -> Iterable[tuple[Stretch, Mark]]:
    """Every mark with the frames that have it, in the order in which they come."""
    if _overlapping(frames):  # what covers what depends on the order in each frame
        for index, marks in enumerate(frames):
            yield from (((index, index + 1), mark) for mark in marks)
        return
    open_marks: dict[Mark, int] = {}
    for index, marks in enumerate([*frames, ()]):
        here = dict.fromkeys(marks)
        for mark in [mark for mark in open_marks if mark not in here]:
            yield (open_marks.pop(mark), index), mark
        for mark in here:
            open_marks.setdefault(mark, index)


def _overlapping(frames: Sequence[Sequence[Mark]]) -> bool:
    """Whether cells lie on each other, as in a stack."""
    cells = [mark for mark in frames[-1] if isinstance(mark, Cell)]
    places = {(cell.x, cell.y): cell.size for cell in cells}
    return any(
        0 < abs(x - a) + abs(y - b) and abs(x - a) < size - 1 and abs(y - b) < size - 1
        for ((x, y), size), ((a, b), _) in itertools.pairwise(sorted(places.items()))
    )


def _keyframes(lines: Iterable[str], count: int) -> str:
    """When each stretch is seen; all begin at once, so that they stay in step."""
    whole = MOMENT * (count - 1) + PAUSE
    found = dict.fromkeys(
        line[10:-2] for line in lines if line.startswith('<g class="s')
    )
    hidden = [name for name in found if not name.endswith(f"-{count}")]
    rules = [f".{name}{{visibility:hidden}}" for name in hidden]
    rules.append("@media (prefers-reduced-motion:no-preference){")
    for name in found:
        start, stop = (int(part) * MOMENT / whole for part in name[1:].split("-"))
        steps = {0.0: "hidden", 100 * start: "visible"}
        if not name.endswith(f"-{count}"):
            steps[100 * stop] = "hidden"
        told = "".join(f"{at:.4g}%{{visibility:{how}}}" for at, how in steps.items())
        rules.append(f"@keyframes {name}{{{told}}}")
        rules.append(f".{name}{{animation:{name} {whole / 1000:g}s step-end infinite}}")
    rules.append("}")
    return "\n".join(rules) if found else ""


def _bounds(marks: Iterable[Mark]) -> View:
    """The rectangle around everything, words by an estimate of their width."""
    sides = [_extent(mark) for mark in marks]
    left, top = min(s[0] for s in sides) - 4, min(s[1] for s in sides) - 4
    right, bottom = max(s[2] for s in sides) + 4, max(s[3] for s in sides) + 4
    return View(max(0.0, left), top, min(WIDTH, right) - max(0.0, left), bottom - top)


def _extent(mark: Mark) -> tuple[float, float, float, float]:
    match mark:
        case Cell(x, y, size):
            return x, y, x + size, y + size
        case Box() | Photo():
            return mark.x, mark.y, mark.x + mark.width, mark.y + mark.height
        case Line(x1, y1, x2, y2):
            return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)
        case Dot(x, y, r):
            return x - r, y - r, x + r, y + r
        case Text(x, y, text, size):
            width = min(0.62 * size * len(text), WIDTH - MARGIN - x)
            return x, y - size, x + width, y + 0.25 * size
