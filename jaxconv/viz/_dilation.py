"""One kernel at several dilations: as many weights, more of the input."""

from __future__ import annotations

from collections.abc import Sequence

from jaxconv._border import arguments as can
from jaxconv._core.geometry import span
from jaxconv.viz._frames import Frame
from jaxconv.viz._layout import Panel, arrange
from jaxconv.viz._marks import Mark
from jaxconv.viz._scene import Scene
from jaxconv.viz._setting import times


def dilations(kernel: int | tuple[int, ...], rates: Sequence[int] = (1, 2, 3)) -> Scene:
    r"""One kernel at several dilations: as many weights, more of the input.

    .. math:: \mathit{seen} = d(k-1) + 1

    Args:
      kernel: window sizes, an int or a pair.
      rates: the dilations, one frame for each.

    Returns:
      A `Scene`.

    Raises:
      ValueError: sizes below 1, or more cells than can be seen.
      TypeError: anything that is not an int.

    Example:
      >>> from jaxconv import viz
      >>> print(viz.dilations((3, 3), (1, 2)).frames[1].caption)
      dilation 2: 9 weights see 5×5

    Elsewhere: no counterpart.

    Source: Dumoulin and Visin, arXiv:1603.07285, Relationship 15.
    """
    ndim = len(kernel) if can.is_sequence(kernel) else 1  # type: ignore[arg-type]
    if ndim not in (1, 2) or not can.is_sequence(rates) or not len(rates):
        rule = f"and rates={rates!r} are not a window and a list of dilations"
        can.fail("kernel", kernel, rule, "Give one or two axes, and at least one rate")
    window = can.ints("kernel", kernel, ndim, 1)
    rates = can.ints("rates", rates, len(rates), 1)
    rows, columns = ((1,) * (2 - ndim)) + window
    spans = [(span(rows, d), span(columns, d)) for d in rates]
    panels = [
        Panel(f"d = {d}: {times(size[2 - ndim :])}", (0, 0), *size)
        for d, size in zip(rates, spans, strict=True)
    ]
    page = arrange(*panels, flat=ndim == 1)
    frames: list[Frame] = []
    base: list[Mark] = [*page.labels]
    for d, grid in zip(rates, page.grids, strict=True):
        base += [grid.put(place, "zero") for place in grid.places]
        taps = [(r * d, c * d) for r in range(rows) for c in range(columns)]
        base += [grid.put(tap, "kernel") for tap in taps]
        marks: list[Mark] = [grid.put(tap, "kernel-lit") for tap in taps]
        marks.append(grid.box(grid.places, "window"))
        seen = times(span(k, d) for k in window)
        caption = f"dilation {d}: {len(taps)} weights see {seen}"
        frames.append(Frame(tuple(marks), caption))
    listed = ", ".join(map(str, rates))
    legend = (("kernel", "weight"), ("zero", "skipped"))
    title = f"dilated kernel {times(window)}"
    last = (len(frames) - 1,)
    return Scene(
        title,
        f"dilation {listed}: d(k-1) + 1 wide, the same weights",
        legend,
        page.height,
        tuple(base),
        tuple(frames),
        last,
    )
