"""What the demo's pictures show: the arrays, computed with the library."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

import jaxconv
from jaxconv._cli.images import grey, portrait, reduced

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from jaxconv.viz.demo import Overlap, Resized

SHRINK = 4  # the stride of the picture "transposed"
DOUBLE = 2  # that of the picture "checkerboard"


def draw(photo: np.ndarray, out: Path) -> Iterator[Path]:
    """Writes one picture after the other and yields where it is."""
    from jaxconv.viz import _figure

    for name, figure in _figures(photo):
        path = out / f"{name}.png"
        yield _figure.save(figure, path, colours=256 if name == "overview" else None)


def _figures(photo: np.ndarray) -> Iterator[tuple[str, Figure]]:
    from jaxconv.viz import demo

    photo = reduced(photo, 900)  # more than a figure has pixels would not be seen
    yield "photo", demo.photo(photo)
    shade = grey(reduced(photo, 320))
    yield "feature_maps", demo.feature_maps(shade, feature_maps(shade))
    detail = portrait(photo, min(photo.shape[1:]) // 8 * 3)
    yield "transposed", demo.transposed(_resized(photo), _resized(detail))
    face = reduced(portrait(photo, min(photo.shape[1:]) // 2), 52)
    odd, even = (_overlap(kernel, face) for kernel in (3, 4))
    yield "checkerboard", demo.checkerboard(odd, even, DOUBLE)
    square = reduced(portrait(photo, min(photo.shape[1:])), 180)
    edges = feature_maps(grey(square))["vertical edges"]
    yield "overview", demo.overview(_resized(square), edges, odd, even)


def feature_maps(shade: np.ndarray) -> dict[str, np.ndarray]:
    """A few kernels of image processing, all of one size, in one call."""
    kernels = _kernels()
    weights = np.stack(list(kernels.values()))[:, None].astype(np.float32)
    fun = jax.jit(partial(jaxconv.conv, padding=4, padding_mode="replicate"))
    maps = np.asarray(fun(jnp.asarray(shade)[None], jnp.asarray(weights)))
    return dict(zip(kernels, maps, strict=True))


def _kernels() -> dict[str, np.ndarray]:
    """Gaussians and derivatives of them, 9 by 9."""
    at = np.arange(-4, 5)
    wide, narrow = np.exp(-(at**2) / 8), np.exp(-(at**2) / 2)
    wide, narrow = wide / wide.sum(), narrow / narrow.sum()
    slope, bend = -at * narrow, (at**2 - 1) * narrow
    return {
        "blur": np.outer(wide, wide),
        "vertical edges": np.outer(narrow, slope),
        "horizontal edges": np.outer(slope, narrow),
        "all edges": np.outer(narrow, bend) + np.outer(bend, narrow),
    }


def _resized(photo: np.ndarray, stride: int = SHRINK) -> Resized:
    """Every channel by itself, with a tent of twice the stride as its kernel.

    The tents add up to the same everywhere, so nothing of the grid is left.
    """
    from jaxconv.viz.demo import Resized

    size = 2 * stride
    tent = 1 - np.abs(np.arange(size) - (size - 1) / 2) / stride
    kernel = np.outer(tent, tent) / np.outer(tent, tent).sum()
    w = jnp.asarray(np.broadcast_to(kernel, (3, 1, size, size)), jnp.float32)
    options = {"stride": stride, "padding": stride // 2, "groups": 3}
    small = jax.jit(partial(jaxconv.conv, **options))(jnp.asarray(photo), w)
    undo = _to_size(photo.shape[1:], options)
    back = np.asarray(undo(small, w)) * stride**2
    return Resized(photo, np.asarray(small), back, stride, size)


def _to_size(
    size: tuple[int, ...], options: dict[str, int]
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    return jax.jit(partial(jaxconv.conv_transpose, output_size=size, **options))


def _overlap(size: int, face: np.ndarray) -> Overlap:
    """A flat image and a face, doubled by equal weights; their rims are cut off."""
    from jaxconv.viz.demo import Overlap

    double = jax.jit(partial(jaxconv.conv_transpose, stride=DOUBLE, groups=3))
    ones = jnp.ones((3, 1, size, size), jnp.float32)
    counts = np.asarray(double(jnp.ones((3, 8, 8), jnp.float32), ones))[0, 5:11, 5:11]
    equal = ones * (DOUBLE**2 / size**2)
    flat = np.asarray(double(jnp.full((3, 8, 8), 0.45, jnp.float32), equal))
    result = np.asarray(double(jnp.asarray(face), equal))[:, 2:-2, 2:-2]
    return Overlap(size, counts, flat[0, 5:11, 5:11], result)
