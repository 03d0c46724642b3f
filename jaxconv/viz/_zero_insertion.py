"""A transposed convolution as a convolution of stride 1: a frame for each result."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jaxconv._core.geometry import Axis
from jaxconv.viz import _kernel
from jaxconv.viz._frames import Frame, chosen
from jaxconv.viz._layout import Grid, Page, Panel, arrange, beam
from jaxconv.viz._marks import Cell, Mark
from jaxconv.viz._operands import Operands, number, scatter, sum_of, value_at
from jaxconv.viz._scatter import title
from jaxconv.viz._scene import Scene
from jaxconv.viz._setting import Place, Setting

WORDS = (
    ("input", "input"),
    ("kernel", "kernel"),
    ("output", "output"),
    ("zero", "zero between"),
    ("padding", "border of zeros"),
    ("cropped", "cut off"),
)


def as_conv(setting: Setting, given: Operands) -> Scene:
    """Zeros between, a border of d(k-1) - padding, the flipped kernel, stride 1."""
    rows, columns = setting.geometry.input
    result = Panel(f"output {setting.image_size}", (0, 0), rows, columns)
    panels = _stretched(setting), _kernel.panel(setting, "flipped"), result
    written = given.x is not None
    page = arrange(*panels, flat=setting.ndim == 1, written=written)
    sums = None
    if given.x is not None and given.w is not None:
        sums = scatter(setting, given.x, given.w)
    frames = tuple(
        _gathered(setting, page, n, given, sums) for n in range(len(setting.elements))
    )
    base: list[Mark] = [*page.labels]
    for place in page.grids[0].places:
        base.append(_cell(setting, page.grids[0], place, given.x))
    base += _kernel.cells(page.grids[1], given, turned=True)
    base += [page.grids[2].put(place, "output") for place in setting.elements]
    found = {mark.role for mark in base if isinstance(mark, Cell)}
    legend = tuple((role, word) for role, word in WORDS if role in found)
    still = chosen(frames, 3 if setting.ndim == 1 else 2, page.height)
    name = f"{title(setting)}, as a conv"
    return Scene(name, setting.summary, legend, page.height, tuple(base), frames, still)


def spread_ends(axis: Axis) -> tuple[int, int]:
    """First and one past the last place that the flipped kernel reads.

    Element p of the input stands at p*s; the result q reads from q + lo - d(k-1) to
    q + lo.
    """
    first = axis.lo - (axis.span - 1)
    return first, axis.lo + axis.i


def _stretched(setting: Setting) -> Panel:
    """The input with zeros between and around; what a negative border cuts is there."""
    first, last = [], []
    for axis in setting.axes:
        start, stop = spread_ends(axis)
        first.append(min(0, start))
        last.append(max((axis.o - 1) * axis.s + 1, stop))
    rows, columns = (b - a for a, b in zip(first, last, strict=True))
    label = f"input {setting.windows_size}, stretched"
    return Panel(label, (first[0], first[1]), rows, columns)


def _element(setting: Setting, place: Place) -> Place | None:
    """Which element of the input stands at a place of the stretched one."""
    axes = list(zip(place, setting.axes, strict=True))
    if any(c % axis.s or not 0 <= c // axis.s < axis.o for c, axis in axes):
        return None
    row, column = (c // axis.s for c, axis in axes)
    return row, column


def stretched_role(setting: Setting, place: Place) -> str:
    """An element, a zero between, a zero of the border, or cut by a negative border."""
    for c, axis in zip(place, setting.axes, strict=True):
        start, stop = spread_ends(axis)
        if not start <= c < stop:
            return "cropped"
        if not 0 <= c <= (axis.o - 1) * axis.s:
            return "padding"
    return "zero" if _element(setting, place) is None else "input"


def _cell(
    setting: Setting, grid: Grid, place: Place, x: np.ndarray | None, note: str = ""
) -> Cell:
    role = stretched_role(setting, place)
    found = _element(setting, place)
    text = "" if x is None else "0" if found is None else number(x[found])
    return grid.put(place, role, text, note)


def _gathered(
    setting: Setting, page: Page, index: int, given: Operands, sums: np.ndarray | None
) -> Frame:
    source, _, result = page.grids
    target = setting.elements[index]
    taps = list(_flipped(setting, target))
    window = source.box([place for place, _ in taps], "window")
    marks: list[Mark] = []
    for place, tap in taps:
        note = "" if given.w is None else f"×{number(given.w[tap])}"
        cell = _cell(setting, source, place, given.x, note)
        marks.append(cell._replace(role=f"{cell.role}-lit"))
    for before in setting.elements[: index + 1]:
        role = "output-lit" if before == target else "output-done"
        marks.append(result.put(before, role, value_at(sums, before)))
    end = result.box([target], "window")
    marks += [window, end, *beam(window, end)]
    return Frame(tuple(marks), _caption(setting, target, taps, given, sums))


def _flipped(setting: Setting, target: Place) -> Iterator[tuple[Place, Place]]:
    """Where the flipped kernel reads for one result, and the tap, left to right.

    From q = p*s + t*d - lo: tap t reads the place p*s = q + lo - t*d.
    """
    for flipped in np.ndindex(*setting.geometry.kernel):
        tap = [k - 1 - t for t, k in zip(flipped, setting.geometry.kernel, strict=True)]
        row, column = (
            q + axis.lo - t * axis.d
            for q, t, axis in zip(target, tap, setting.axes, strict=True)
        )
        yield (row, column), (tap[0], tap[1])


def _caption(
    setting: Setting,
    target: Place,
    taps: list[tuple[Place, Place]],
    given: Operands,
    sums: np.ndarray | None,
) -> str:
    name = f"output[{setting.index(target)}]"
    met = [
        (element, tap)
        for place, tap in taps
        if (element := _element(setting, place)) is not None
    ]
    if given.x is None or given.w is None or sums is None:
        count = len(met)
        return f"{name}: the window meets {count} element{'s' * (count != 1)}"
    products = [(given.x[element], given.w[tap]) for element, tap in met]
    return sum_of(products, sums[target], name) if met else f"{name} = 0"
