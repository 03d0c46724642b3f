"""Figures that can be read at 400 pixels of width."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 6.0  # inches; with DPI 900 pixels
DPI = 150
NAMELESS: dict[str, Any] = {"Software": None}
SIGNED = "PuOr"  # a diverging colour map that the colour-blind can read


def grid(
    rows: int, columns: int, height: float, title: str = "", **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure of panels without ticks, row by row; no global state of pyplot."""
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    if title:
        figure.suptitle(title, fontsize=16)
    panels = list(axes.ravel())
    for panel in panels:
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set_visible(False)
    return figure, panels


def show(
    panel: Axes,
    image: np.ndarray,
    title: str,
    *,
    limits: tuple[float, float] = (0.0, 1.0),
    cmap: str = "gray",
    smooth: bool = False,
    size: float = 14,
) -> None:
    """One picture: (channel, row, column) as RGB, (row, column) in a colour map."""
    if image.ndim == 3:
        image = np.clip(np.moveaxis(image, 0, -1), 0, 1)
    drawn = panel.imshow(
        image,
        cmap=mpl.colormaps[cmap],
        interpolation="antialiased" if smooth else "nearest",
    )
    drawn.set_clim(*limits)
    panel.set_title(title, fontsize=size)


def numbers(panel: Axes, values: np.ndarray, size: float = 14) -> None:
    """Writes the value into every cell, dark on light and light on dark."""
    middle = (float(values.min()) + float(values.max())) / 2
    for (row, column), value in np.ndenumerate(values):
        colour = "black" if value >= middle else "white"
        label = f"{value:g}"
        panel.text(
            column, row, label, ha="center", va="center", fontsize=size, color=colour
        )


def extent(image: np.ndarray) -> float:
    """The value that signed pictures are scaled by; few pixels exceed it."""
    return float(np.quantile(np.abs(image), 0.995)) or 1.0


def save(figure: Figure, path: Path, *, colours: int | None = None) -> Path:
    """Writes a PNG without a date or version in it, in so many colours if given."""
    figure.savefig(path, bbox_inches="tight", pad_inches=0.06, metadata=NAMELESS)
    if colours is not None:
        from PIL import Image

        with Image.open(path) as image:
            few = image.convert("RGB").quantize(colours)
        few.save(path, optimize=True)
    return path


def times(image: np.ndarray) -> str:
    """A picture's size, width first as is usual."""
    return "×".join(map(str, reversed(image.shape[-2:])))
