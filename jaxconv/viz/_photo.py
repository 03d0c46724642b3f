"""Photos in scenes: grey pixels, and places on them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jaxconv._border import arguments as can
from jaxconv.viz._marks import WIDTH, Photo

LONGEST = 128  # pixels on a side that are kept of a photo
SHOWN = 300.0  # the longer side on the page


class Shown(NamedTuple):
    """A photo on the page, and its own size in pixels."""

    mark: Photo
    rows: int
    columns: int

    @property
    def scale(self) -> float:
        return self.mark.width / self.columns

    def at(self, row: float, column: float) -> tuple[float, float]:
        """The middle of a pixel, or a place between pixels, on the page."""
        x, y = self.mark.x, self.mark.y
        return x + (column + 0.5) * self.scale, y + (row + 0.5) * self.scale


def show(photo: Any, most: float = SHOWN) -> Shown:
    """A photo (row, column), 0 black to 1 white, in the middle of the page."""
    try:
        pixels = np.asarray(photo, float)
    except (TypeError, ValueError):
        rule = "is not an array of numbers"
        can.fail("photo", photo, rule, "Give a grey photo (row, column)", TypeError)
    if pixels.ndim != 2 or 0 in pixels.shape:
        rule = "is not a grey photo of axes (row, column)"
        can.fail("photo.shape", pixels.shape, rule, "Give one channel, 0 to 1")
    rows, columns = pixels.shape
    block = -(-max(rows, columns) // LONGEST)
    kept = pixels[: rows // block * block, : columns // block * block]
    small = kept.reshape(rows // block, block, columns // block, block).mean((1, 3))
    grey = np.rint(np.clip(small, 0, 1) * 255).astype(np.uint8)
    scale = most / max(kept.shape)
    width, height = kept.shape[1] * scale, kept.shape[0] * scale
    corner = (WIDTH - width) / 2, 4.0
    sizes = rows // block, columns // block
    mark = Photo(*corner, width, height, *sizes, grey.tobytes())
    return Shown(mark, *kept.shape)
