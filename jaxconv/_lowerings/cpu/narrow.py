"""``narrow``: groups of few channels, as one shifted multiply-add per tap and channel.

A group of few channels is too narrow for a matrix product, and if it is merged with
others most of the product is zeros.  A sum of shifted images, each multiplied by one
weight, wastes nothing.  With channels first, XLA fuses the sum into one loop along the
last spatial axis.  It reads every image once for each result of a group, mostly from
the cache.
"""

from __future__ import annotations

import functools
import math
import operator

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxconv._core.axes import Input, Kernel, Output
from jaxconv._core.dtypes import accumulator
from jaxconv._core.geometry import Ints
from jaxconv._core.spec import Case, Spec
from jaxconv._lowerings.base import (
    Lowering,
    frame,
    framed_bytes,
    kept_whole,
    pad,
    summed_bytes,
)
from jaxconv._lowerings.images import window
from jaxconv._lowerings.phases import by_phases

LEAD = 3  # axes before space: image, group, channel
PIECES = 16  # pieces of a 1-D image, which take the place of rows
MOST = {"output": 256, "input": 256, "kernel": 1024}  # products, which are unrolled


def output(x: Input, w: Kernel, spec: Spec) -> Output:
    """y[g, o, p] = sum over c and t of x[g, c, p*s + t*d - lo] * w[g, o, c, t]."""
    g = spec.geometry
    weights = _weights(w, spec)
    x = frame(_by_groups(x, spec), g.read_extents, LEAD)

    def term(tap: Ints) -> jax.Array:
        read = window(x, g.start(tap), g.output, g.stride, LEAD)
        return _weigh(read, weights[tap])

    y = functools.reduce(operator.add, map(term, np.ndindex(g.kernel)))
    return _channels_last(kept_whole(y))


def input(y: Output, w: Kernel, spec: Spec) -> Input:
    """x[g, c, p*s + t*d - lo] = sum over o and t of y[g, o, p] * w[g, o, c, t]."""
    weights = jnp.swapaxes(_weights(w, spec), -1, -2)

    def weigh(y: jax.Array, tap: Ints) -> jax.Array:
        return _weigh(y, weights[tap])

    x = by_phases(_by_groups(y, spec), spec.geometry.axes, LEAD, weigh)
    return _channels_last(kept_whole(x))


def kernel(x: Input, y: Output, spec: Spec) -> Kernel:
    """w[g, o, c, t] = sum over n and p of x[n, g, c, p*s + t*d - lo] * y[n, g, o, p].

    Rows of y are multiplied by rows of x, and the products of all rows of an image are
    added up in registers.  The remaining sum, over the positions of a row, is a product
    with ones: XLA would fuse a plain sum with the products, and loop along the wrong
    axis.
    """
    g = spec.geometry
    x, y = _by_groups(x, spec), _by_groups(y, spec)
    x = frame(x, g.read_extents, LEAD)[:, :, :, None]
    starts, size, excess = _rows(g.output)
    x = pad(
        x,
        (0,) * g.ndim,
        [e * s for e, s in zip(excess, g.stride, strict=True)],
        LEAD + 1,
    )
    y = pad(y, (0,) * g.ndim, excess, LEAD)[:, :, None]
    wide = accumulator(x.dtype)

    def products(tap: Ints, start: Ints) -> jax.Array:
        steps = zip(tap, g.dilation, start, g.stride, strict=True)
        at = tuple(t * d + p * s for t, d, p, s in steps)
        a = window(x, at, size, g.stride, LEAD + 1)
        b = window(y, start, size, (1,) * g.ndim, LEAD + 1)
        return a.astype(wide) * b.astype(wide)

    def sums(tap: Ints) -> jax.Array:
        v = functools.reduce(operator.add, (products(tap, start) for start in starts))
        ones = jnp.ones(math.prod(size), wide)
        v = v.reshape(v.shape[0], -1, ones.size)
        return jnp.dot(v, ones, precision=lax.Precision.HIGHEST).sum(0, dtype=wide)

    w = jnp.stack([sums(tap) for tap in np.ndindex(g.kernel)])
    w = w.reshape(g.taps, spec.groups, x.shape[2], y.shape[3])  # taps, g, c, o
    return w.swapaxes(1, 2).reshape(*g.kernel, x.shape[2], -1)


def _rows(output: Ints) -> tuple[list[Ints], Ints, Ints]:
    """The starts of rows, their size, and the padding of 1-D images to whole pieces."""
    *lead, last = output
    if lead:
        starts = [(*at, 0) for at in np.ndindex(*lead)]
        return starts, (*(1 for _ in lead), last), (0,) * len(output)
    width = -(-last // PIECES)
    return [(p * width,) for p in range(PIECES)], (width,), (PIECES * width - last,)


def _by_groups(v: jax.Array, spec: Spec) -> jax.Array:
    """From an image (n, *space, (g, c)) to (n, g, c, *space)."""
    v = jnp.moveaxis(v, -1, 1)
    return v.reshape(v.shape[0], spec.groups, -1, *v.shape[2:])


def _channels_last(v: jax.Array) -> jax.Array:
    return jnp.moveaxis(v.reshape(v.shape[0], -1, *v.shape[LEAD:]), 1, -1)


def _weights(w: jax.Array, spec: Spec) -> jax.Array:
    """From a kernel (*window, c, (g, o)) to (*window, g, o, c)."""
    wide = w.astype(accumulator(w.dtype))
    wide = wide.reshape(*w.shape[:-1], spec.groups, w.shape[-1] // spec.groups)
    return jnp.moveaxis(wide, -3, -1)


def _weigh(v: jax.Array, weights: jax.Array) -> jax.Array:
    """An image (n, g, c, *space) times one tap's weights (g, o, c)."""
    ones = (1,) * (v.ndim - LEAD)

    def term(c: int) -> jax.Array:
        scale = weights[..., c].reshape(1, *weights.shape[:-1], *ones)
        return v[:, :, c : c + 1].astype(scale.dtype) * scale

    return functools.reduce(operator.add, map(term, range(v.shape[2])))


def terms(case: Case) -> int:
    """The number of unrolled products, for one element or one pair of channels."""
    taps, (_, c, o) = case.geometry.taps, case.sizes
    if case.role == "kernel":
        return taps * len(_rows(case.geometry.output)[0])
    return taps * (o if case.role == "input" else c)


def refuse(case: Case) -> str | None:
    most = MOST[case.role]
    if terms(case) > most:
        return f"it writes out at most {most} products, not {terms(case)}"
    return None


def scratch(case: Case) -> int:
    """Transposed and padded images, and the result before it is transposed."""
    if case.role == "kernel":
        return _kernel_scratch(case)
    image = "output" if case.role == "input" else "input"
    return case.bytes(image) + 2 * framed_bytes(case, image) + 2 * summed_bytes(case)


def _kernel_scratch(case: Case) -> int:
    """Transposed and padded images, and for every tap its sums over rows."""
    n, c, o = case.sizes
    _, size, _ = _rows(case.geometry.output)
    left = n * case.groups * c * o * math.prod(size) * accumulator(case.dtype).itemsize
    images = framed_bytes(case, "input") + case.bytes("output")
    return 3 * images + case.geometry.taps * left


LOWERING = Lowering(
    "narrow",
    "one shifted multiply-add per tap and channel of a group",
    {"output": output, "input": input, "kernel": kernel},
    refuse,
    scratch,
)
