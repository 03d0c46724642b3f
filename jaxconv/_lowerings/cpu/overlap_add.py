"""``overlap_add``: a transposed convolution as one product, then sums of overlaps.

Each element of y times the whole kernel gives one window of the result, and windows are
added up where they overlap.  The result is cut into pieces as long as the stride.
Window p then covers the pieces p to p + width - 1, where width = ceil((d(k-1) + 1)/s),
so the sum over windows is a sum of ``width`` shifted arrays per axis.
"""

from __future__ import annotations

import functools
import itertools
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
from jaxconv._lowerings.base import Lowering, pad


def input(y: Output, w: Kernel, spec: Spec) -> Input:
    g = spec.geometry
    n = spec.ndim
    widths = [-(-axis.span // axis.s) for axis in g.axes]
    windows = _windows(y, _pieces(w, widths, spec), spec)

    def shifted(piece: tuple[int, ...]) -> jax.Array:
        """One piece of every window, shifted to its position in the result."""
        part = windows[(slice(None), *(slice(None),) * n, *piece)]
        held = _holds_taps(piece, spec)
        if not held.all():  # y was multiplied by added zeros, and NaN * 0 is NaN
            part = jnp.where(held[..., None], part, jnp.zeros((), part.dtype))
        rest = [b - 1 - a for a, b in zip(piece, widths, strict=True)]
        return pad(part, piece, rest)

    pieces = itertools.product(*map(range, widths))
    parts = map(shifted, (p for p in pieces if _holds_taps(p, spec).any()))
    return _in_place(_interleave(functools.reduce(operator.add, parts), n), spec)


def _holds_taps(piece: Ints, spec: Spec) -> np.ndarray:
    """Which elements (*residue) of a piece are taps, not added zeros."""
    held = np.ones((), bool)
    for b, axis in zip(piece, spec.geometry.axes, strict=True):
        u = b * axis.s + np.arange(axis.s)
        held = np.logical_and.outer(held, (u % axis.d == 0) & (u < axis.span))
    return held


def _pieces(w: jax.Array, widths: list[int], spec: Spec) -> jax.Array:
    """The dilated kernel in pieces: (*window, c, o) to (o, *width, *residue, c)."""
    n, g = spec.ndim, spec.geometry
    zero = jnp.zeros((), w.dtype)
    extra = [
        (0, b * s - d * (k - 1) - 1, d - 1)
        for b, s, d, k in zip(widths, g.stride, g.dilation, g.kernel, strict=True)
    ]
    w = lax.pad(w, zero, [*extra, (0, 0, 0), (0, 0, 0)])
    c, o = w.shape[-2:]
    split = [size for pair in zip(widths, g.stride, strict=True) for size in pair]
    w = w.reshape(*split, c, o)
    return w.transpose(2 * n + 1, *range(0, 2 * n, 2), *range(1, 2 * n, 2), 2 * n)


def _windows(y: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    rows = y.reshape(-1, y.shape[-1])
    product = lax.dot(
        rows,
        w.reshape(w.shape[0], -1),
        precision=spec.precision,
        preferred_element_type=accumulator(y.dtype),
    )
    return product.reshape(*y.shape[:-1], *w.shape[1:])


def _interleave(x: jax.Array, n: int) -> jax.Array:
    """From (n, *m, *s, c) to (n, m*s, ..., c)."""
    pairs = [axis for a in range(n) for axis in (1 + a, n + 1 + a)]
    merged = [x.shape[1 + a] * x.shape[n + 1 + a] for a in range(n)]
    return x.transpose(0, *pairs, 2 * n + 1).reshape(x.shape[0], *merged, x.shape[-1])


def _in_place(x: jax.Array, spec: Spec) -> jax.Array:
    """Cuts off the padding, and adds zeros for inputs that no window reads."""
    inside: list[slice] = []
    low: list[int] = []
    high: list[int] = []
    for axis, have in zip(spec.geometry.axes, x.shape[1:-1], strict=True):
        start, stop = max(0, min(axis.lo, have)), max(0, min(have, axis.lo + axis.i))
        front = min(axis.i, max(0, -axis.lo))
        inside.append(slice(start, stop))
        low.append(front)
        high.append(axis.i - front - max(0, stop - start))
    return pad(x[(slice(None), *inside)], low, high)


def refuse(case: Case) -> str | None:
    if case.groups > 1:
        return f"it does not take groups ({case.groups})"
    return None


def scratch(case: Case) -> int:
    """All windows before they are added up, and the kernel in pieces."""
    g, (n, c, o) = case.geometry, case.sizes
    pieces = math.prod(-(-a.span // a.s) * a.s for a in g.axes)
    windows = n * g.positions * pieces * c * max(4, case.dtype.itemsize)
    return 2 * windows + 2 * o * pieces * c * case.dtype.itemsize


LOWERING = Lowering(
    "overlap_add",
    "one product per position, then overlapping windows are added",
    {"input": input},
    refuse,
    scratch,
)
