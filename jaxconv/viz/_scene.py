"""What a picture shows, as plain data: frames of marks, and scenes of frames."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

from jaxconv._border import arguments as can
from jaxconv.viz._marks import MARGIN, TITLE_SIZE, WIDTH, Cell, Line, Mark, Text

Theme = Literal["auto", "light", "dark"]
THEMES = ("auto", "light", "dark")


class Frame(NamedTuple):
    """What one moment adds to a scene's base, and a line of text below it."""

    marks: tuple[Mark, ...]
    caption: str


@dataclass(frozen=True)
class Scene:
    """A picture or an animation, as data; `save` and notebooks draw it.

    Attributes:
      title, subtitle: what is shown, and with which options.
      legend: pairs of a role and the word for it.
      height: of a frame without its caption, in pixels at a width of 400.
      base: the marks that every frame has; they are drawn first.
      frames: the moments, each a `Frame` of marks and a caption.
      still: the indices of the frames that a static picture shows, one below the other.
    """

    title: str
    subtitle: str
    legend: tuple[tuple[str, str], ...]
    height: float
    base: tuple[Mark, ...]
    frames: tuple[Frame, ...]
    still: tuple[int, ...]

    def svg(self, *, theme: Theme = "auto", moving: bool = False) -> str:
        """The frames of `still` as one static SVG; the same text for the same scene.

        Args:
          theme: "light", "dark", or "auto": what the reader's system prefers.
          moving: all frames one after the other instead, as an SVG that plays by
            itself; readers who prefer less motion see the last one.
        """
        from jaxconv.viz import _moving, _svg

        draw = _moving.moving if moving else _svg.picture
        return draw(self, can.choice("theme", theme, THEMES))

    def html(self, *, theme: Theme = "auto") -> str:
        """A piece of HTML that plays the frames, without anything from elsewhere.

        It has buttons to play, pause and step, and a slider; without scripts it shows
        the first frame.

        Args:
          theme: "light", "dark", or "auto": what the reader's system prefers.
        """
        from jaxconv.viz import _html

        return _html.player(self, can.choice("theme", theme, THEMES))

    def save(
        self, path: str | Path, *, theme: Theme | None = None, moving: bool = False
    ) -> Path:
        """Writes the scene; the suffix says as what.

        Args:
          path: a file that ends in .gif (all frames, or 60 of more), .svg or .png (the
            frames of `still`), or .html (all frames, with buttons).
          theme: "light", "dark", or, for .svg and .html, "auto", which is the default
            there; .gif and .png are light by default.
          moving: write an .svg that plays.

        Returns:
          The path.

        Raises:
          ValueError: another suffix, or a theme that the format does not have.
          ImportError: .gif and .png need `pip install 'jaxconv[viz]'`.
          OSError: the file cannot be written.
        """
        path = Path(path)
        suffix = can.choice("suffix", path.suffix.lower(), SUFFIXES)
        if moving and suffix != ".svg":
            rule = f"is for .svg, and the path ends in {suffix}"
            can.fail("moving", moving, rule, "Leave it out: .gif and .html move")
        if suffix in (".svg", ".html"):
            chosen_theme = theme or "auto"
            text = (
                self.svg(theme=chosen_theme, moving=moving)
                if suffix == ".svg"
                else self.html(theme=chosen_theme)
            )
            path.write_text(text, encoding="utf-8", newline="\n")
            return path
        from jaxconv.viz import _raster

        draw = _raster.save_gif if suffix == ".gif" else _raster.save_png
        draw(self, path, can.choice("theme", theme or "light", THEMES[1:]))
        return path

    def _repr_html_(self) -> str:
        return self.html()


SUFFIXES = (".gif", ".svg", ".html", ".png")
LINE_HEIGHT = 16  # of a caption, which may need several lines
LINE = 58  # characters that fit on a line at the pictures' width
TALL = 300  # what is taller is not shown twice
MOST_FRAMES = 60  # of a file that plays them all
MOMENT, PAUSE = 800, 2400  # milliseconds of a frame and of the last


def head_height(scene: Scene) -> float:
    """Room above the frames: title, subtitle and legend."""
    return max(mark.y for mark in head(scene) if isinstance(mark, Text)) + 11


def head(scene: Scene) -> tuple[Mark, ...]:
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


def captions(scene: Scene, frame: Frame) -> list[Text]:
    """A frame's text below it, line by line."""
    return [
        Text(MARGIN, scene.height + 15 + LINE_HEIGHT * index, line)
        for index, line in enumerate(_lines(frame))
    ]


def _lines(frame: Frame) -> list[str]:
    return textwrap.wrap(frame.caption, LINE, break_long_words=False) or [""]


def caption_height(scene: Scene) -> float:
    """Room below a frame, the same for all of a scene's."""
    most = max(len(_lines(frame)) for frame in scene.frames)
    return 8.0 + LINE_HEIGHT * most


def under(frame: Frame) -> list[Mark]:
    """What lies behind the cells: lines between grids, which cross no number then."""
    return [m for m in frame.marks if isinstance(m, Line) and m.role == "beam"]


def over(frame: Frame) -> list[Mark]:
    return [m for m in frame.marks if not (isinstance(m, Line) and m.role == "beam")]


def sampled(scene: Scene) -> Scene:
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


def stack(above: Scene, below: Scene, title: str, subtitle: str) -> Scene:
    """Two scenes, one below the other, whose first and last frames coincide."""
    dy = above.height + caption_height(above) + 8
    count = max(len(above.frames), len(below.frames))
    frames: list[Frame] = []
    for index in range(count):
        one = above.frames[index * len(above.frames) // count]
        two = below.frames[index * len(below.frames) // count]
        marks = (*one.marks, *captions(above, one), *(m.down(dy) for m in two.marks))
        frames.append(Frame(marks, two.caption))
    legend = tuple(dict.fromkeys((*above.legend, *below.legend)))
    base = (*above.base, *(mark.down(dy) for mark in below.base))
    height = dy + below.height
    still = chosen(frames, 2, height)
    return Scene(title, subtitle, legend, height, base, tuple(frames), still)
