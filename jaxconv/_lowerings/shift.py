"""``shift``: depthwise convolutions as shifted multiply-adds, one per tap.

With one input channel per group there is nothing to contract but the taps: the result
is a sum of copies of the image, each moved by one tap and scaled channel by channel.
XLA fuses the sum into one loop along the channels, which reads from the cache.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxconv._geometry import Axis, Ints, read_extent, spread_extent
from jaxconv._lowerings._base import Lowering, accumulator, flip, frame, pad
from jaxconv._lowerings._images import LARGE, repeat, window
from jaxconv._lowerings._shift_kernel import kernel
from jaxconv._spec import Case, Spec

UNROLLED = 64  # taps in one fused sum: the code of more no longer fits the cache
MOST = 256  # taps of one residue, all unrolled


def output(x: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    """y[p] = sum over t of x[p*s + t*d - lo] * w[t]."""
    g = spec.geometry
    extents = [read_extent(axis) for axis in g.axes]

    def images(x: jax.Array) -> jax.Array:
        x = repeat(frame(x, extents), w.shape[-1] // spec.groups)
        return weighted_sum(x, w, g.output, g.stride, g.dilation)

    return by_images(images, x)


def input(y: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    """x[p*s + t*d - lo] = sum over t of y[p] * w[t], one residue modulo s at a time."""
    g = spec.geometry
    extents = [spread_extent(axis) for axis in g.axes]
    multiplier = w.shape[-1] // spec.groups

    def images(y: jax.Array) -> jax.Array:
        if math.prod(g.stride) == 1:
            x = weighted_sum(frame(y, extents), flip(w), g.input, g.stride, g.dilation)
        else:
            x = _by_phases(y, w, [Phases(axis) for axis in g.axes])
        if multiplier == 1:
            return x
        return x.reshape(*x.shape[:-1], spec.groups, multiplier).sum(-1)

    return by_images(images, y, math.prod(g.stride))


def by_images(
    compute: Callable[[jax.Array], jax.Array], x: jax.Array, growth: int = 1
) -> jax.Array:
    """Large batches in a loop, so that padded copies stay in the cache."""
    n, size = x.shape[0], x.size * x.dtype.itemsize * growth
    if n < 2 or size < LARGE:
        return compute(x)
    return lax.map(lambda image: compute(image[None])[0], x)


def weighted_sum(
    x: jax.Array, w: jax.Array, size: Ints, stride: Ints, dilation: Ints
) -> jax.Array:
    """The taps' sum; a loop over the leading taps where they are too many to unroll."""
    wide = accumulator(x.dtype)
    w = _taps(w, wide)
    if math.prod(w.shape[: len(size)]) <= UNROLLED:
        return _unrolled(x, w, size, stride, dilation)
    span, taps = (size[0] - 1) * stride[0] + 1, w.shape[0]

    def add(t: jax.Array, total: jax.Array) -> jax.Array:
        rows = lax.dynamic_slice_in_dim(x, t * dilation[0], span, 1)
        row = lax.dynamic_slice_in_dim(w, t, 1, 0)
        return total + _unrolled(rows, row, size, stride, dilation)

    zeros = jnp.zeros((x.shape[0], *size, x.shape[-1]), wide)
    return lax.fori_loop(0, taps, add, zeros)


def _taps(w: jax.Array, dtype: np.dtype) -> jax.Array:
    """(*window, 1, channels) as (*window, 1, ..., 1, channels): a tap has x's rank."""
    n = w.ndim - 2
    return w.astype(dtype).reshape(*w.shape[:n], *(1,) * (n + 1), w.shape[-1])


def _unrolled(
    x: jax.Array, w: jax.Array, size: Ints, stride: Ints, dilation: Ints
) -> jax.Array:
    def term(tap: Ints) -> jax.Array:
        start = tuple(t * d for t, d in zip(tap, dilation, strict=True))
        return window(x, start, size, stride).astype(w.dtype) * w[tap]

    return functools.reduce(operator.add, map(term, np.ndindex(w.shape[: len(size)])))


class Phases:
    """One axis of the result in phases: element m*s + r, for each residue r.

    Counted from the first padding element (u = p*s + t*d), the taps that reach residue
    r are those with t*d = r modulo s, and they read y[m - t*d // s].
    """

    def __init__(self, axis: Axis):
        first = axis.lo // axis.s
        self.stride, self.wanted = axis.s, axis.i
        self.size = (axis.lo + axis.i - 1) // axis.s + 1 - first
        self.crop = axis.lo - first * axis.s
        back = [t * axis.d // axis.s for t in range(axis.k)]
        self.low = max(0, back[-1] - first)
        self.high = max(0, first + self.size - axis.o)
        self.taps: list[list[tuple[int, int]]] = [[] for _ in range(axis.s)]
        for t, b in enumerate(back):
            self.taps[t * axis.d % axis.s].append((t, first - b + self.low))


def _by_phases(y: jax.Array, w: jax.Array, plans: list[Phases]) -> jax.Array:
    y = pad(y, [p.low for p in plans], [p.high for p in plans])
    wide = accumulator(y.dtype)
    w = _taps(w, wide)
    size = tuple(p.size for p in plans)
    one = (1,) * len(plans)
    zeros = jnp.zeros((y.shape[0], *size, y.shape[-1]), wide)

    def term(choice: tuple[tuple[int, int], ...]) -> jax.Array:
        tap, start = zip(*choice, strict=True)
        return window(y, start, size, one).astype(wide) * w[tap]

    def phase(residue: Ints) -> jax.Array:
        taps = [p.taps[r] for p, r in zip(plans, residue, strict=True)]
        terms = list(map(term, itertools.product(*taps)))
        return functools.reduce(operator.add, terms) if terms else zeros

    def stack(residue: Ints) -> jax.Array:
        """Phases of the remaining axes, interleaved; one axis at each level."""
        axis = len(residue)
        if axis == len(plans):
            return phase(residue)
        parts = [stack((*residue, r)) for r in range(plans[axis].stride)]
        if len(parts) == 1:
            return parts[0]
        out = jnp.stack(parts, axis=axis + 2)
        shape = list(parts[0].shape)
        shape[axis + 1] *= len(parts)
        return out.reshape(shape)

    x = stack(())
    return x[(slice(None), *(slice(p.crop, p.crop + p.wanted) for p in plans))]


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
    return case.bytes("input") * (1 + case.sizes.o) + case.bytes("output")


LOWERING = Lowering(
    "shift",
    "one shifted multiply-add per tap",
    {"output": output, "input": input, "kernel": kernel},
    refuse,
    scratch,
)
