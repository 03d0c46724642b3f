"""``fft``: large kernels by fast Fourier transforms, as products on a ring.

The form T pairs input u - lo with position p and tap t where u = p*s + t*d.  On a ring
long enough that no other u is congruent to p*s + t*d, each role is a product of two
transforms, channel by channel: Y = X conj(W), X = Y W, W = X conj(Y).
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxconv._geometry import Axis, Extent, Ints, read_extent
from jaxconv._lowerings._base import Lowering, accumulator, frame
from jaxconv._spec import OPERANDS, Case, Role, Spec

UNROLLED = 16  # channels up to which a sum of products beats a complex matrix product
LETTERS: dict[Role, str] = {"input": "ngc", "kernel": "goc", "output": "ngo"}


class Ring(NamedTuple):
    """One axis: its blocks, each with the same windows, and the ring they fit on."""

    axis: Axis  # of one block
    count: int
    extent: Extent  # of the inputs that a block's windows read
    size: int

    @property
    def hop(self) -> int:
        """Inputs from one block to the next."""
        return self.axis.o * self.axis.s


def ring(axis: Axis, least: int) -> Ring:
    """The whole axis as one block, or blocks on rings of at least ``least``."""
    whole = _ring(axis, 1)
    if whole.size <= least:
        return whole
    size = fast_length(least)
    positions = (size - axis.span) // axis.s + 1
    tail = max(axis.span - axis.s, 0)
    count = -(-axis.o // max(positions, 1))
    positions = -(-axis.o // count)
    if count < 2 or positions * axis.s < tail:
        return whole
    block = axis._replace(i=positions * axis.s + tail, o=positions, lo=0)
    return _ring(block, count)


def _ring(axis: Axis, count: int) -> Ring:
    e = read_extent(axis)
    size = max(
        axis.reach - e.low,
        e.low + e.stop - e.start,
        (axis.o - 1) * axis.s + 1,
        axis.span,
    )
    return Ring(axis, count, e, fast_length(size))


def fast_length(least: int) -> int:
    """The smallest product of twos, threes and fives that is not below ``least``."""
    best = 1 << max(least - 1, 0).bit_length()
    five = 1
    while five < best:
        three = five
        while three < best:
            two = 1 << max(-(-least // three) - 1, 0).bit_length()
            best = min(best, three * two)
            three *= 3
        five *= 5
    return best


def output(x: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    """Y = X conj(W), and of it every s-th element."""
    rings = _rings(spec)
    x, w = _arranged(x, "input", spec), _arranged(w, "kernel", spec)
    x = _transform(_blocks(x, spec, rings), _places(rings), rings)
    w = _reflected(w, spec.geometry.dilation, rings)
    y = _back(_multiply("output", x, w), rings, spec)
    y = _every(y, [r.axis.o for r in rings], spec.geometry.stride)
    return _laid_out(_joined(y, spec.geometry.output, rings), "output", spec)


def input(y: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    """X = Y W, of which the inputs that are read are kept."""
    rings, g = _rings(spec), spec.geometry
    y, w = _arranged(y, "output", spec), _arranged(w, "kernel", spec)
    y = _transform(_spread(_parts(y, rings), g.stride), None, rings)
    w = _transform(_spread(w, g.dilation), None, rings)
    x = _back(_multiply("input", y, w), rings, spec)
    return _laid_out(_overlapped(x, spec, rings), "input", spec)


def kernel(x: jax.Array, y: jax.Array, spec: Spec) -> jax.Array:
    """W = X conj(Y), and of it every d-th element."""
    rings, g = _rings(spec), spec.geometry
    x, y = _arranged(x, "input", spec), _arranged(y, "output", spec)
    x = _transform(_blocks(x, spec, rings), _places(rings), rings)
    y = _reflected(_parts(y, rings), g.stride, rings)
    w = _back(_multiply("kernel", x, y), rings, spec)
    return _laid_out(_every(w, g.kernel, g.dilation), "kernel", spec)
