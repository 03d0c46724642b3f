"""What a picture shows, as plain data: frames of marks, and scenes of frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from jaxconv._border import arguments as can
from jaxconv.viz._marks import MARGIN, TITLE_SIZE, WIDTH, Cell, Mark, Text

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

    def svg(self, *, theme: Theme = "auto") -> str:
        """The frames of `still` as one static SVG; the same text for the same scene.

        Args:
          theme: "light", "dark", or "auto": what the reader's system prefers.
        """
        from jaxconv.viz import _svg

        return _svg.picture(self, can.choice("theme", theme, THEMES))

    def html(self, *, theme: Theme = "auto") -> str:
        """A piece of HTML that plays the frames, without anything from elsewhere.

        It has buttons to play, pause and step, and a slider; without scripts it shows
        the first frame.

        Args:
          theme: "light", "dark", or "auto": what the reader's system prefers.
        """
        from jaxconv.viz import _html

        return _html.player(self, can.choice("theme", theme, THEMES))

    def save(self, path: str | Path, *, theme: Theme | None = None) -> Path:
        """Writes the scene; the suffix says as what.

        Args:
          path: a file that ends in .gif (all frames), .svg or .png (the frames of
            `still`), or .html (all frames, with buttons).
          theme: "light", "dark", or, for .svg and .html, "auto", which is the default
            there; .gif and .png are light by default.

        Returns:
          The path.

        Raises:
          ValueError: another suffix, or a theme that the format does not have.
          ImportError: .gif and .png need `pip install 'jaxconv[viz]'`.
          OSError: the file cannot be written.
        """
        path = Path(path)
        suffix = can.choice("suffix", path.suffix.lower(), SUFFIXES)
        if suffix in (".svg", ".html"):
            write = self.svg if suffix == ".svg" else self.html
            text = write(theme=theme or "auto")
            path.write_text(text, encoding="utf-8", newline="\n")
            return path
        from jaxconv.viz import _raster

        draw = _raster.save_gif if suffix == ".gif" else _raster.save_png
        draw(self, path, can.choice("theme", theme or "light", THEMES[1:]))
        return path

    def _repr_html_(self) -> str:
        return self.html()


SUFFIXES = (".gif", ".svg", ".html", ".png")
CAPTION_HEIGHT = 24
TALL = 300  # what is taller is not shown twice


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


def caption(scene: Scene, frame: Frame) -> Text:
    return Text(MARGIN, scene.height + 15, frame.caption)


def chosen(frames: Sequence[Frame], count: int) -> tuple[int, ...]:
    """So many frames for a static picture: the first ones, and the last."""
    last = len(frames) - 1
    return tuple(sorted({*range(min(count - 1, last)), last}))


def stack(above: Scene, below: Scene, title: str, subtitle: str) -> Scene:
    """Two scenes, one below the other, whose first and last frames coincide."""
    dy = above.height + CAPTION_HEIGHT + 8
    count = max(len(above.frames), len(below.frames))
    frames: list[Frame] = []
    for index in range(count):
        one = above.frames[index * len(above.frames) // count]
        two = below.frames[index * len(below.frames) // count]
        marks = (*one.marks, caption(above, one), *(m.down(dy) for m in two.marks))
        frames.append(Frame(marks, two.caption))
    legend = tuple(dict.fromkeys((*above.legend, *below.legend)))
    base = (*above.base, *(mark.down(dy) for mark in below.base))
    height = dy + below.height
    still = chosen(frames, 2) if height < TALL else (count - 1,)
    return Scene(title, subtitle, legend, height, base, tuple(frames), still)
