"""The pictures of `python -m jaxconv demo`: arrays in, figures out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from jaxconv.viz._figure import SIGNED, extent, grid, numbers, show, times


class Resized(NamedTuple):
    """A picture, its strided convolution, and the transposed convolution of that."""

    photo: np.ndarray
    small: np.ndarray
    back: np.ndarray
    stride: int
    kernel: int


class Overlap(NamedTuple):
    """What transposed convolutions of one kernel size and stride leave behind."""

    kernel: int
    counts: np.ndarray  # windows over each output, inside
    flat: np.ndarray  # the result on a flat grey image, at the same places
    photo: np.ndarray


def photo(pixels: np.ndarray) -> Figure:
    rows, columns = pixels.shape[1:]
    figure, (panel,) = grid(1, 1, min(9.0, 6.0 * rows / columns + 0.4))
    show(panel, pixels, f"the photo, {times(pixels)} pixels", smooth=True, size=16)
    return figure


def feature_maps(grey: np.ndarray, maps: dict[str, np.ndarray]) -> Figure:
    """Grey: one convolution a map; maps that take both signs are shown in colour."""
    across = 2
    down = -(-len(maps) // across)
    rows, columns = grey.shape
    height = down * (2.85 * rows / columns + 0.35) + 0.4
    title = "Convolutions of the photo, one kernel each"
    figure, panels = grid(down, across, min(height, 9.0), title)
    for panel, (name, values) in zip(panels, maps.items(), strict=False):
        if values.min() < -0.05:
            limits = (-extent(values), extent(values))
            show(panel, values, name, limits=limits, cmap=SIGNED, smooth=True)
        else:
            show(panel, values, name, smooth=True)
    return figure


def transposed(whole: Resized, detail: Resized) -> Figure:
    """The whole photo above, a detail of it below."""
    rows, columns = whole.photo.shape[1:]
    height = 2.0 * rows / columns + 2.0 + 1.3
    title = f"Stride {whole.stride} down, and up again with the same kernel"
    figure, panels = grid(2, 3, min(height, 8.0), title)
    for group, found in ((panels[:3], whole), (panels[3:], detail)):
        steps = {
            "photo": found.photo,
            "conv": found.small,
            "conv_transpose": found.back,
        }
        for panel, (name, image) in zip(group, steps.items(), strict=True):
            show(panel, image, f"{name}\n{times(image)}", size=13)
    return figure


def checkerboard(odd: Overlap, even: Overlap, stride: int) -> Figure:
    """Above a flat grey image with the windows counted, below the photo."""
    title = f"conv_transpose, stride {stride}, equal weights"
    figure, panels = grid(2, 2, 6.7, title)
    for column, found in enumerate((odd, even)):
        above, below = panels[column], panels[column + 2]
        counts = ", ".join(f"{count:g}" for count in np.unique(found.counts))
        show(above, found.flat, f"kernel {found.kernel}: overlaps {counts}")
        numbers(above, found.counts)
        flat = np.ptp(found.counts) == 0
        show(below, found.photo, "no checkerboard" if flat else "checkerboard")
    panels[0].set_ylabel("flat grey", fontsize=14)
    panels[2].set_ylabel("photo", fontsize=14)
    return figure


def overview(found: Resized, edges: np.ndarray, odd: Overlap, even: Overlap) -> Figure:
    """One row for a README."""
    figure, panels = grid(1, 6, 1.42)
    limits = (-extent(edges), extent(edges))
    show(panels[0], found.photo, "photo", size=9)
    show(panels[1], edges, "conv:\nedges", limits=limits, cmap=SIGNED, size=9)
    show(panels[2], found.small, f"conv,\nstride {found.stride}", size=9)
    show(panels[3], found.back, "transposed:\nsize is back", size=9)
    show(panels[4], odd.photo, f"kernel {odd.kernel}:\ncheckerboard", size=9)
    show(panels[5], even.photo, f"kernel {even.kernel}:\nnone", size=9)
    return figure
