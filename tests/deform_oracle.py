"""Deformable sampling by nested loops in NumPy: the definitions, written once more.

It shares no code with the library and is slow on purpose.  Arrays are channels first
and float64, unless said otherwise; any number of axes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

Ints = tuple[int, ...]


def around(position: Sequence[float], size: Ints) -> Iterator[tuple[Ints, float]]:
    """The pixels of the image around a position, each with its share (q, B(q))."""
    if not all(map(math.isfinite, position)):
        return
    low = [math.floor(v) for v in position]
    for corner in itertools.product((0, 1), repeat=len(size)):
        q = tuple(a + b for a, b in zip(low, corner, strict=True))
        if all(0 <= a < n for a, n in zip(q, size, strict=True)):
            yield q, math.prod(1 - abs(v - a) for v, a in zip(position, q, strict=True))


def slope(image: np.ndarray, position: Sequence[float], axis: int) -> float:
    """The derivative of the image, zero outside, along an axis, towards its end.

    It needs no rule for whole positions: the cell that a position lies in begins there,
    and in that cell interpolation is linear along every axis.
    """
    low = [math.floor(v) for v in position]
    total = 0.0
    for corner in itertools.product((0, 1), repeat=image.ndim):
        q = tuple(a + b for a, b in zip(low, corner, strict=True))
        if all(0 <= a < n for a, n in zip(q, image.shape, strict=True)):
            shares = [
                v - a if b else a + 1 - v
                for v, a, b in zip(position, low, corner, strict=True)
            ]
            shares[axis] = 2 * corner[axis] - 1
            total += image[q] * math.prod(shares)
    return total


def places(
    kernel: Ints,
    offset: np.ndarray,
    mask: np.ndarray | None,
    stride: Ints,
    low: Ints,
    dilation: Ints,
) -> Iterator[tuple[int, int, Ints, Ints, int, list[float], float]]:
    """Every (n, offset group, p, t), t's number, and where and with which factor."""
    d, taps = len(kernel), math.prod(kernel)
    for n in range(offset.shape[0]):
        for g in range(offset.shape[1] // (d * taps)):
            for p in np.ndindex(*offset.shape[2:]):
                for k, t in enumerate(np.ndindex(*kernel)):
                    delta = offset[(n, slice((g * taps + k) * d, None), *p)][:d]
                    m = 1.0 if mask is None else mask[(n, g * taps + k, *p)]
                    position = [
                        p[a] * stride[a] - low[a] + t[a] * dilation[a] + delta[a]
                        for a in range(d)
                    ]
                    yield n, g, p, t, k, position, m


def reads(
    size: Ints,
    kernel: Ints,
    offset: np.ndarray,
    mask: np.ndarray | None,
    stride: Ints,
    low: Ints,
    dilation: Ints,
) -> Iterator[tuple[int, int, Ints, Ints, Ints, float]]:
    """Every (n, offset group, p, t, q) and the factor with which x[q] is read there."""
    found = places(kernel, offset, mask, stride, low, dilation)
    for n, g, p, t, _, position, m in found:
        for q, share in around(position, size):
            yield n, g, p, t, q, share * m


def conv(
    x: np.ndarray,
    offset: np.ndarray,
    w: np.ndarray,
    mask: np.ndarray | None,
    *,
    stride: Ints,
    low: Ints,
    dilation: Ints,
) -> np.ndarray:
    """y[n, o, p]: the sum over c, t and the pixels q around each tap's position."""
    (batch, inputs), (outputs, c), kernel = x.shape[:2], w.shape[:2], w.shape[2:]
    groups = inputs // c
    per = inputs // (offset.shape[1] // (len(kernel) * math.prod(kernel)))
    y = np.zeros((batch, outputs, *offset.shape[2:]))
    found = reads(x.shape[2:], kernel, offset, mask, stride, low, dilation)
    for n, g, p, t, q, factor in found:
        for o in range(outputs):
            for i in range(c):
                channel = o // (outputs // groups) * c + i
                if channel // per == g:
                    y[(n, o, *p)] += w[(o, i, *t)] * x[(n, channel, *q)] * factor
    return y


def gradients(
    x: np.ndarray,
    offset: np.ndarray,
    w: np.ndarray,
    mask: np.ndarray | None,
    y: np.ndarray,
    *,
    stride: Ints,
    low: Ints,
    dilation: Ints,
) -> dict[str, np.ndarray]:
    """Those of sum(conv(x, offset, w, mask) * y), sample by sample."""
    (_, inputs), (outputs, c), kernel = x.shape[:2], w.shape[:2], w.shape[2:]
    d, taps, groups = len(kernel), math.prod(kernel), inputs // c
    per = inputs // (offset.shape[1] // (d * taps))
    one = np.ones((x.shape[0], offset.shape[1] // d, *offset.shape[2:]))
    mask = one if mask is None else mask
    operands = {"x": x, "offset": offset, "kernel": w, "mask": mask}
    found = {name: np.zeros(v.shape) for name, v in operands.items()}
    for n, g, p, t, k, position, m in places(
        kernel, offset, mask, stride, low, dilation
    ):
        at = g * taps + k
        shares = dict(around(position, x.shape[2:]))
        for channel in range(g * per, g * per + per):
            group, i = divmod(channel, c)
            outs = slice(group * (outputs // groups), (group + 1) * (outputs // groups))
            back = float(w[(outs, i, *t)] @ y[(n, outs, *p)])
            image = x[n, channel]
            value = sum(image[q] * share for q, share in shares.items())
            found["mask"][(n, at, *p)] += back * value
            found["kernel"][(outs, i, *t)] += m * value * y[(n, outs, *p)]
            for q, share in shares.items():
                found["x"][(n, channel, *q)] += m * share * back
            for axis in range(d):
                step = m * back * slope(image, position, axis)
                found["offset"][(n, at * d + axis, *p)] += step
    return found


def conv_transpose(
    y: np.ndarray,
    offset: np.ndarray,
    w: np.ndarray,
    mask: np.ndarray | None,
    size: Ints,
    groups: int,
    *,
    stride: Ints,
    low: Ints,
    dilation: Ints,
) -> np.ndarray:
    """z[n, c, q]: the same sum, of y, for every pixel that a tap reads."""
    (batch, outputs), c, kernel = y.shape[:2], w.shape[1], w.shape[2:]
    per = c * groups // (offset.shape[1] // (len(kernel) * math.prod(kernel)))
    z = np.zeros((batch, c * groups, *size))
    for n, g, p, t, q, factor in reads(
        size, kernel, offset, mask, stride, low, dilation
    ):
        for o in range(outputs):
            for i in range(c):
                channel = o // (outputs // groups) * c + i
                if channel // per == g:
                    z[(n, channel, *q)] += w[(o, i, *t)] * y[(n, o, *p)] * factor
    return z


def aggregate(
    x: np.ndarray,
    offset: np.ndarray,
    weights: np.ndarray,
    kernel: Ints,
    scale: float,
    remove_center: bool,
    *,
    stride: Ints,
    low: Ints,
    dilation: Ints,
) -> np.ndarray:
    """DCNv3 and v4: the last axis first, in the taps and in each tap's offsets."""
    d = len(kernel)
    taps = [t[::-1] for t in itertools.product(*(range(k) for k in kernel[::-1]))]
    if remove_center:
        taps.remove(tuple(k // 2 for k in kernel))
    groups = weights.shape[1] // len(taps)
    per = x.shape[1] // groups
    half = [dilation[a] * (kernel[a] - 1) // 2 for a in range(d)]
    y = np.zeros((*x.shape[:2], *offset.shape[2:]))
    for n, g in itertools.product(range(x.shape[0]), range(groups)):
        for p in np.ndindex(*offset.shape[2:]):
            for k, t in enumerate(taps):
                at = g * len(taps) + k
                delta = offset[(n, slice(at * d, at * d + d), *p)][::-1]
                position = [
                    p[a] * stride[a]
                    - low[a]
                    + half[a]
                    + (t[a] * dilation[a] - half[a] + delta[a]) * scale
                    for a in range(d)
                ]
                for q, share in around(position, x.shape[2:]):
                    for c in range(g * per, g * per + per):
                        factor = share * weights[(n, at, *p)]
                        y[(n, c, *p)] += factor * x[(n, c, *q)]
    return y


def attention(
    values: np.ndarray,
    sizes: Sequence[Ints],
    locations: np.ndarray,
    weights: np.ndarray,
) -> np.ndarray:
    """Deformable DETR: (n, pixels of all levels, heads, c) in, (n, q, heads*c) out."""
    n_, _, heads, channels = values.shape
    y = np.zeros((n_, locations.shape[1], heads, channels))
    for n, q_, m, level, k in np.ndindex(*weights.shape):
        size = sizes[level]
        start = sum(math.prod(s) for s in sizes[:level])
        location = locations[n, q_, m, level, k][::-1]
        position = [v * s - 0.5 for v, s in zip(location, size, strict=True)]
        for q, share in around(position, size):
            pixel = start + int(np.ravel_multi_index(q, size))
            y[n, q_, m] += weights[n, q_, m, level, k] * share * values[n, pixel, m]
    return y.reshape(n_, -1, heads * channels)
