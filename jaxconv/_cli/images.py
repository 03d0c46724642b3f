"""The photo that the commands work on, as arrays (channel, row, column) in 0 to 1."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxconv._cli.errors import UserError, missing

LEAST = 32  # pixels on the shorter side, so that the largest kernel fits everywhere


class Photo(NamedTuple):
    """RGB pixels, and where they are from."""

    pixels: np.ndarray
    source: str


def load(path: Path | None, *, without: bool = False) -> Photo:
    """The picture at ``path``, else matplotlib's sample photo.

    ``without`` lets random numbers stand in where no package reads the sample photo.
    """
    if path is not None:
        return Photo(read(path), str(path))
    try:
        from matplotlib.cbook import get_sample_data
    except ImportError:
        if without:
            return Photo(_noise(), "random numbers (no matplotlib for a sample photo)")
        raise missing("matplotlib", "the sample photo") from None
    name = "grace_hopper.jpg"
    try:
        sample = Path(str(get_sample_data(name, asfileobj=False)))
        return Photo(read(sample), f"matplotlib's {name}")
    except UserError:
        if without:
            return Photo(_noise(), "random numbers (no pillow to read a photo)")
        raise


def read(path: Path) -> np.ndarray:
    """An image file as float32 RGB, turned upright."""
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise missing("pillow", f"reading {path.name}") from None
    if not path.exists():
        raise UserError(f"--image {path}: no such file; write the path of a picture")
    if not path.is_file():
        raise UserError(f"--image {path}: not a file; write the path of a picture")
    try:
        with Image.open(path) as image:
            pixels = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except PermissionError:
        raise UserError(
            f"--image {path}: may not be read; allow it, or copy it"
        ) from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        remedy = "write the path of a PNG, JPEG or other picture"
        raise UserError(f"--image {path}: pillow cannot read it; {remedy}") from None
    if min(pixels.shape[:2]) < LEAST:
        size = "x".join(map(str, pixels.shape[1::-1]))
        remedy = f"give one of at least {LEAST}x{LEAST}"
        raise UserError(f"--image {path}: {size} pixels are too few; {remedy}")
    pixels = _middle(np.moveaxis(pixels, -1, 0))
    return pixels.astype(np.float32) / np.float32(255)


def _middle(pixels: np.ndarray) -> np.ndarray:
    """Of a picture longer than 3:1 its middle: reduced, it must keep some rows."""
    size = pixels.shape[-2:]
    kept = [min(length, 3 * min(size)) for length in size]
    starts = [(length - keep) // 2 for length, keep in zip(size, kept, strict=True)]
    places = (slice(a, a + keep) for a, keep in zip(starts, kept, strict=True))
    return pixels[:, *places]


def _noise() -> np.ndarray:
    """Random pixels of an unsquare size."""
    shape = (3, 120, 104)
    return np.random.default_rng(0).random(shape, dtype=np.float32)


def reduced(photo: np.ndarray, longest: int) -> np.ndarray:
    """The means of square blocks, so that no side is longer than ``longest``."""
    channels, *size = photo.shape
    block = -(-max(size) // longest)
    rows, columns = (length // block for length in size)
    cut = photo[:, : rows * block, : columns * block]
    return cut.reshape(channels, rows, block, columns, block).mean(axis=(2, 4))


def grey(photo: np.ndarray) -> np.ndarray:
    """Luminance (row, column), with the weights of ITU-R BT.601."""
    weights = np.array([0.299, 0.587, 0.114], photo.dtype)
    return np.einsum("c,chw->hw", weights, photo)


def portrait(photo: np.ndarray, side: int) -> np.ndarray:
    """A square of the upper middle, where a portrait has its face."""
    rows, columns = photo.shape[-2:]
    top = max(0, min(rows - side, round(0.32 * rows - side / 2)))
    left = (columns - side) // 2
    return photo[..., top : top + side, left : left + side]


def clip(photo: np.ndarray, frames: int) -> np.ndarray:
    """A short film (channel, frame, row, column) that zooms in and drifts downwards."""
    rows, columns = photo.shape[-2:]
    films = []
    for frame in range(frames):
        inset = frame * min(rows, columns) / (6 * frames)
        down = np.linspace(inset * 1.5, rows - 1 - inset / 2, rows)
        right = np.linspace(inset, columns - 1 - inset, columns)
        places = np.ix_(np.rint(down).astype(int), np.rint(right).astype(int))
        films.append(photo[:, *places])
    return np.stack(films, axis=1)
