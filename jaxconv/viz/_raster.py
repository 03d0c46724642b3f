"""Scenes as pixels: GIF animations and PNG pictures, drawn with pillow."""

from __future__ import annotations

import functools
import io
import itertools
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jaxconv.viz import _png
from jaxconv.viz._frames import (
    MOMENT,
    PAUSE,
    Frames,
    caption_height,
    captions,
    head,
    head_height,
    over,
    sampled,
    under,
)  # fmt: skip
from jaxconv.viz._marks import WIDTH, Box, Cell, Dot, Line, Mark, Photo, Text, words_in
from jaxconv.viz._theme import STYLES

SCALE = 2  # pixels of the file per pixel of the scene
FINE = 2 * SCALE  # pixels drawn per pixel of the scene, halved at the end


def save_gif(scene: Frames, path: Path, theme: str) -> None:
    """All frames, or some of very many, over and over."""
    needed()
    scene = sampled(scene)
    top = head_height(scene)
    pages = (
        _page(scene, theme, [index], top + scene.height + caption_height(scene))
        for index in range(len(scene.frames))
    )
    images = [page.image() for page in pages]
    palette = _palette(images, theme)
    few = [image.quantize(palette=palette, dither=0) for image in images]
    times = [MOMENT] * (len(few) - 1) + [PAUSE]
    lasting = {"duration": times if len(few) > 1 else PAUSE, "loop": 0}
    few[0].save(path, "GIF", save_all=True, append_images=few[1:], **lasting)


def save_png(scene: Frames, path: Path, theme: str) -> None:
    """The frames of `still`, as the SVG has them."""
    still(scene, theme).save(path, "PNG", optimize=True)


def still(scene: Frames, theme: str) -> Any:
    """The same picture as the SVG, as a pillow image."""
    needed()
    step = scene.height + caption_height(scene)
    height = head_height(scene) + len(scene.still) * step + 6
    return _page(scene, theme, scene.still, height).image()


def _page(scene: Frames, theme: str, frames: Sequence[int], height: float) -> Canvas:
    page = Canvas(height, theme)
    page.draw(head(scene))
    for place, index in enumerate(frames):
        frame = scene.frames[index]
        page.top = head_height(scene) + place * (scene.height + caption_height(scene))
        page.draw((*under(frame), *scene.base, *over(frame), *captions(scene, frame)))
    return page


def _palette(images: list[Any], theme: str) -> Any:
    """One for all frames, so that no colour flickers: the theme's own, and blends."""
    from PIL import Image, ImageColor

    styles = STYLES[theme].values()
    own = dict.fromkeys(colour for s in styles for colour in (s.fill, s.line, s.ink))
    exact = [ImageColor.getrgb(colour) for colour in own if colour != "none"]
    width, height = images[0].size
    some = images[:: max(1, len(images) // 4)]
    sheet = Image.new("RGB", (width, height * len(some)))
    for index, image in enumerate(some):
        sheet.paste(image, (0, index * height))
    blends = sheet.quantize(256 - len(exact)).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([*itertools.chain(*exact), *blends])
    return palette


def needed() -> None:
    """Fails with what to install where a package is missing."""
    try:
        import matplotlib  # for its fonts
        import PIL
    except ImportError as error:
        package = {"PIL": "pillow"}.get(error.name or "", error.name)
        remedy = "install it with: pip install 'jaxconv[viz]'"
        raise ImportError(
            f"a GIF or PNG needs {package}, which is not installed; {remedy}"
        ) from None
    del matplotlib, PIL


class Canvas:
    """A picture being drawn, larger than it will be so that edges come out smooth."""

    def __init__(self, height: float, theme: str) -> None:
        from PIL import Image, ImageDraw

        self.styles = STYLES[theme]
        size = (WIDTH * FINE, 2 * round(height * FINE / 2))
        self.pixels = Image.new("RGB", size, self.styles["page"].fill)
        self.pen = ImageDraw.Draw(self.pixels)
        self.top = 0.0  # added to every y

    def image(self) -> Any:
        return self.pixels.reduce(FINE // SCALE)

    def draw(self, marks: Iterable[Mark]) -> None:
        for mark in marks:
            match mark:
                case Cell():
                    self._cell(mark)
                case Box():
                    self._rect(mark.role, mark.x, mark.y, mark.width, mark.height)
                case Line():
                    self._line(mark.role, [(mark.x1, mark.y1), (mark.x2, mark.y2)])
                    if mark.head:
                        self._line(mark.role, list(mark.tip))
                case Dot():
                    self._dot(mark)
                case Text():
                    ink = self.styles[mark.role].ink
                    self._text(ink, mark.x, mark.y, mark.text, mark.size, mark.anchor)
                case Photo():
                    self._photo(mark)

    def _cell(self, mark: Cell) -> None:
        self._rect(mark.role, mark.x, mark.y, mark.size, mark.size)
        ink = self.styles[mark.role].ink
        for words in words_in(mark):
            self._text(ink, *words)

    def _rect(self, role: str, x: float, y: float, width: float, height: float) -> None:
        style = self.styles[role]
        if style.fill != "none":
            ends = [*self._at(x, y), *self._at(x + width, y + height)]
            self.pen.rectangle(ends, fill=style.fill)
        corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
        self._line(role, [*corners, corners[0]])

    def _line(self, role: str, points: list[tuple[float, float]]) -> None:
        style = self.styles[role]
        width = round(style.width * FINE)
        for start, end in itertools.pairwise(points):
            for a, b in _dashes(start, end, style.dash):
                ends = [self._at(*a), self._at(*b)]
                self.pen.line(ends, fill=style.line, width=width)

    def _dot(self, mark: Dot) -> None:
        style = self.styles[mark.role]
        x, y, r = mark.x, mark.y, mark.radius
        ends = [*self._at(x - r, y - r), *self._at(x + r, y + r)]
        fill = None if style.fill == "none" else style.fill
        width = round(style.width * FINE)
        self.pen.ellipse(ends, fill=fill, outline=style.line, width=width)

    def _text(
        self, ink: str, x: float, y: float, text: str, size: float, anchor: str
    ) -> None:
        side = {"start": "ls", "middle": "ms", "end": "rs"}[anchor]
        font = _font(round(size * FINE))
        self.pen.text(self._at(x, y), text, fill=ink, font=font, anchor=side)

    def _photo(self, mark: Photo) -> None:
        from PIL import Image

        with Image.open(
            io.BytesIO(_png.grey(mark.rows, mark.columns, mark.pixels))
        ) as p:
            size = round(mark.width * FINE), round(mark.height * FINE)
            stretched = p.convert("RGB").resize(size, Image.Resampling.BICUBIC)
        self.pixels.paste(stretched, self._at(mark.x, mark.y))

    def _at(self, x: float, y: float) -> tuple[int, int]:
        return round(x * FINE), round((y + self.top) * FINE)


def _dashes(
    start: tuple[float, float], end: tuple[float, float], dash: str
) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """The drawn parts of a line."""
    length = math.dist(start, end)
    if not dash or not length:
        return [(start, end)]
    drawn, gap = map(float, dash.split())
    parts: list[tuple[tuple[float, float], tuple[float, float]]] = []
    for step in range(math.ceil(length / (drawn + gap))):
        shares = (step * (drawn + gap), min(length, step * (drawn + gap) + drawn))
        a, b = (
            (
                start[0] + (end[0] - start[0]) * share / length,
                start[1] + (end[1] - start[1]) * share / length,
            )
            for share in shares
        )
        parts.append((a, b))
    return parts


@functools.cache
def _font(size: int) -> Any:
    """matplotlib's own font, so that a picture is the same everywhere."""
    import matplotlib
    from PIL import ImageFont

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size)
