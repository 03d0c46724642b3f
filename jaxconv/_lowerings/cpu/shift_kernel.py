"""The kernel role of ``shift``: sums of products, block by block of positions."""

from __future__ import annotations

import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxconv._core.dtypes import accumulator
from jaxconv._core.geometry import Ints
from jaxconv._core.spec import Spec
from jaxconv._lowerings.base import frame, pad
from jaxconv._lowerings.images import LARGE, repeat, window

ROWS = 32  # rows of a block, whose products are added up in registers
ROW_BYTES = 1 << 15  # the most bytes of a row
LONGEST = 1024  # the most positions of a row that count for the size of a block


def kernel(x: jax.Array, y: jax.Array, spec: Spec) -> jax.Array:
    """w[t] = sum over p of x[p*s + t*d - lo] * y[p], block by block of positions."""
    g = spec.geometry
    extents = g.read_extents
    channels = y.shape[spec.axis("output", "o")]

    def images(x: jax.Array, y: jax.Array) -> jax.Array:
        x = repeat(frame(x, extents, spec.lead), channels // spec.groups, spec)
        return _sum_of_products(x, y, spec)

    if x.shape[0] < 2 or x.size * x.dtype.itemsize < LARGE:
        w = images(x, y)
    else:
        w, _ = lax.scan(
            lambda w, xy: (w + images(xy[0][None], xy[1][None]), None),
            jnp.zeros((g.taps, channels), accumulator(x.dtype)),
            (x, y),
        )
    w = w.reshape(*g.kernel, 1, channels)
    return w.transpose(spec.from_last("kernel"))


class Blocks:
    """The blocks of positions: a block is ``inner`` positions at each of ``starts``.

    The products at all starts are added up in registers, which leaves one sum for each
    position of ``inner``.  Inner positions are along the last axis, so that vectors are
    long.  Starts are along the axis before it, or in 1-D along the same axis.
    """

    def __init__(self, output: Ints, channels: int):
        n, width = len(output), max(1, ROW_BYTES // (4 * channels))
        if n == 1:
            count = -(-output[0] // (width * ROWS))
            width = -(-output[0] // (count * ROWS))
            self.inner, self.block = (width,), (width * ROWS,)
            self.starts = [(row * width,) for row in range(ROWS)]
        else:
            lead = (1,) * (n - 2)
            width = _even(output[-1], width)
            rows = _even(output[-2], ROWS)
            self.inner, self.block = (*lead, 1, width), (*lead, rows, width)
            self.starts = [(*(0,) * (n - 2), row, 0) for row in range(rows)]
        self.counts = tuple(-(-o // b) for o, b in zip(output, self.block, strict=True))
        self.excess = tuple(
            c * b - o for c, b, o in zip(self.counts, self.block, output, strict=True)
        )


def _even(size: int, most: int) -> int:
    """The length of equal pieces of ``size`` that are no longer than ``most``."""
    return -(-size // -(-size // most))


def _sum_of_products(x: jax.Array, y: jax.Array, spec: Spec) -> jax.Array:
    """The gradient (taps, channels) from padded x, in a loop over blocks."""
    g, lead = spec.geometry, spec.lead
    channels = y.shape[spec.axis("output", "o")]
    depth = _block_channels(channels, g.output, spec)
    cuts = Blocks(g.output, depth)
    x = pad(x, (0,) * g.ndim, _scaled(cuts.excess, g.stride), lead)
    y = pad(y, (0,) * g.ndim, cuts.excess, lead)
    reach = tuple(
        (b - 1) * s + (k - 1) * d + 1
        for b, s, k, d in zip(cuts.block, g.stride, g.kernel, g.dilation, strict=True)
    )
    # The first image, channel and position of each block.
    counts = (x.shape[0], channels // depth, *cuts.counts)
    at_y = np.array(list(np.ndindex(*counts)), np.int32)
    at_y *= np.array((1, depth, *cuts.block), np.int32)
    at_x = at_y * np.array((1, 1, *g.stride), np.int32)

    def add(
        total: jax.Array, at: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, None]:
        xs = _block(x, at[0], (1, depth, *reach), spec)
        ys = _block(y, at[1], (1, depth, *cuts.block), spec)
        sums = _block_sums(xs, ys, cuts, spec)
        if depth == channels:
            return total + sums, None
        place = (jnp.zeros_like(at[0][1]), at[0][1])
        sums += lax.dynamic_slice(total, place, sums.shape)
        return lax.dynamic_update_slice(total, sums, place), None

    zeros = jnp.zeros((g.taps, channels), accumulator(x.dtype))
    return lax.scan(add, zeros, (jnp.asarray(at_x), jnp.asarray(at_y)))[0]


def _block_channels(channels: int, output: Ints, spec: Spec) -> int:
    """The channels of a block: all if innermost, else those that fill a row."""
    if spec.layout.last:
        return channels
    most = max(1, ROW_BYTES // (4 * min(output[-1], LONGEST)))
    return max(n for n in range(1, channels + 1) if channels % n == 0 and n <= most)


def _block(v: jax.Array, at: jax.Array, size: Ints, spec: Spec) -> jax.Array:
    """A block (image, channels, *positions), in the layout of the operands."""
    order = [0, *range(2, v.ndim), 1] if spec.layout.last else [*range(v.ndim)]
    start, shape = [at[axis] for axis in order], [size[axis] for axis in order]
    return lax.dynamic_slice(v, start, shape).astype(accumulator(v.dtype))


def _block_sums(x: jax.Array, y: jax.Array, cuts: Blocks, spec: Spec) -> jax.Array:
    """The sums (taps, channels) of one block, in a loop over taps.

    With 3x3 unrolled taps instead of the loop, it ran 0.8 to 1.9 times as long and took
    1.5 to 2 times as long to compile.
    """
    g, lead = spec.geometry, spec.lead
    one = (1,) * g.ndim
    reach = tuple((n - 1) * s + 1 for n, s in zip(cuts.inner, g.stride, strict=True))

    def products(tap: jax.Array, start: Ints) -> jax.Array:
        at, size = [jnp.zeros((), tap.dtype)] * x.ndim, list(x.shape)
        at[lead : lead + g.ndim] = list(
            tap + np.array(_scaled(start, g.stride), tap.dtype)
        )
        size[lead : lead + g.ndim] = reach
        moved = lax.dynamic_slice(x, at, size)
        moved = window(moved, (0,) * g.ndim, cuts.inner, g.stride, lead)
        return moved * window(y, start, cuts.inner, one, lead)

    def sums(tap: jax.Array) -> jax.Array:
        terms = (products(tap, start) for start in cuts.starts)
        return _add_up(functools.reduce(operator.add, terms), spec)

    taps = np.array(list(np.ndindex(*g.kernel)), np.int32)
    return lax.map(sums, jnp.asarray(taps * np.array(g.dilation, np.int32)))


def _scaled(sizes: Ints, by: Ints) -> Ints:
    return tuple(a * b for a, b in zip(sizes, by, strict=True))


def _add_up(v: jax.Array, spec: Spec) -> jax.Array:
    """Sums over all axes but the channels, as a product with ones.

    XLA would fuse a plain sum with the products, and loop along the wrong axis.
    """
    exact = lax.Precision.HIGHEST
    if spec.layout.last:
        v = v.reshape(-1, v.shape[-1])
        return jnp.dot(jnp.ones((1, v.shape[0]), v.dtype), v, precision=exact)[0]
    v = v.reshape(v.shape[1], -1)
    return jnp.dot(v, jnp.ones((v.shape[1], 1), v.dtype), precision=exact)[:, 0]
