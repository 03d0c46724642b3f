"""Scenes: the data of a picture together with the ways to draw it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jaxconv._border import arguments as can
from jaxconv.viz import _html, _moving, _raster, _svg
from jaxconv.viz._frames import Frame, Frames, Theme, caption_height, captions, chosen

THEMES = ("auto", "light", "dark")
SUFFIXES = (".gif", ".svg", ".html", ".png")


@dataclass(frozen=True)
class Scene(Frames):
    """A picture or an animation, as data; `save` and notebooks draw it.

    Attributes:
      title, subtitle: what is shown, and with which options.
      legend: pairs of a role and the word for it.
      height: of a frame without its caption, in pixels at a width of 400.
      base: the marks that every frame has; they are drawn first.
      frames: the moments, each a `Frame` of marks and a caption.
      still: the indices of the frames that a static picture shows, one below the other.
    """

    def svg(self, *, theme: Theme = "auto", moving: bool = False) -> str:
        """The frames of `still` as one static SVG; the same text for the same scene.

        Args:
          theme: "light", "dark", or "auto": what the reader's system prefers.
          moving: all frames one after the other instead, as an SVG that plays by
            itself; readers who prefer less motion see the last one.
        """
        draw = _moving.moving if moving else _svg.picture
        return draw(self, can.choice("theme", theme, THEMES))

    def html(self, *, theme: Theme = "auto") -> str:
        """A piece of HTML that plays the frames, without anything from elsewhere.

        It has buttons to play, pause and step, and a slider; without scripts it shows
        the first frame.

        Args:
          theme: "light", "dark", or "auto": what the reader's system prefers.
        """
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
                else _html.page(self, chosen_theme)
            )
            path.write_text(text, encoding="utf-8", newline="\n")
            return path
        draw = _raster.save_gif if suffix == ".gif" else _raster.save_png
        draw(self, path, can.choice("theme", theme or "light", THEMES[1:]))
        return path

    def _repr_html_(self) -> str:
        return self.html()


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
