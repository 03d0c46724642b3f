"""A convolution, many to one: one frame for each window."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxconv._border.arguments import IntLike, PaddingLike
from jaxconv.viz import _kernel
from jaxconv.viz._channels import with_channels
from jaxconv.viz._frames import Frame, chosen
from jaxconv.viz._layout import Page, Panel, arrange, beam
from jaxconv.viz._marks import Mark
from jaxconv.viz._operands import (
    Operands,
    Sized,
    convolve,
    number,
    read_operands,
    sum_of,
    value_at,
)
from jaxconv.viz._scene import Scene
from jaxconv.viz._setting import Place, Read, Setting, read_setting


def conv(
    input: Sized,
    kernel: Sized,
    *,
    stride: IntLike = 1,
    padding: PaddingLike = 0,
    dilation: IntLike = 1,
    groups: int = 1,
    channels: tuple[int, int] | None = None,
    padding_mode: str = "zeros",
) -> Scene:
    r"""A convolution, many to one: one frame for each position of the window.

    .. math:: y[p] = \sum_t w[t] \; x[p \cdot s + t \cdot d - \mathit{lo}]

    Each frame lights the inputs under the window and the output they are added to.

    Args:
      input: spatial size, an int or a pair, or an array of numbers that are shown in
        the cells, without channels.
      kernel: likewise, both sizes or both arrays.  Two ints are one axis; an int beside
        a pair is for both axes.
      stride, padding, dilation, padding_mode: as in `jaxconv.conv`.
      groups, channels: with channels, a pair (inputs, outputs), their diagram is drawn
        below.

    Returns:
      A `Scene`; its `save` writes a .gif, .svg, .html or .png.

    Raises:
      ValueError: as `jaxconv.conv`, and sizes that a picture has no room for.
      TypeError: arguments of the wrong kind.

    Example:
      >>> from jaxconv import viz
      >>> scene = viz.conv((5, 5), (3, 3), stride=2, padding=1)
      >>> print(scene.title, len(scene.frames))
      conv: 5×5 to 3×3 9

    Elsewhere: the pictures of `conv_arithmetic`, for the square cases of the paper.

    Source: Dumoulin and Visin, arXiv:1603.07285, Relationships 1 to 6 and 15.
    """
    given = read_operands(input, kernel)
    setting = read_setting(
        False,
        given.size,
        given.kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        padding_mode=padding_mode,
    )
    panels = _padded(setting), _kernel.panel(setting), _result(setting)
    written = given.x is not None
    page = arrange(*panels, flat=setting.ndim == 1, written=written)
    y = None
    if given.x is not None and given.w is not None:
        y = convolve(setting, given.x, given.w)
    frames = tuple(
        _frame(setting, page, index, given, y)
        for index in range(setting.geometry.positions)
    )
    title = f"conv: {setting.image_size} to {setting.windows_size}"
    base = (*page.labels, *_base(setting, page, given))
    legend = _legend(setting)
    still = chosen(frames, 3 if setting.ndim == 1 else 2, page.height)
    scene = Scene(title, setting.summary, legend, page.height, base, frames, still)
    return with_channels(scene, channels, groups, given.kernel)


def _padded(setting: Setting) -> Panel:
    """The input with what was asked for around it."""
    first = tuple(-axis.lo for axis in setting.axes)
    rows, columns = (
        axis.lo + axis.i + hi
        for axis, hi in zip(setting.axes, setting.high, strict=True)
    )
    return Panel(f"input {setting.image_size}", (first[0], first[1]), rows, columns)


def _result(setting: Setting) -> Panel:
    rows, columns = setting.geometry.output
    return Panel(f"output {setting.windows_size}", (0, 0), rows, columns)


def _legend(setting: Setting) -> tuple[tuple[str, str], ...]:
    padded = any(setting.high) or any(setting.geometry.low)
    word = "zeros" if setting.mode == "zeros" else setting.mode
    padding = (("padding", f"padding ({word})"),) if padded else ()
    if padded and setting.mode != "zeros":
        padding += (("source", "what fills it"),)
    return (("input", "input"), ("kernel", "kernel"), ("output", "output"), *padding)


def _base(setting: Setting, page: Page, given: Operands) -> list[Mark]:
    source, kernel, result = page.grids
    inside = set(setting.elements)
    marks: list[Mark] = []
    for place in source.places:
        found = setting.source(place)
        value = _value(given.x, found)
        marks.append(
            source.put(place, "input" if place in inside else "padding", value)
        )
    marks += _kernel.cells(kernel, given)
    marks += [result.put(place, "output") for place in result.places]
    return marks


def _value(x: np.ndarray | None, place: Place | None) -> str:
    """What stands in a cell of the padded input."""
    if x is None:
        return ""
    return "0" if place is None else number(x[place])


def _frame(
    setting: Setting, page: Page, index: int, given: Operands, y: np.ndarray | None
) -> Frame:
    source, _, result = page.grids
    position = setting.positions[index]
    reads = list(setting.reads(position))
    window = source.box([read.place for read in reads], "window")
    target = result.box([position], "window")
    marks: list[Mark] = [_tap(setting, source, read, given) for read in reads]
    for before in setting.positions[: index + 1]:
        role = "output-lit" if before == position else "output-done"
        marks.append(result.put(before, role, value_at(y, before)))
    marks += [source.box([place], "source") for place in _filled_from(reads)]
    marks += [window, target, *beam(window, target)]
    return Frame(tuple(marks), _caption(setting, position, reads, given, y))


def _filled_from(reads: list[Read]) -> list[Place]:
    """The elements that stand in the padding under a window too."""
    found = [read.source for read in reads if read.source != read.place]
    return list(dict.fromkeys(place for place in found if place is not None))


def _tap(setting: Setting, grid: Any, read: Read, given: Operands) -> Mark:
    inside = read.place == read.source
    role = "input-lit" if inside else "padding-lit"
    note = "" if given.w is None else f"×{number(given.w[read.tap])}"
    return grid.put(read.place, role, _value(given.x, read.source), note)


def _caption(
    setting: Setting,
    position: Place,
    reads: list[Read],
    given: Operands,
    y: np.ndarray | None,
) -> str:
    name = f"output[{setting.index(position)}]"
    if y is None or given.x is None or given.w is None:
        return f"{name}: {setting.stretch(reads)}"
    products = [
        (given.x[read.source], given.w[read.tap])
        for read in reads
        if read.source is not None
    ]
    return sum_of(products, y[position], name)
