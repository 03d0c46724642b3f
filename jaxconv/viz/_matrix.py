"""The matrix of a convolution, and its transpose, one row lit after the other."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from jaxconv._border import arguments as can
from jaxconv._border.arguments import IntLike, PaddingLike
from jaxconv.viz._frames import Frame
from jaxconv.viz._layout import (
    CELL,
    LABEL,
    LEAST_CELL,
    NUMBER_CELL,
    Grid,
    Page,
    Panel,
    arrange,
)  # fmt: skip
from jaxconv.viz._marks import MARGIN, WIDTH, Box, Mark
from jaxconv.viz._operands import (
    Operands,
    Sized,
    convolve,
    number,
    read_operands,
    scatter,
    sum_of,
    value_at,
)
from jaxconv.viz._scene import Scene
from jaxconv.viz._setting import Place, Setting, read_setting


def matrix(
    input: Sized,
    kernel: Sized,
    *,
    transposed: bool = False,
    stride: IntLike = 1,
    padding: PaddingLike = 0,
    output_padding: IntLike = 0,
    output_size: IntLike | None = None,
    dilation: IntLike = 1,
    padding_mode: str = "zeros",
) -> Scene:
    r"""The matrix C of a convolution, or its transpose, one row lit after the other.

    .. math:: C[p, q] = \sum_{t \,:\, p s + t d - \mathit{lo} = q} w[t]

    Output = C · input, both flattened row by row.  Each frame lights a row, the inputs
    that it multiplies and the output that it gives.  Of sizes the entries are the taps,
    counted from 1: 12 is K12.

    Args:
      input: spatial size of the input, an int or a pair, or an array of numbers.
      kernel: likewise, both sizes or both arrays.
      transposed: show C transposed, which `jaxconv.conv_transpose` multiplies by; input
        and all options are then that function's.
      stride, padding, output_padding, output_size, dilation, padding_mode: as in
        `jaxconv.conv` and `jaxconv.conv_transpose`.

    Returns:
      A `Scene`.

    Raises:
      ValueError: sizes that do not fit, or whose matrix has over a million entries.
      TypeError: arguments of the wrong kind.

    Example:
      >>> from jaxconv import viz
      >>> print(viz.matrix((3, 3), (2, 2)).frames[1].caption)
      row 1: output[0, 1] from 4 of 9 inputs

    Elsewhere: the values are those of `jaxconv.conv_matrix`.

    Source: the definition, y = C x, entry by entry.
    """
    given = read_operands(input, kernel)
    padded = any(can.ints("output_padding", output_padding, len(given.kernel), 0))
    extra = {"output_padding": output_padding, "output_size": output_size}
    if not transposed and (padded or output_size is not None):
        rule = "belongs to a transposed convolution"
        remedy = "Leave it out, or write transposed=True"
        name = "output_padding" if padded else "output_size"
        can.fail(name, extra[name], rule, remedy)
    setting = read_setting(
        transposed,
        given.size,
        given.kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        padding_mode=padding_mode,
        **extra,
    )
    count = len(setting.positions) * len(setting.elements)
    if count > MOST_ENTRIES:
        rule = f"makes a matrix of {count} entries, more than the {MOST_ENTRIES} drawn"
        can.fail("input", input, rule, "Draw smaller sizes")
    return _scene(_Product.of(setting, given))


MOST_ENTRIES = 1_000_000  # of 32x32 pixels, 3x3


class _Product(NamedTuple):
    """C, or its transpose, times a vector: which taps stand where, and the numbers."""

    setting: Setting
    given: Operands
    into: list[Place]  # what the columns stand for, the elements of the input
    out: list[Place]  # what the rows stand for, those of the output
    taps: dict[tuple[Place, Place], list[Place]]  # by row and column
    result: np.ndarray | None

    @classmethod
    def of(cls, setting: Setting, given: Operands) -> _Product:
        taps: dict[tuple[Place, Place], list[Place]] = {}
        for position in setting.positions:
            for read in setting.reads(position):
                if read.source is not None:
                    key = position, read.source
                    if setting.transposed:
                        key = read.source, position
                    taps.setdefault(key, []).append(read.tap)
        sides = setting.elements, setting.positions
        into, out = sides[::-1] if setting.transposed else sides
        result = None
        if given.x is not None and given.w is not None:
            apply = scatter if setting.transposed else convolve
            result = apply(setting, given.x, given.w)
        return cls(setting, given, into, out, taps, result)

    def entry(self, row: Place, column: Place) -> str:
        """The number, or the tap counted from 1 as in K11."""
        taps = self.taps.get((row, column), [])
        if self.given.w is not None:
            return number(sum(self.given.w[tap] for tap in taps)) if taps else "0"
        return "+".join(self._name(tap) for tap in taps)

    def _name(self, tap: Place) -> str:
        return "".join(str(t + 1) for t in tap[2 - self.setting.ndim :])

    @property
    def name(self) -> str:
        return "C transposed" if self.setting.transposed else "C"

    @property
    def sizes(self) -> tuple[str, str]:
        """Of the input and of the output."""
        image, windows = self.setting.image_size, self.setting.windows_size
        return (windows, image) if self.setting.transposed else (image, windows)


def _scene(product: _Product) -> Scene:
    page, grid, height = _places(product)
    source, result = page.grids
    base: list[Mark] = [*page.labels, grid.label(grid.y - 6)]
    for place in product.into:
        base.append(source.put(place, "input", value_at(product.given.x, place)))
    base += [result.put(place, "output") for place in product.out]
    if grid.cell < LEAST_CELL:
        size = grid.cell * len(product.into), grid.cell * len(product.out)
        base.append(Box(grid.x, grid.y, *size, "zero"))
    base += _rows(product, grid, range(len(product.out)), "")
    frames = tuple(
        _frame(product, page, grid, index) for index in range(len(product.out))
    )
    legend = (("input", "input"), ("output", "output"), ("kernel", "kernel"))
    into, out = product.sizes
    title = f"output = {product.name} · input: {into} to {out}"
    still = (len(frames) - 1,)
    summary = product.setting.summary
    return Scene(title, summary, legend, height, tuple(base), frames, still)


def _places(product: _Product) -> tuple[Page, Grid, float]:
    """The input and the output above, the matrix below."""
    into, out = product.sizes
    panels = (
        Panel(f"input {into}", (0, 0), *_extent(product.into)),
        Panel(f"output {out}", (0, 0), *_extent(product.out)),
    )
    page = arrange(*panels, flat=False)
    label = f"{product.name}, {len(product.out)}×{len(product.into)}"
    whole = Panel(label, (0, 0), len(product.out), len(product.into))
    widest = (WIDTH - 2 * MARGIN) / len(product.into)
    small = max(NUMBER_CELL, 320 / len(product.out))
    cell = min(CELL, widest, small)
    x = (WIDTH - cell * len(product.into)) / 2
    grid = Grid(x, page.height + LABEL + 4, cell, whole)
    return page, grid, grid.y + cell * len(product.out) + 8


def _extent(places: list[Place]) -> tuple[int, int]:
    row, column = places[-1]
    return row + 1, column + 1


def _rows(product: _Product, grid: Grid, rows: Iterable[int], state: str) -> list[Mark]:
    if grid.cell < LEAST_CELL:
        return [mark for row in rows for mark in _fine(product, grid, row, state)]
    marks: list[Mark] = []
    for row in rows:
        for column, source in enumerate(product.into):
            here = (product.out[row], source)
            role = "kernel" if here in product.taps else "zero"
            marks.append(grid.put((row, column), role + state, product.entry(*here)))
    return marks


def _fine(product: _Product, grid: Grid, row: int, state: str) -> Iterable[Mark]:
    """A row of cells too small for outlines: what lies side by side is one mark."""
    lit = [
        column
        for column, source in enumerate(product.into)
        if (product.out[row], source) in product.taps
    ]
    for _, run in itertools.groupby(enumerate(lit), lambda pair: pair[1] - pair[0]):
        columns = [column for _, column in run]
        x, y = grid.corner((row, columns[0]))
        yield Box(x, y, grid.cell * len(columns), grid.cell, f"kernel{state}-fine")


def _frame(product: _Product, page: Page, grid: Grid, index: int) -> Frame:
    source, result = page.grids
    target = product.out[index]
    met = [place for place in product.into if (target, place) in product.taps]
    marks = _rows(product, grid, [index], "-lit")
    for place in met:
        text = value_at(product.given.x, place)
        marks.append(source.put(place, "input-lit", text))
    for before in product.out[: index + 1]:
        role = "output-lit" if before == target else "output-done"
        marks.append(result.put(before, role, value_at(product.result, before)))
    width = range(len(product.into))
    role = "window" if grid.cell >= LEAST_CELL else "arrow"
    marks.append(grid.box([(index, column) for column in width], role))
    marks.append(result.box([target], "window"))
    return Frame(tuple(marks), _caption(product, index, met))


def _caption(product: _Product, index: int, met: list[Place]) -> str:
    target = product.out[index]
    name = f"output[{product.setting.index(target)}]"
    x, w = product.given.x, product.given.w
    if x is None or w is None or product.result is None:
        return f"row {index}: {name} from {len(met)} of {len(product.into)} inputs"
    products = [
        (x[place], w[tap]) for place in met for tap in product.taps[target, place]
    ]
    return sum_of(products, product.result[target], f"row {index}: {name}")
