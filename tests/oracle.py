"""Convolutions in NumPy, by the index of each element read: the definition once more.

    T(x, w, y) = sum of w[g, o, c, t] * y[n, g, o, p] * S[n, p, t, q] * x[n, g, c, q]

Each operand left open gives one of the roles.  S is the share of pixel q in what tap t
reads at position p (`Read`).  A convolution reads one pixel, q = p*s + t*d - lo; a
deformable one reads those around a position between pixels.

It shares no code with the library and is no quicker than it must be.  Arrays are
channels first: x (n, g*c, *input), w (g*o, c, *kernel), y (n, g*o, *output).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import jax
import ml_dtypes
import numpy as np

Array = np.ndarray
Ints = tuple[int, ...]


class Window(NamedTuple):
    """Where the windows lie: the formula's letters, one entry per spatial axis."""

    input: Ints
    kernel: Ints
    output: Ints
    stride: Ints
    dilation: Ints
    low: Ints


class Read(NamedTuple):
    """The pixels that one tap reads at each position, and the share of each.

    Both are (n, groups, positions, pixels), with n and groups 1 where all read the
    same.  Pixels are numbered in order; -1 is a zero outside of the image.
    """

    tap: Ints
    pixel: Array
    share: Array


# What is read -------------------------------------------------------------------------


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


def by_taps(window: Window, padding_mode: str = "zeros") -> Iterator[Read]:
    """What each tap of a convolution reads."""
    for t in np.ndindex(*window.kernel):
        pixel = np.zeros((), int)
        steps = zip(*window, t, strict=True)
        for i, _, o, s, d, lo, tap in steps:
            at = (source(p * s + tap * d - lo, i, padding_mode) for p in range(o))
            axis = np.array([-1 if q is None else q for q in at], int)
            number = pixel[..., None] * i + axis
            pixel = np.where((pixel[..., None] < 0) | (axis < 0), -1, number)
        yield Read(t, pixel.reshape(1, 1, -1, 1), np.ones((1, 1, 1, 1), bool))


def reads(
    window: Window, padding_mode: str = "zeros"
) -> Iterator[tuple[Ints, Ints, Ints]]:
    """Every (position, tap, input index) that is not a zero of the padding."""
    inputs = list(np.ndindex(*window.input))
    for read in by_taps(window, padding_mode):
        for p, q in zip(np.ndindex(*window.output), read.pixel.flat, strict=True):
            if q >= 0:
                yield p, read.tap, inputs[q]


def between(
    position: Array, size: Ints, along: int | None = None
) -> tuple[Array, Array]:
    """The pixels around positions (..., axes, positions), and their shares.

    Interpolation is linear along each axis of the cell that begins at the position, and
    outside of the image there are zeros.  With ``along`` the shares are those of the
    derivative along that axis, towards its end.
    """
    near = ((-1 <= position) & (position < np.c_[list(size)])).all(-2)
    position = np.where(near[..., None, :], position, -2)
    low = np.floor(position).astype(int)
    pixels, shares = [], []
    for corner in itertools.product((0, 1), repeat=len(size)):
        number, share, inside = 0, 1.0, True
        for axis, (b, i) in enumerate(zip(corner, size, strict=True)):
            q = low[..., axis, :] + b
            inside = inside & (0 <= q) & (q < i)
            number = number * i + q
            part = 1 - np.abs(position[..., axis, :] - q)
            share = share * (2 * b - 1 if axis == along else part)
        pixels.append(np.where(inside, number, -1))
        shares.append(np.where(inside, share, 0))
    return np.stack(pixels, -1), np.stack(shares, -1)


def sampled(
    size: Ints,
    kernel: Ints,
    offset: Array,
    mask: Array | None,
    along: int | None = None,
    *,
    stride: Ints,
    low: Ints,
    dilation: Ints,
) -> Iterator[Read]:
    """What each tap of a deformable convolution reads; ``along`` as in `between`."""
    n, _, *out = offset.shape
    d, taps = len(kernel), math.prod(kernel)
    moved = offset.reshape(n, -1, taps, d, math.prod(out))
    for k, t in enumerate(np.ndindex(*kernel)):
        first = (b * e - lo for b, e, lo in zip(t, dilation, low, strict=True))
        position = _grid(out, stride, first) + moved[:, :, k]
        pixel, share = between(position, size, along)
        if mask is not None:
            share = share * mask.reshape(n, -1, taps, math.prod(out), 1)[:, :, k]
        yield Read(t, pixel, share)


def _grid(out: Sequence[int], stride: Ints, first: Iterable[float]) -> Array:
    """(axes, positions): first + stride * position."""
    grid = np.indices(tuple(out)).reshape(len(out), -1)
    return grid * np.c_[list(stride)] + np.c_[list(first)]


def gathered(x: Array, read: Read) -> Array:
    """What a tap reads from an image (n, c, *space), as (n, c, positions)."""
    flat, index = _flat(x, read)
    taken = (flat[index] * read.share[:, :, None]).sum(-1)
    return taken.reshape(*x.shape[:2], taken.shape[-1])


def scattered(v: Array, read: Read, x: Array) -> None:
    """Adds v (n, c, positions) to the pixels of x that the tap reads."""
    flat, index = _flat(x, read)
    v = _grouped(v, flat.shape[1])[..., None] * read.share[:, :, None]
    np.add.at(flat, index, v)  # a pixel may be read at several positions
    x[...] = flat[..., :-1].reshape(x.shape)


def _inside(read: Read) -> Array:
    """The positions at which a tap reads more than zeros, which would spread a NaN."""
    return (read.pixel >= 0).any((0, 1, 3))


def _flat(x: Array, read: Read) -> tuple[Array, tuple[Array, ...]]:
    """The image (n, groups, channels, pixels and a zero), and the index of a tap."""
    flat = x.reshape(*x.shape[:2], math.prod(x.shape[2:]))
    flat = _grouped(np.pad(flat, ((0, 0), (0, 0), (0, 1))), read.pixel.shape[1])
    each = np.ix_(*map(range, flat.shape[:3]))
    return flat, (*(v[..., None, None] for v in each), read.pixel[:, :, None])


def _grouped(v: Array, groups: int) -> Array:
    """From (n, (g, c), ...) to (n, g, c, ...)."""
    return v.reshape(v.shape[0], groups, v.shape[1] // groups, *v.shape[2:])


# The three roles ----------------------------------------------------------------------


def contract(
    role: str,
    a: Array,
    b: Array,
    window: Window,
    groups: int = 1,
    padding_mode: str = "zeros",
) -> Array:
    """The role's contraction of its two operands, in the order x, w / y, w / x, y."""
    found = by_taps(window, padding_mode)
    if role == "output":
        return _output(a, b, found, window.output, groups)
    if role == "input":
        return _input(a, b, found, window.input, groups)
    if role == "kernel":
        return _kernel(a, b, found, window.kernel, groups)
    raise ValueError(role)


def _output(
    x: Array, w: Array, found: Iterable[Read], size: Ints, groups: int
) -> Array:
    n, (o, c) = len(x), w.shape[:2]
    y = np.zeros((n, groups, o // groups, math.prod(size)), np.result_type(x, w))
    for read in found:
        weights = w[:, :, *read.tap].reshape(groups, o // groups, c)
        image, at = _grouped(gathered(x, read), groups), _inside(read)
        y[..., at] += np.einsum("ngcp,goc->ngop", image[..., at], weights)
    return y.reshape(n, o, *size)


def _input(y: Array, w: Array, found: Iterable[Read], size: Ints, groups: int) -> Array:
    x = np.zeros((len(y), w.shape[1] * groups, *size), np.result_type(y, w))
    for read in found:
        scattered(_back(y, w, read.tap, groups), read, x)
    return x


def _back(y: Array, w: Array, tap: Ints, groups: int) -> Array:
    """The sum over output channels of y times a tap, (n, channels, positions)."""
    n, (o, c), p = len(y), w.shape[:2], math.prod(y.shape[2:])
    parts = _grouped(y.reshape(n, o, p), groups)
    weights = w[:, :, *tap].reshape(groups, o // groups, c)
    return np.einsum("ngop,goc->ngcp", parts, weights).reshape(n, groups * c, p)


def _kernel(
    x: Array, y: Array, found: Iterable[Read], size: Ints, groups: int
) -> Array:
    n, c, o, p = len(x), x.shape[1] // groups, y.shape[1], math.prod(y.shape[2:])
    parts = _grouped(y.reshape(n, o, p), groups)
    w = np.zeros((o, c, *size), np.result_type(x, y))
    for read in found:
        image, at = _grouped(gathered(x, read), groups), _inside(read)
        products = np.einsum("ngcp,ngop->goc", image[..., at], parts[..., at])
        w[:, :, *read.tap] = products.reshape(o, c)
    return w


def unfold(x: Array, window: Window) -> Array:
    """The windows of an image, (n, c, taps, positions)."""
    return np.stack([gathered(x, read) for read in by_taps(window)], 2)


def fold(u: Array, window: Window) -> Array:
    """The transpose of `unfold`: adds windows (n, c, taps, positions) to an image."""
    x = np.zeros((*u.shape[:2], *window.input), u.dtype)
    for t, read in enumerate(by_taps(window)):
        scattered(u[:, :, t], read, x)
    return x


# Deformable ---------------------------------------------------------------------------


def deform_conv(
    x: Array, offset: Array, w: Array, mask: Array | None, **steps: Ints
) -> Array:
    """y[n, o, p]: the sum over c, t and the pixels around each tap's position."""
    found = sampled(x.shape[2:], w.shape[2:], offset, mask, **steps)
    return _output(x, w, found, offset.shape[2:], x.shape[1] // w.shape[1])


def deform_conv_transpose(
    y: Array,
    offset: Array,
    w: Array,
    mask: Array | None,
    size: Ints,
    groups: int,
    **steps: Ints,
) -> Array:
    """z[n, c, q]: the same sum, of y, for every pixel that a tap reads."""
    found = sampled(size, w.shape[2:], offset, mask, **steps)
    return _input(y, w, found, size, groups)


def deform_gradients(
    x: Array, offset: Array, w: Array, mask: Array | None, y: Array, **steps: Ints
) -> dict[str, Array]:
    """Those of sum(deform_conv(x, offset, w, mask) * y)."""
    n, size, kernel, d = len(x), x.shape[2:], w.shape[2:], x.ndim - 2
    groups, taps = x.shape[1] // w.shape[1], math.prod(kernel)
    fields = offset.shape[1] // (d * taps)

    def found(mask: Array | None = mask, along: int | None = None) -> Iterator[Read]:
        return sampled(size, kernel, offset, mask, along, **steps)

    def products(found: Iterable[Read]) -> Array:
        """Each tap's sample times the gradient of it, (n, fields, taps, p)."""
        each = (_back(y, w, read.tap, groups) * gathered(x, read) for read in found)
        return np.stack([v.reshape(n, fields, -1, v.shape[-1]).sum(2) for v in each], 2)

    moved = np.stack([products(found(along=axis)) for axis in range(d)], 3)
    return {
        "x": _input(y, w, found(), size, groups),
        "offset": moved.reshape(offset.shape),
        "kernel": _kernel(x, y, found(), kernel, groups),
        "mask": products(found(None)).reshape(n, fields * taps, *offset.shape[2:]),
    }


def aggregate(
    x: Array,
    offset: Array,
    weights: Array,
    kernel: Ints,
    scale: float,
    remove_center: bool,
    *,
    stride: Ints,
    low: Ints,
    dilation: Ints,
) -> Array:
    """DCNv3 and v4: the last axis first, in the taps and in each tap's offsets."""
    n, out, d = len(x), offset.shape[2:], len(kernel)
    taps = [t[::-1] for t in itertools.product(*(range(k) for k in kernel[::-1]))]
    if remove_center:
        taps.remove(tuple(k // 2 for k in kernel))
    half = [e * (k - 1) // 2 for e, k in zip(dilation, kernel, strict=True)]
    middle = [h - lo for h, lo in zip(half, low, strict=True)]
    moved = offset.reshape(n, -1, len(taps), d, math.prod(out))[..., ::-1, :]
    factor = weights.reshape(n, -1, len(taps), math.prod(out), 1)
    y = np.zeros((*x.shape[:2], math.prod(out)))
    for k, t in enumerate(taps):
        tap = [b * e - h for b, e, h in zip(t, dilation, half, strict=True)]
        position = _grid(out, stride, middle) + (np.c_[tap] + moved[:, :, k]) * scale
        pixel, share = between(position, x.shape[2:])
        y += gathered(x, Read(t, pixel, share * factor[:, :, k]))
    return y.reshape(*x.shape[:2], *out)


def attention(
    values: Array, sizes: Sequence[Ints], locations: Array, weights: Array
) -> Array:
    """Deformable DETR: (n, pixels of all levels, heads, c) in, (n, q, heads*c) out."""
    n, _, heads, c = values.shape
    y = np.zeros((n, heads * c, locations.shape[1]))
    start = 0
    for level, size in enumerate(sizes):
        stop = start + math.prod(size)
        image = values[:, start:stop].transpose(0, 2, 3, 1).reshape(n, -1, *size)
        start = stop
        for k in range(weights.shape[-1]):
            location = locations[:, :, :, level, k, ::-1].transpose(0, 2, 3, 1)
            pixel, share = between(location * np.c_[list(size)] - 0.5, size)
            factor = weights[:, :, :, level, k].swapaxes(1, 2)[..., None]
            y += gathered(image, Read((k,), pixel, share * factor))
    return y.swapaxes(1, 2)


# Comparing ----------------------------------------------------------------------------


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
