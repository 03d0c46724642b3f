"""Where cells lie on the page: grids beside or below one another."""

from __future__ import annotations

from typing import NamedTuple

from jaxconv._border import arguments as can
from jaxconv.viz._marks import MARGIN, WIDTH, Box, Cell, Line, Mark, Text
from jaxconv.viz._setting import Place

CELL = 34.0  # the largest, but for sums of letters
SUM_CELL = 66.0
LEAST_CELL = 4.0
NUMBER_CELL = 17.0  # the least that a number can be read in
LABEL = 18  # height of the line above a grid


class Panel(NamedTuple):
    """A grid to be placed: its label, its first place and its size."""

    label: str
    first: Place
    rows: int
    columns: int


class Grid(NamedTuple):
    """A grid in its place."""

    x: float
    y: float
    cell: float
    panel: Panel

    def corner(self, place: Place) -> tuple[float, float]:
        row, column = (
            c - first for c, first in zip(place, self.panel.first, strict=True)
        )
        return self.x + column * self.cell, self.y + row * self.cell

    def put(self, place: Place, role: str, text: str = "", note: str = "") -> Cell:
        if self.cell < NUMBER_CELL:
            text = note = ""
        return Cell(*self.corner(place), self.cell, role, text, note)

    def box(self, places: list[Place], role: str) -> Box:
        """The outline around places."""
        rows, columns = zip(*places, strict=True)
        x, y = self.corner((min(rows), min(columns)))
        width = (max(columns) - min(columns) + 1) * self.cell
        return Box(x, y, width, (max(rows) - min(rows) + 1) * self.cell, role)

    @property
    def places(self) -> list[Place]:
        top, left = self.panel.first
        rows = range(top, top + self.panel.rows)
        return [(r, c) for r in rows for c in range(left, left + self.panel.columns)]

    def label(self, y: float) -> Text:
        return Text(self.x, y, self.panel.label)

    @property
    def bottom(self) -> float:
        return self.y + self.panel.rows * self.cell


class Page(NamedTuple):
    """Grids that fill the width, and the height they need."""

    grids: list[Grid]
    height: float
    column: bool

    @property
    def labels(self) -> list[Mark]:
        """Where no line between grids goes: at the top, or below those of a column."""
        if self.column:
            lowest = min(self.grids, key=lambda grid: grid.y)
            return [
                grid.label(LABEL - 6.0 if grid is lowest else grid.bottom + 15)
                for grid in self.grids
            ]
        return [grid.label(LABEL - 6.0) for grid in self.grids]


def arrange(
    *panels: Panel, flat: bool, largest: float = CELL, written: bool = True
) -> Page:
    """Grids in a row, or ``flat`` ones in a column, as large as the width allows.

    Cells that are ``written`` in go below one another rather than become too small.
    In a column the middle one of three comes last, so that no line crosses it.
    """
    columns = [panel.columns for panel in panels]
    below = _cell(max(columns), 0, largest)
    beside = _cell(sum(columns), BESIDE * (len(panels) - 1), largest)
    readable = NUMBER_CELL if written else LEAST_CELL
    if flat or beside < readable <= below or beside < LEAST_CELL:
        return _in_column(panels, _seen(below, max(columns)))
    return _in_row(panels, _seen(beside, sum(columns)))


BESIDE = 34  # between grids in a row
BELOW = 36  # between grids in a column


def _cell(columns: int, gaps: float, largest: float) -> float:
    return min(largest, (WIDTH - 2 * MARGIN - gaps) / columns)


def _seen(cell: float, columns: int) -> float:
    """A cell that is large enough to be seen."""
    if cell < LEAST_CELL:
        most = int((WIDTH - 2 * MARGIN) / LEAST_CELL)
        rule = f"are more than can be seen side by side, about {most}"
        can.fail("columns", columns, rule, "Draw smaller sizes or less padding")
    return cell


def _in_row(panels: tuple[Panel, ...], cell: float) -> Page:
    while sum(_widths(panels, cell)) > WIDTH - 2 * MARGIN and cell > LEAST_CELL:
        cell *= 0.97
    widths = _widths(panels, cell)
    x = (WIDTH - sum(widths)) / 2
    tall = max(p.rows for p in panels) * cell
    grids: list[Grid] = []
    for panel, width in zip(panels, widths, strict=True):
        grids.append(Grid(x, LABEL + (tall - panel.rows * cell) / 2, cell, panel))
        x += width
    return Page(grids, LABEL + tall + 8, column=False)


def _widths(panels: tuple[Panel, ...], cell: float) -> list[float]:
    """Of each grid with the gap after it, in which a longer label has room."""
    *first, last = panels
    labelled = (max(p.columns * cell + BESIDE, LETTER * len(p.label)) for p in first)
    return [*labelled, last.columns * cell]


LETTER = 7.2  # width of a letter of a label, with some room


def _in_column(panels: tuple[Panel, ...], cell: float) -> Page:
    y = float(LABEL)
    grids: dict[int, Grid] = {}
    for place in (0, 2, 1) if len(panels) == 3 else range(len(panels)):
        panel = panels[place]
        x = (WIDTH - panel.columns * cell) / 2
        grids[place] = Grid(x, y, cell, panel)
        y += panel.rows * cell + BELOW
    ordered = [grids[place] for place in range(len(panels))]
    return Page(ordered, y - BELOW + LABEL + 4, column=True)


def beam(start: Box, end: Box) -> list[Mark]:
    """Two lines from the side of one outline to the facing side of another."""
    if start.x + start.width <= end.x:
        x1, x2 = start.x + start.width, end.x
        tops = Line(x1, start.y, x2, end.y, "beam")
        bottom = Line(x1, start.y + start.height, x2, end.y + end.height, "beam")
        return [tops, bottom]
    y1, y2 = start.y + start.height, end.y
    left = Line(start.x, y1, end.x, y2, "beam")
    return [left, Line(start.x + start.width, y1, end.x + end.width, y2, "beam")]
