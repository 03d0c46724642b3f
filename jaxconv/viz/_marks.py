"""Marks, the plain data that pictures consist of.

Every length is in pixels of a picture `WIDTH` pixels wide, the size it must be legible
at; renderers scale it.  Nothing here knows how a mark is drawn or what colour it has.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

WIDTH = 400
MARGIN = 12
TITLE_SIZE = 15
TEXT_SIZE = 12
LEAST_TEXT = 8  # nothing smaller is written


class Cell(NamedTuple):
    """A square with its upper left corner at (x, y), and what stands in it."""

    x: float
    y: float
    size: float
    role: str
    text: str = ""
    note: str = ""  # small, in the lower right corner

    @property
    def lines(self) -> list[str]:
        """The text, a sum too long for one line by its terms."""
        if len(self.text) <= 7:
            return [self.text]
        first, *rest = self.text.split("+")
        return [first, *(f"+{term}" for term in rest)]

    @property
    def text_size(self) -> float:
        """Of the text: as large as fits, or 0 where nothing legible does."""
        lines = self.lines
        longest = max(map(len, lines))
        room = (self.size - 3) / (0.64 * max(1, longest))
        tall = self.size - 3 if len(lines) > 1 else 1.2 * self.size / 2
        size = min(14.0, tall / (1.2 * len(lines)), room)
        return size if size >= LEAST_TEXT else 0.0

    @property
    def note_size(self) -> float:
        """Of the note, which needs a cell of some size."""
        room = (self.size - 2) / (0.64 * max(1, len(self.note)))
        size = min(10.0, 0.32 * self.size, room)
        return size if size >= LEAST_TEXT else 0.0

    def down(self, dy: float) -> Cell:
        return self._replace(y=self.y + dy)


class Box(NamedTuple):
    """An outline."""

    x: float
    y: float
    width: float
    height: float
    role: str

    def down(self, dy: float) -> Box:
        return self._replace(y=self.y + dy)


class Line(NamedTuple):
    """A line, with an arrow's head at its end if wanted."""

    x1: float
    y1: float
    x2: float
    y2: float
    role: str
    head: bool = False

    @property
    def tip(self) -> tuple[tuple[float, float], ...]:
        """The three points of an arrow's head."""
        along = math.atan2(self.y2 - self.y1, self.x2 - self.x1)
        end = (self.x2, self.y2)
        left, right = (
            (end[0] - 5 * math.cos(along + a), end[1] - 5 * math.sin(along + a))
            for a in (-0.5, 0.5)
        )
        return left, end, right

    def down(self, dy: float) -> Line:
        return self._replace(y1=self.y1 + dy, y2=self.y2 + dy)


class Dot(NamedTuple):
    """A disc around (x, y)."""

    x: float
    y: float
    radius: float
    role: str

    def down(self, dy: float) -> Dot:
        return self._replace(y=self.y + dy)


class Text(NamedTuple):
    """Words whose baseline is at y."""

    x: float
    y: float
    text: str
    size: float = TEXT_SIZE
    anchor: Literal["start", "middle", "end"] = "start"
    role: str = "text"

    def down(self, dy: float) -> Text:
        return self._replace(y=self.y + dy)


class Photo(NamedTuple):
    """Grey pixels, row by row, 0 black to 255 white, stretched over a rectangle."""

    x: float
    y: float
    width: float
    height: float
    rows: int
    columns: int
    pixels: bytes

    def down(self, dy: float) -> Photo:
        return self._replace(y=self.y + dy)


Words = tuple[float, float, str, float, Literal["start", "middle", "end"]]


def words_in(cell: Cell) -> list[Words]:
    """What is written in a cell that has room: x, baseline, text, size and anchor."""
    found: list[Words] = []
    size, small = cell.text_size, cell.note_size
    noted = bool(cell.note and small)
    if cell.text and size:
        rise = (0.12 if noted else 0.36) * size
        x, y = cell.x + cell.size / 2, cell.y + cell.size / 2 + rise
        y -= 0.6 * size * (len(cell.lines) - 1)
        for number, line in enumerate(cell.lines):
            found.append((x, y + 1.2 * size * number, line, size, "middle"))
    if noted:
        x, y = cell.x + cell.size - 2, cell.y + cell.size - 3
        found.append((x, y, cell.note, small, "end"))
    return found


Mark = Cell | Box | Line | Dot | Text | Photo
