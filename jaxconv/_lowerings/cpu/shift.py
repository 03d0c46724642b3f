"""``shift``: depthwise convolutions as shifted multiply-adds, one per tap.

With one input channel per group a result is a sum over taps only: a sum of copies of
the image, each shifted by one tap and multiplied by that tap's weight of each channel.
XLA fuses the sum into one loop along the innermost axis, which reads from the cache.
The loop is equally fast in both layouts and several times slower after a transpose, so
this lowering is native: operands keep the caller's layout.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxconv._core.dtypes import accumulator
from jaxconv._core.geometry import Ints
from jaxconv._core.spec import Case, Spec
from jaxconv._lowerings.base import (
    Lowering,
    frame,
    framed_bytes,
    kept_whole,
    summed_bytes,
)
from jaxconv._lowerings.cpu.shift_kernel import kernel
from jaxconv._lowerings.images import LARGE, repeat, tap_weights, window
from jaxconv._lowerings.phases import by_phases

UNROLLED = 64  # the most taps in one fused sum, whose code must fit the cache
MOST = 256  # the most taps of one residue, which are all unrolled


def output(x: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    """y[p] = sum over t of x[p*s + t*d - lo] * w[t]."""
    g, lead = spec.geometry, spec.lead
    extents = g.read_extents
    taps = tap_weights(w, spec)
    multiplier = math.prod(taps.shape[g.ndim :]) // spec.groups

    def images(x: jax.Array) -> jax.Array:
        x = repeat(frame(x, extents, lead), multiplier, spec)
        return _weighted_sum(x, taps, g.output, g.stride, spec)

    return kept_whole(_by_images(images, x))


def input(y: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    """x[p*s + t*d - lo] = sum over t of y[p] * w[t], one residue modulo s at a time."""
    g, lead = spec.geometry, spec.lead
    extents = g.spread_extents
    taps = tap_weights(w, spec)

    def weigh(y: jax.Array, tap: Ints) -> jax.Array:
        return y.astype(taps.dtype) * taps[tap]

    def images(y: jax.Array) -> jax.Array:
        if max(g.stride) > 1:
            return _add_multiples(by_phases(y, g.axes, lead, weigh), spec)
        y, turned = frame(y, extents, lead), jnp.flip(taps, tuple(range(g.ndim)))
        return functools.reduce(operator.add, map(one_of, *_multiples(y, turned, spec)))

    def one_of(y: jax.Array, taps: jax.Array) -> jax.Array:
        return _weighted_sum(y, taps, g.input, g.stride, spec)

    return kept_whole(_by_images(images, y, math.prod(g.stride)))


def _multiples(
    y: jax.Array, taps: jax.Array, spec: Spec
) -> tuple[list[jax.Array], list[jax.Array]]:
    """The images and weights of each kernel of a channel, as separate arrays.

    XLA fuses sums of separate arrays.
    """
    axis = spec.axis("output", "o")
    many = y.shape[axis] // spec.groups

    def every(v: jax.Array, axis: int) -> list[jax.Array]:
        return [lax.slice_in_dim(v, m, None, many, axis) for m in range(many)]

    return every(y, axis), every(taps, spec.ndim + axis)


def _add_multiples(x: jax.Array, spec: Spec) -> jax.Array:
    """The sum over the channel multiplier: (g, o) to g."""
    axis = spec.axis("output", "o")
    shape = x.shape
    multiplier = shape[axis] // spec.groups
    if multiplier == 1:
        return x
    x = x.reshape(*shape[:axis], spec.groups, multiplier, *shape[axis + 1 :])
    return x.sum(axis + 1)


def _by_images(
    compute: Callable[[jax.Array], jax.Array], x: jax.Array, growth: int = 1
) -> jax.Array:
    """Loops over the images of large batches, so that padded copies fit the cache."""
    n, size = x.shape[0], x.size * x.dtype.itemsize * growth
    if n < 2 or size < LARGE:
        return compute(x)
    return lax.map(lambda image: compute(image[None])[0], x)


def _weighted_sum(
    x: jax.Array, taps: jax.Array, size: Ints, stride: Ints, spec: Spec
) -> jax.Array:
    """The sum over taps; loops over taps of the first axis if they are too many."""
    g, lead = spec.geometry, spec.lead
    if g.taps <= UNROLLED:
        return _unrolled(x, taps, size, stride, spec)
    span = (size[0] - 1) * stride[0] + 1

    def add(t: jax.Array, total: jax.Array) -> jax.Array:
        rows = lax.dynamic_slice_in_dim(x, t * g.dilation[0], span, lead)
        row = lax.dynamic_slice_in_dim(taps, t, 1, 0)
        return total + _unrolled(rows, row, size, stride, spec)

    shape = (*x.shape[:lead], *size, *x.shape[lead + g.ndim :])
    return lax.fori_loop(0, g.kernel[0], add, jnp.zeros(shape, taps.dtype))


def _unrolled(
    x: jax.Array, taps: jax.Array, size: Ints, stride: Ints, spec: Spec
) -> jax.Array:
    n = spec.ndim

    def term(tap: Ints) -> jax.Array:
        shifted = window(x, spec.geometry.start(tap), size, stride, spec.lead)
        return shifted.astype(taps.dtype) * taps[tap]

    return functools.reduce(operator.add, map(term, np.ndindex(taps.shape[:n])))


def refuse(case: Case) -> str | None:
    if not case.depthwise:
        return f"it needs one input channel per group, not {case.sizes.c}"
    g = case.geometry
    residues = math.prod(g.stride)
    if case.role == "input" and residues > 1 and g.taps > MOST * residues:
        return f"with a stride it takes at most {MOST * residues} taps, not {g.taps}"
    return None


def scratch(case: Case) -> int:
    """The padded (and repeated) image, and the result before it is cropped."""
    o = case.sizes.o
    if case.role == "input":
        return 2 * framed_bytes(case, "output") + 2 * o * summed_bytes(case)
    wide = max(1, accumulator(case.dtype).itemsize // case.dtype.itemsize)
    framed = wide * framed_bytes(case, "input")
    if case.role == "output":
        return (1 + o) * framed + summed_bytes(case)
    # Both are padded once more, to whole blocks.
    return 2 * o * framed + wide * case.bytes("output")


LOWERING = Lowering(
    "shift",
    "one shifted multiply-add per tap",
    {"output": output, "input": input, "kernel": kernel},
    refuse,
    scratch,
    native=True,
)
