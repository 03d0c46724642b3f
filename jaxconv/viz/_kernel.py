"""The kernel as a grid of its own, between the input and the output."""

from __future__ import annotations

from jaxconv.viz._layout import Grid, Panel
from jaxconv.viz._marks import Mark
from jaxconv.viz._operands import Operands, value_at
from jaxconv.viz._setting import Setting, times


def panel(setting: Setting, words: str = "kernel") -> Panel:
    rows, columns = setting.geometry.kernel
    size = times((rows, columns)[2 - setting.ndim :])
    return Panel(f"{words} {size}", (0, 0), rows, columns)


def cells(grid: Grid, given: Operands, *, turned: bool = False) -> list[Mark]:
    """Every tap with its number, in the order in which the window meets them."""
    w = given.w
    if turned and w is not None:
        w = w[::-1, ::-1]
    return [grid.put(place, "kernel", value_at(w, place)) for place in grid.places]
