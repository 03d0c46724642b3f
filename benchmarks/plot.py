"""The picture of a result file: one panel a role, one bar a workload, a log axis."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from benchmarks import summary
from benchmarks.summary import Cell, Result
from benchmarks.workloads import ROLES, TITLES

# From the palette of Okabe and Ito, which colour-blind readers can tell apart.
QUICKER, SLOWER, TORCH = "#56B4E9", "#D55E00", "#000000"
WIDTH = 9.0  # inches: 900 pixels at 100 per inch; saved at twice that
FONT = 8.5


def draw(result: Result, path: Path) -> None:
    """Bars: lax's time over jaxconv's; diamonds: PyTorch's."""
    rows = list(summary.rows(result))
    height = 0.175 * len(rows) + 1.5
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots(1, len(ROLES), sharex=True, sharey=True)
    for axis, role in zip(axes, ROLES, strict=True):
        _panel(axis, role, [cells.get(role) for _, cells in rows])
    _name_rows(axes[0], [name for name, _ in rows])
    for axis in axes:
        _divide(axis, [name.split()[0] for name, _ in rows])
    _scale(axes[0], result)
    figure.suptitle(
        f"How many times quicker jaxconv is\n{summary.setting(result)}",
        fontsize=FONT + 1,
    )
    against = summary.rivals(result)
    figure.legend(
        handles=_legend(against),
        loc="outside lower center",
        ncols=3,
        fontsize=FONT,
        frameon=False,
    )
    figure.savefig(path, dpi=200, metadata={"Software": None})


def _panel(axis: Axes, role: str, cells: list[Cell | None]) -> None:
    for row, cell in enumerate(cells):
        if cell is None:
            continue
        lax, torch = (summary.ratio(cell, rival) for rival in ("lax", "torch"))
        if lax is not None:
            colour = SLOWER if lax < summary.BEHIND else QUICKER
            # From 1 to the ratio: the log axis has no zero to start from.
            axis.barh(row, lax - 1, left=1, height=0.75, color=colour)
        if torch is not None:
            axis.plot(torch, row, marker="D", markersize=3, color=TORCH)
    axis.axvline(1, color="black", linewidth=0.8)
    axis.set_title(TITLES[role], fontsize=FONT + 0.5)
    axis.grid(axis="x", linewidth=0.3)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=FONT, length=0)
    axis.spines[["top", "right", "left"]].set_visible(False)


def _name_rows(axis: Axes, names: list[str]) -> None:
    axis.set_yticks(range(len(names)), names, fontsize=FONT - 0.5)
    axis.set_ylim(len(names) - 0.4, -0.6)


def _divide(axis: Axes, families: list[str]) -> None:
    for row in range(1, len(families)):
        if families[row] != families[row - 1]:
            axis.axhline(row - 0.5, color="grey", linewidth=0.5)


def _scale(axis: Axes, result: Result) -> None:
    """Powers of ten around all ratios."""
    cells = result["cells"]
    found = [r for rival in summary.RIVALS for r in summary.ratios(cells, rival)]
    low = min(-1, math.floor(math.log10(min(found))))
    high = max(1, math.ceil(math.log10(max(found))))
    axis.set_xscale("log")
    axis.set_xlim(10.0**low, 10.0**high)
    # Every second power where all would run into each other; 1 is always among them.
    powers = [p for p in range(low, high + 1) if high - low < 4 or p % 2 == 0]
    axis.set_xticks([10.0**p for p in powers], [f"{10.0**p:g}×" for p in powers])
    axis.minorticks_off()


def _legend(against: list[str]) -> list[Any]:
    handles: list[Any] = []
    if "lax" in against:
        handles += [
            Patch(color=QUICKER, label="than lax"),
            Patch(color=SLOWER, label=f"below {summary.BEHIND}× of lax"),
        ]
    if "torch" in against:
        diamond = {"marker": "D", "markersize": 4, "linestyle": "none"}
        handles.append(Line2D([], [], color=TORCH, label="than PyTorch", **diamond))
    return handles
