"""The kernel role of ``onednn``, which XLA cannot call as such.

    w[t, c, o] = sum over n and p of x[n, p*s + t*d - lo, c] * y[n, p, o]

It is computed by oneDNN's forward convolution or by its matrix product.

As a convolution, y is the kernel that slides over x, with stride and dilation
exchanged, and the images of the batch are its input channels.  The channels of x become
positions: they are joined to the last spatial axis, since oneDNN is fastest along long
axes, or are one more axis if that one is dilated.  Where the batch is small, images are
cut into bands along their first axis and the bands join the batch: with fewer than a
dozen input channels most of each vector instruction is unused.

As a product, the patches of x are copied (im2col) and multiplied by y.  This is faster
where the copies are not much larger than y.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxconv._core.axes import Input, Kernel, Output
from jaxconv._core.geometry import Axis, Geometry, read_extent
from jaxconv._core.spec import Case, Spec
from jaxconv._lowerings.base import frame, pad
from jaxconv._lowerings.cpu.onednn_call import MOST_AXES, Axes, convolve, matmul
from jaxconv._lowerings.images import window

IMAGES = 8  # at least as many images and bands are summed over at once,
IMAGES_OF_GROUPS = 16  # with groups as many: oneDNN fills vectors with one group's
BLOCK = 2**22  # bytes of y at a time, where it would be read from memory many times
TILE = 28  # results that oneDNN adds up at once, for which it reads y once
FEW_READS = 10  # for as many no blocks are made
LEAST_POSITIONS = 512  # from here on channels-first images are summed one by one


def kernel(x: Input, y: Output, spec: Spec) -> Kernel:
    if by_product(spec.geometry, spec.groups, x.shape[-1], y.shape[-1]):
        return _product(x, y, spec)
    count = blocks(spec.geometry, x.shape[-1] // spec.groups, y.nbytes)
    if count == 1:
        return _convolution(x, y, spec)
    return _in_blocks(x, y, spec, count)


def by_product(g: Geometry, groups: int, c: int, o: int) -> bool:
    """Whether patches are copied and multiplied; the copies must not be too large."""
    if groups > 1:
        return False
    short = g.ndim == 1 and g.taps <= 8
    return g.taps == 1 or short or narrow_patches(g, c, o)


# As a product ------------------------------------------------------------------------


def _product(x: jax.Array, y: jax.Array, spec: Spec) -> jax.Array:
    g, (n, *_, c), o = spec.geometry, x.shape, y.shape[-1]
    patches = list(_patches(x, g))
    if spec.layout.last or not _keeps_order(g, c, o):
        rows = jnp.stack(patches, -2).reshape(-1, g.taps * c)
        w = matmul(rows, y.reshape(-1, o), transpose_a=True)
    else:
        columns = jnp.stack([jnp.moveaxis(p, -1, 1) for p in patches], 1)
        columns = columns.reshape(n, g.taps * c, g.positions)
        y = jnp.moveaxis(y, -1, 1).reshape(n, o, g.positions)
        w = matmul(columns, y, transpose_b=True).sum(0)
    return w.reshape(*g.kernel, c, o)


def _keeps_order(g: Geometry, c: int, o: int) -> bool:
    """Whether copies with channels first are faster than another order of x and y."""
    cheap = narrow_patches(g, c, o) if g.taps > 1 else max(g.stride) == 1
    return g.positions >= LEAST_POSITIONS and cheap


def narrow_patches(g: Geometry, c: int, o: int) -> bool:
    return g.taps * c <= max(o, 32)


def _patches(x: jax.Array, g: Geometry) -> Iterator[jax.Array]:
    """For each tap the elements of x that it is multiplied with."""
    x = frame(x, g.read_extents)
    for tap in np.ndindex(g.kernel):
        yield window(x, g.start(tap), g.output, g.stride)


# As a convolution ---------------------------------------------------------------------


def _convolution(x: jax.Array, y: jax.Array, spec: Spec) -> jax.Array:
    groups, c, o = spec.groups, x.shape[-1] // spec.groups, y.shape[-1]
    x, y, g = _cut_into_bands(x, y, spec.geometry, groups)
    n = x.shape[0]
    x = x.reshape(*x.shape[:-1], groups, c)
    x = x.transpose(*range(1, g.ndim + 1), g.ndim + 2, g.ndim + 1, 0)
    called = exchanged(g, c)
    x = x.reshape(1, *called.input, groups * n)
    if _read_seldom(g, c) and not spec.layout.last:
        y = jnp.moveaxis(y, -1, 1).reshape(n, o, *called.kernel)
        axes = Axes(0, 1, tuple(range(2, called.ndim + 2)))
        w = convolve(x, y, called, groups, axes)
        return w.reshape(*g.kernel, c, o)
    y = jnp.moveaxis(y, 0, -2).reshape(*called.kernel, n, o)
    return convolve(x, y, called, groups).reshape(*g.kernel, c, o)


def exchanged(g: Geometry, c: int) -> Geometry:
    """The convolution that slides y over x, whose channels are positions too."""
    if not _joined(g):
        return Geometry(
            (*g.input, c),
            (*g.output, 1),
            (*g.kernel, c),
            (*g.dilation, 1),
            (*g.stride, 1),
            (*g.low, 0),
        )
    return Geometry(
        (*g.input[:-1], g.input[-1] * c),
        g.output,
        (*g.kernel[:-1], g.kernel[-1] * c),
        g.dilation,
        (*g.stride[:-1], g.stride[-1] * c),
        (*g.low[:-1], g.low[-1] * c),
    )


def _joined(g: Geometry) -> bool:
    return g.dilation[-1] == 1


# Bands and blocks ---------------------------------------------------------------------


def bands(n: int, g: Geometry, groups: int) -> tuple[int, int]:
    """The number of bands that an image is cut into, and the positions of one."""
    images = IMAGES if groups == 1 else IMAGES_OF_GROUPS
    return _even_parts(g.output[0], -(-images // max(1, n)))


def blocks(g: Geometry, c: int, size: int) -> int:
    """The number of blocks of y, of ``size`` bytes, which are summed up in a loop.

    oneDNN reads all of y for every ``TILE`` results of one output channel.
    """
    if size <= 2 * BLOCK or _read_seldom(g, c):
        return 1
    return _even_parts(g.output[0], size // BLOCK)[0]


def _read_seldom(g: Geometry, c: int) -> bool:
    return g.taps * c < FEW_READS * TILE


def _even_parts(height: int, wanted: int) -> tuple[int, int]:
    """The number of parts and the positions of one.

    The parts have one size if the height has a divisor near ``wanted``.
    """
    wanted = min(height, wanted)
    near = range(wanted, min(height, 2 * wanted) + 1)
    count = next((count for count in near if height % count == 0), wanted)
    positions = -(-height // count)
    return -(-height // positions), positions


def _framed(
    x: jax.Array, y: jax.Array, g: Geometry, positions: int
) -> tuple[jax.Array, jax.Array]:
    """Pads the first axis of both, such that y has ``positions`` of them."""
    first: Axis = next(g.axes)
    excess = positions - first.o
    x = pad(frame(x, [read_extent(first)]), (0,), (excess * first.s,))
    return x, pad(y, (0,), (excess,))


def _cut_into_bands(
    x: jax.Array, y: jax.Array, g: Geometry, groups: int
) -> tuple[jax.Array, jax.Array, Geometry]:
    """Makes bands images of their own; the last one is filled up with zeros."""
    count, rows = bands(x.shape[0], g, groups)
    if count == 1:
        return x, y, g
    banded = g.part(0, rows)
    x, y = _framed(x, y, g, count * rows)
    reach, step = banded.input[0], rows * g.stride[0]
    parts = [x[:, b * step : b * step + reach] for b in range(count)]
    images = x.shape[0] * count
    x = jnp.stack(parts, 1).reshape(images, *parts[0].shape[1:])
    return x, y.reshape(images, rows, *y.shape[2:]), banded


def _in_blocks(x: jax.Array, y: jax.Array, spec: Spec, count: int) -> jax.Array:
    """The sum over blocks of the first axis, in a loop."""
    g = spec.geometry
    count, rows = _even_parts(g.output[0], count)
    block = replace(spec, geometry=g.part(0, rows))
    x, y = _framed(x, y, g, count * rows)
    reach, step = block.geometry.input[0], rows * g.stride[0]

    def part(b: jax.Array | int) -> jax.Array:
        return _convolution(
            lax.dynamic_slice_in_dim(x, b * step, reach, 1),
            lax.dynamic_slice_in_dim(y, b * rows, rows, 1),
            block,
        )

    return lax.fori_loop(1, count, lambda b, w: w + part(b), part(0))


# Cases that it takes ------------------------------------------------------------------


def _taken(case: Case) -> tuple[Geometry, int, int]:
    """The geometry of a band or an image, their number in a call, and of the calls."""
    g, (n, c, _) = case.geometry, case.sizes
    calls = blocks(g, c, case.bytes("output"))
    if calls > 1:
        calls, rows = _even_parts(g.output[0], calls)
        g = g.part(0, rows)
    count, rows = bands(n, g, case.groups)
    return (g if count == 1 else g.part(0, rows)), n * count, calls


def _by_product(case: Case) -> bool:
    channels = case.sizes.c * case.groups
    return by_product(case.geometry, case.groups, channels, case.sizes.o * case.groups)


def called(case: Case) -> Geometry:
    """The geometry that oneDNN is called with."""
    if _by_product(case):
        return case.geometry
    g, _, _ = _taken(case)
    return exchanged(g, case.sizes.c)


def summed(case: Case) -> int:
    """The input channels of a group in the convolution, or any number in a product."""
    return 2 if _by_product(case) else _taken(case)[1]


def refuse(case: Case) -> str | None:
    g = case.geometry
    if g.ndim == MOST_AXES and not _joined(g) and not _by_product(case):
        return "the kernel's gradient of a volume needs dilation 1 in the last axis"
    return None


def spreads(case: Case) -> str | None:
    if _by_product(case):
        return None
    height = case.geometry.output[0]
    g, images, calls = _taken(case)
    if g.output[0] * images * calls == height * case.sizes.n:
        return None
    return "from the last rows of x to every tap, by the zeros that fill a band, as NaN"


def copied(case: Case) -> int:
    """Bytes of the patches of x, or of its bands, which overlap."""
    x, y, (_, c, o) = case.bytes("input"), case.bytes("output"), case.sizes
    if _by_product(case):
        return y * case.geometry.taps * c // max(1, o)
    g, images, calls = _taken(case)
    height = case.geometry.input[0] * case.sizes.n
    return math.ceil(x * images * calls * g.input[0] / max(1, height))


def scratch(case: Case) -> int:
    """The operands in another order, and the patches or bands."""
    x, y, w = map(case.bytes, ("input", "output", "kernel"))
    if _by_product(case):
        g, (n, c, o) = case.geometry, case.sizes
        sums = n if case.spec.layout.first and _keeps_order(g, c, o) else 0
        return 2 * x + 2 * y + copied(case) + w * (1 + sums)
    return x + 2 * copied(case) + 3 * y + 2 * w
