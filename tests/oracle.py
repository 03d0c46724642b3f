"""The trilinear form T by nested loops in NumPy: the definition, written once more.

    T(x, w, y) = sum of x[n, g, c, p*s + t*d - lo] * w[g, o, c, t] * y[n, g, o, p]

It shares no code with the library and is no quicker than it must be.  It gives all
tests the values of convolutions; `deform_oracle` has those of sampling between
elements.  Arrays are channels first:
x (n, g*c, *input), w (g*o, c, *kernel), y (n, g*o, *output).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import jax
import ml_dtypes
import numpy as np

Ints = tuple[int, ...]
Index = tuple[np.ndarray, ...]
ALL = (slice(None),) * 3  # batch, groups and channels, or what a kernel has of them


class Window(NamedTuple):
    """Where the windows lie: the formula's letters, one entry per spatial axis."""

    input: Ints
    kernel: Ints
    output: Ints
    stride: Ints
    dilation: Ints
    low: Ints


def source(position: int, size: int, padding_mode: str) -> int | None:
    """Which input stands at a position of the padded axis; None is a zero."""
    if padding_mode == "zeros":
        return position if 0 <= position < size else None
    if padding_mode == "replicate":
        return min(max(position, 0), size - 1)
    if padding_mode == "circular":
        return position % size
    if padding_mode == "reflect":
        while not 0 <= position < size:  # the edge itself is not repeated
            position = -position if position < 0 else 2 * (size - 1) - position
        return position
    raise ValueError(padding_mode)


def windows(i: int, k: int, s: int, d: int, lo: int, hi: int) -> int:
    """How many windows fit into a padded axis: one moves along until it sticks out."""
    count = 0
    while count * s + d * (k - 1) < lo + i + hi:
        count += 1
    return count


def reads(
    window: Window, padding_mode: str = "zeros"
) -> Iterator[tuple[Ints, Ints, Ints]]:
    """Every (position, tap, input index) that is not a zero of the padding."""
    for p in np.ndindex(*window.output):
        for t in np.ndindex(*window.kernel):
            index = tuple(
                source(
                    p[a] * window.stride[a] + t[a] * window.dilation[a] - lo, i, mode
                )
                for a, (lo, i, mode) in enumerate(
                    (lo, i, padding_mode)
                    for lo, i in zip(window.low, window.input, strict=True)
                )
            )
            if None not in index:
                yield p, t, index


def by_taps(window: Window, mode: str) -> Iterator[tuple[Ints, Index, Index]]:
    """Every tap with all positions that read by it, and the inputs that they read."""
    for t in np.ndindex(*window.kernel):
        axes = [
            [
                (p, i)
                for p in range(window.output[a])
                if (i := source(p * s + t[a] * d - lo, window.input[a], mode))
                is not None
            ]
            for a, (s, d, lo) in enumerate(
                zip(window.stride, window.dilation, window.low, strict=True)
            )
        ]
        positions, inputs = (
            np.ix_(*([pair[k] for pair in axis] for axis in axes)) for k in (0, 1)
        )
        yield t, positions, inputs


def contract(
    role: str,
    a: np.ndarray,
    b: np.ndarray,
    window: Window,
    groups: int = 1,
    padding_mode: str = "zeros",
) -> np.ndarray:
    """The role's contraction of its two operands, in the order x, w / y, w / x, y."""
    if role == "output":
        return _output(_split(a, groups, 1), _split(b, groups, 0), window, padding_mode)
    if role == "input":
        return _input(_split(a, groups, 1), _split(b, groups, 0), window, padding_mode)
    if role == "kernel":
        return _kernel(_split(a, groups, 1), _split(b, groups, 1), window, padding_mode)
    raise ValueError(role)


def _output(x: np.ndarray, w: np.ndarray, window: Window, mode: str) -> np.ndarray:
    n, g, o = x.shape[0], w.shape[0], w.shape[1]
    y = np.zeros((n, g, o, *window.output), np.result_type(x, w))
    for t, p, i in by_taps(window, mode):
        y[*ALL, *p] += np.einsum("ngc...,goc->ngo...", x[*ALL, *i], w[*ALL, *t])
    return y.reshape(n, g * o, *window.output)


def _input(y: np.ndarray, w: np.ndarray, window: Window, mode: str) -> np.ndarray:
    n, g, c = y.shape[0], w.shape[0], w.shape[2]
    x = np.zeros((n, g, c, *window.input), np.result_type(y, w))
    for t, p, i in by_taps(window, mode):
        back = np.einsum("ngo...,goc->ngc...", y[*ALL, *p], w[*ALL, *t])
        np.add.at(x, (*ALL, *i), back)  # an input may be read at several positions
    return x.reshape(n, g * c, *window.input)


def _kernel(x: np.ndarray, y: np.ndarray, window: Window, mode: str) -> np.ndarray:
    g, c, o = x.shape[1], x.shape[2], y.shape[2]
    w = np.zeros((g, o, c, *window.kernel), np.result_type(x, y))
    for t, p, i in by_taps(window, mode):
        both = np.einsum("ngc...,ngo...->goc...", x[*ALL, *i], y[*ALL, *p])
        w[*ALL, *t] += both.sum(axis=tuple(range(3, both.ndim)))
    return w.reshape(g * o, c, *window.kernel)


def _split(v: np.ndarray, groups: int, axis: int) -> np.ndarray:
    """The channels (g, c) of an axis told apart."""
    before, size, after = v.shape[:axis], v.shape[axis], v.shape[axis + 1 :]
    return v.reshape(*before, groups, size // groups, *after)


def close(
    actual: jax.Array | np.ndarray, desired: np.ndarray, terms: int, dtype
) -> None:
    """Asserts equality up to the rounding of a sum of so many terms in ``dtype``.

    Integers must be equal.  ``desired`` is more precise than ``dtype`` or as precise.
    """
    actual, desired = np.asarray(actual), np.asarray(desired)
    assert actual.shape == desired.shape, (actual.shape, desired.shape)
    if np.issubdtype(actual.dtype, np.integer):
        np.testing.assert_array_equal(actual, desired)
        return
    wide = np.complex128 if np.iscomplexobj(desired) else np.float64
    eps = float(ml_dtypes.finfo(dtype).eps)
    scale = max(1.0, float(np.abs(desired).max(initial=0.0)))
    tolerance = 4 * eps * math.sqrt(max(terms, 1)) * scale
    np.testing.assert_allclose(
        actual.astype(wide), desired.astype(wide), rtol=0, atol=tolerance
    )
