"""The kernel role of ``shift``: sums of products, block by block of positions."""

from __future__ import annotations

import functools
import operator
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxconv._geometry import Ints, read_extent
from jaxconv._lowerings._base import accumulator, frame, pad
from jaxconv._lowerings._images import LARGE, repeat, window
from jaxconv._spec import Spec

ROWS = 32  # rows of a block whose products are added before anything is stored
ROW_BYTES = 1 << 15
UNROLLED_SUMS = 25


def kernel(x: jax.Array, y: jax.Array, spec: Spec) -> jax.Array:
    """w[t] = sum over p of x[p*s + t*d - lo] * y[p], block by block of positions."""
    x, y = x.transpose(spec.to_last("input")), y.transpose(spec.to_last("output"))
    last = replace(spec, layout="channels_last")
    return _kernel(x, y, last).transpose(spec.from_last("kernel"))


def _kernel(x: jax.Array, y: jax.Array, spec: Spec) -> jax.Array:
    """Channels last, where the sums run over whole vectors."""
    g = spec.geometry
    extents = [read_extent(axis) for axis in g.axes]
    multiplier = y.shape[-1] // spec.groups

    def images(x: jax.Array, y: jax.Array) -> jax.Array:
        return _sum_of_products(repeat(frame(x, extents), multiplier, spec), y, spec)

    if x.shape[0] < 2 or x.size * x.dtype.itemsize < LARGE:
        w = images(x, y)
    else:
        wide = accumulator(x.dtype)
        w, _ = lax.scan(
            lambda w, xy: (w + images(xy[0][None], xy[1][None]), None),
            jnp.zeros((g.taps, y.shape[-1]), wide),
            (x, y),
        )
    return w.reshape(*g.kernel, 1, y.shape[-1])


class Blocks:
    """How positions are cut: each block is ``inner`` positions, taken at ``starts``.

    The products at all starts are added in registers, which leaves one sum per place of
    ``inner``; so the inner places lie along the last axis (long vectors) and the starts
    along the one before it, or further along the only one.
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
    """The length of the pieces when ``size`` is cut evenly into pieces of ``most``."""
    return -(-size // -(-size // most))


def _sum_of_products(x: jax.Array, y: jax.Array, spec: Spec) -> jax.Array:
    g = spec.geometry
    wide = accumulator(x.dtype)
    cuts = Blocks(g.output, y.shape[-1])
    none = (0,) * g.ndim
    x = pad(x, none, tuple(e * s for e, s in zip(cuts.excess, g.stride, strict=True)))
    y = pad(y, none, cuts.excess)
    # All places as int32, those of the channel axis included: strict promotion.
    blocks = np.array(list(np.ndindex(x.shape[0], *cuts.counts, 1)), np.int32)
    at_y = blocks * np.array((1, *cuts.block, 1), np.int32)
    at_x = at_y * np.array((1, *g.stride, 1), np.int32)
    reach = [
        (b - 1) * s + (k - 1) * d + 1
        for b, s, k, d in zip(cuts.block, g.stride, g.kernel, g.dilation, strict=True)
    ]
    taps = np.array(list(np.ndindex(1, *g.kernel, 1)), np.int32)
    taps = taps * np.array((1, *g.dilation, 1), np.int32)
    one = (1,) * g.ndim
    unrolled = len(taps) <= UNROLLED_SUMS
    gathered = max(g.stride) > 1 or not unrolled
    size = [1, *((b - 1) * s + 1 for b, s in zip(cuts.block, g.stride, strict=True))]
    size.append(x.shape[-1])

    def tap(x: jax.Array, y: jax.Array) -> jax.Array:
        if gathered:  # copied first: the long loop is then over fixed, dense places
            x = lax.optimization_barrier(window(x, none, cuts.block, g.stride))
        products = (
            window(x, start, cuts.inner, one) * window(y, start, cuts.inner, one)
            for start in cuts.starts
        )
        return _add_up(functools.reduce(operator.add, products))

    def add(
        total: jax.Array, at: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, None]:
        xs = lax.dynamic_slice(x, at[0], (1, *reach, x.shape[-1])).astype(wide)
        ys = lax.dynamic_slice(y, at[1], (1, *cuts.block, y.shape[-1]))
        ys = ys.astype(wide)
        if unrolled:
            shifted = (lax.slice(xs, t, t + np.array(size)) for t in taps)
            return total + jnp.stack([tap(v, ys) for v in shifted]), None
        return total + lax.map(
            lambda t: tap(lax.dynamic_slice(xs, t, size), ys), taps
        ), None

    zeros = jnp.zeros((g.taps, y.shape[-1]), wide)
    return lax.scan(add, zeros, (jnp.asarray(at_x), jnp.asarray(at_y)))[0]


def _add_up(v: jax.Array) -> jax.Array:
    """Sum over all axes but the last, as a product with ones.

    A plain sum would be fused with the products, and then runs along the wrong axis.
    """
    v = v.reshape(-1, v.shape[-1])
    ones = jnp.ones((1, v.shape[0]), v.dtype)
    return jnp.dot(ones, v, precision=lax.Precision.HIGHEST)[0]
