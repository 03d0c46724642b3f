"""Both functions once more, in float64 NumPy: one strided slice of the image per tap.

Nothing here comes from the library, which is compared with it.
"""

from __future__ import annotations

import numpy as np

Ints = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]


def conv(
    x: np.ndarray,
    kernel: np.ndarray,
    stride: Ints,
    padding: Pairs,
    dilation: Ints,
    groups: int,
) -> np.ndarray:
    """x (n, channel, ...), kernel (o, channel/groups, ...) give y (n, o, ...)."""
    x, w = _split(np.asarray(x, float), groups, 1), _split(kernel, groups, 0)
    x = np.pad(x, ((0, 0), (0, 0), (0, 0), *padding))
    window = kernel.shape[2:]
    sizes = zip(x.shape[3:], window, stride, dilation, strict=True)
    out = tuple((i - d * (k - 1) - 1) // s + 1 for i, k, s, d in sizes)
    y = np.zeros((x.shape[0], groups, w.shape[1], *out))
    for tap in np.ndindex(*window):
        seen = x[:, :, :, *_reached(tap, out, stride, dilation)]
        y += np.einsum("ngc...,goc->ngo...", seen, w[:, :, :, *tap])
    return y.reshape(y.shape[0], -1, *out)


def conv_transpose(
    y: np.ndarray,
    kernel: np.ndarray,
    stride: Ints,
    padding: Pairs,
    dilation: Ints,
    groups: int,
    output_padding: Ints,
) -> np.ndarray:
    """y (n, o, ...), the same kernel, give (n, channel, ...)."""
    y, w = _split(np.asarray(y, float), groups, 1), _split(kernel, groups, 0)
    out, window = y.shape[3:], kernel.shape[2:]
    sizes = zip(out, window, stride, dilation, output_padding, strict=True)
    covered = tuple((o - 1) * s + d * (k - 1) + 1 + a for o, k, s, d, a in sizes)
    x = np.zeros((y.shape[0], groups, w.shape[2], *covered))
    for tap in np.ndindex(*window):
        place = _reached(tap, out, stride, dilation)
        x[:, :, :, *place] += np.einsum("ngo...,goc->ngc...", y, w[:, :, :, *tap])
    edges = zip(covered, padding, strict=True)
    x = x[:, :, :, *(slice(lo, size - hi) for size, (lo, hi) in edges)]
    return x.reshape(x.shape[0], -1, *x.shape[3:])


def _reached(tap: Ints, out: Ints, stride: Ints, dilation: Ints) -> tuple[slice, ...]:
    """What one tap meets at all positions: start t*d, one element every s."""
    columns = zip(tap, out, stride, dilation, strict=True)
    return tuple(slice(t * d, t * d + (o - 1) * s + 1, s) for t, o, s, d in columns)


def _split(v: np.ndarray, groups: int, axis: int) -> np.ndarray:
    before, after = v.shape[:axis], v.shape[axis + 1 :]
    return v.reshape(*before, groups, v.shape[axis] // groups, *after)
