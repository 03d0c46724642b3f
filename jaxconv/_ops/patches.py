"""Windows as columns (im2col), and their sum (col2im): unfold and fold."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxconv._border import arguments as can
from jaxconv._border import limits
from jaxconv._border.arguments import IntLike, PaddingLike
from jaxconv._border.arrays import Elements, Moved
from jaxconv._border.hints import explained
from jaxconv._border.windows import Windows
from jaxconv._core.geometry import Geometry, Ints, read_extent
from jaxconv._core.primitive import like
from jaxconv._lowerings.base import frame


@explained
def unfold(
    x: Elements,
    kernel_size: IntLike,
    *,
    dilation: IntLike = 1,
    padding: PaddingLike = 0,
    stride: IntLike = 1,
    layout: str = "channels_first",
) -> Moved:
    r"""The windows that a convolution reads, one per column (im2col).

    .. math:: u[n, (c, t), p] = x[n, c, p \cdot s + t \cdot d - \mathit{lo}]

    Letters: as in `conv`; T taps in a window, L window positions, both row-major.
    Sizes are in elements.

    Args:
      x: (N, C, \*space), or (C, \*space) without a batch.
      kernel_size: the window: one int per spatial axis, or an int for a square one in
        two dimensions, as in PyTorch.
      dilation, padding, stride, layout: as in `conv`.

    Returns:
      (N, C*T, L), channels slowest, as in PyTorch.  With layout="channels_last"
      (N, L, T*C), channels fastest, so that ``u @ kernel.reshape(T*C, O)`` is conv.
      Bools stay bools, and their padding is False, as in PyTorch.

    Raises:
      ValueError: a window that does not fit, empty channels or space, wrong sizes.
      TypeError: arguments of the wrong type.

    Example:
      >>> import jax.numpy as jnp, jaxconv
      >>> jaxconv.unfold(jnp.array([[1, 2, 3, 4]]), (3,))
      Array([[1, 2],
             [2, 3],
             [3, 4]], dtype=int32)

    Elsewhere: `torch.nn.functional.unfold` (two dimensions; its positional order is
    kernel_size, dilation, padding, stride); `jax.lax.conv_general_dilated_patches`
    multiplies by an identity kernel.

    Source: PyTorch's `unfold`, and the definition of its matrix.
    """
    x = can.array("x", x, bools=True)
    window, arranged = _window(kernel_size), can.layout(layout)
    has_batch = can.has_batch(x.shape, len(window))
    image = x if has_batch else x[None]
    first = arranged.first
    space = image.shape[2:] if first else image.shape[1:-1]
    channels = image.shape[1 if first else -1]
    if 0 in image.shape[1:]:
        rule = "has a channel or spatial axis of size zero; only the batch may be empty"
        can.fail("x.shape", x.shape, rule, "Leave the call out for empty input")
    geometry = _geometry(space, window, stride, padding, dilation)
    limits.axes("output", geometry, limits.Image("x.shape", x.shape, space))
    columns = (image.shape[0], channels * geometry.taps, geometry.positions)
    limits.array("kernel_size", window, columns)
    last = jnp.moveaxis(image, 1, -1) if first else image
    with jax.named_scope("jaxconv.unfold"):
        patches = _patches(last, geometry)
        n, positions, taps, c = patches.shape
        if first:
            out = patches.transpose(0, 3, 2, 1).reshape(n, c * taps, positions)
        else:
            out = patches.reshape(n, positions, taps * c)
    return out if has_batch else out[0]


@explained
def fold(
    u: Elements,
    output_size: IntLike,
    kernel_size: IntLike,
    *,
    dilation: IntLike = 1,
    padding: PaddingLike = 0,
    stride: IntLike = 1,
    layout: str = "channels_first",
) -> Moved:
    r"""Adds windows up where they overlap (col2im), the linear transpose of `unfold`.

    .. math:: x[n, c, q] = \sum_{p, t \,:\, p s + t d - \mathit{lo} = q} u[n, (c, t), p]

    Letters: as in `unfold`.  Sizes are in elements.

    Args:
      u: (N, C*T, L), or (C*T, L) without a batch; (N, L, T*C) channels last.
      output_size: the spatial size of the result, which is that of `unfold`'s input:
        one int per spatial axis, or an int for a square image, as in PyTorch.
      kernel_size, dilation, padding, stride, layout: as in `unfold`.

    Returns:
      (N, C, \*output_size); channels last (N, \*output_size, C).  For bools, an element
      is True if any window has True there, as in PyTorch.

    Raises:
      ValueError: sizes that do not fit; the message gives the expected C*T and L.
      TypeError: arguments of the wrong type.

    Example:
      >>> import jax.numpy as jnp, jaxconv
      >>> jaxconv.fold(jnp.array([[1, 2], [2, 3], [3, 4]]), (4,), (3,))
      Array([[1, 4, 6, 4]], dtype=int32)

    Elsewhere: `torch.nn.functional.fold` (two dimensions).

    Source: the definition as a linear transpose.
    """
    u = can.array("u", u, bools=True)
    if u.dtype == np.bool_:
        counts = fold(
            u.astype(np.int32),
            output_size,
            kernel_size,
            dilation=dilation,
            padding=padding,
            stride=stride,
            layout=layout,
        )
        return counts > 0
    window, arranged = _window(kernel_size), can.layout(layout)
    space = can.ints("output_size", output_size, len(window), 1)
    geometry = _geometry(space, window, stride, padding, dilation)
    limits.axes("output", geometry, limits.Image("output_size", space, space))
    columns, has_batch = _columns(u, geometry, arranged.first)
    channels = _channels(columns, geometry, arranged.first)
    limits.array("output_size", space, (columns.shape[0], channels, *space))
    shape = (*geometry.input, channels)
    if arranged.first:
        shape = (channels, *geometry.input)
    image = like((columns.shape[0], *shape), columns)

    def forward(x: jax.Array) -> jax.Array:
        return unfold(
            x,
            window,
            dilation=dilation,
            padding=padding,
            stride=stride,
            layout=layout,
        )

    with jax.named_scope("jaxconv.fold"):
        (out,) = jax.linear_transpose(forward, image)(columns)
        if out.dtype != columns.dtype:  # float0, for integers that no window reads
            out = jnp.zeros(image.shape, image.dtype)
    return out if has_batch else out[0]


def _window(kernel_size: Any) -> Ints:
    ndim = len(kernel_size) if can.is_sequence(kernel_size) else 2
    if ndim == 0:
        can.fail(
            "kernel_size", kernel_size, "is empty", "Write one int per spatial axis"
        )
    return can.ints("kernel_size", kernel_size, ndim, 1)


def _geometry(space: Ints, window: Ints, s: Any, p: Any, d: Any) -> Geometry:
    windows = Windows.read(len(window), s, p, d, "zeros", "kernel_size")
    return windows.conv(space, window)[0]


def _patches(x: jax.Array, geometry: Geometry) -> jax.Array:
    """From (n, *space, c) to (n, positions, taps, c), by one slice per tap.

    An axis is split into (parts, stride), and tap t reads the elements t*d mod s of the
    parts from t*d // s on: XLA's partitioner returns wrong values of strided slices.
    """
    axes, channels = list(geometry.axes), x.shape[-1]
    framed = frame(x, [read_extent(axis) for axis in axes])
    parts = [-(-size // a.s) for size, a in zip(framed.shape[1:-1], axes, strict=True)]
    whole = [m * a.s for m, a in zip(parts, axes, strict=True)]
    rest = [(0, w - size) for w, size in zip(whole, framed.shape[1:-1], strict=True)]
    framed = jnp.pad(framed, [(0, 0), *rest, (0, 0)])
    pairs = [size for m, a in zip(parts, axes, strict=True) for size in (m, a.s)]
    split = framed.reshape(x.shape[0], *pairs, channels)

    def slice_for(tap: tuple[int, ...]) -> jax.Array:
        start, stop = [0], [x.shape[0]]
        for t, a in zip(tap, axes, strict=True):
            part, residue = divmod(t * a.d, a.s)
            start += [part, residue]
            stop += [part + a.o, residue + 1]
        found = jax.lax.slice(split, [*start, 0], [*stop, channels])
        return found.reshape(x.shape[0], *geometry.output, channels)

    slices = [slice_for(tap) for tap in np.ndindex(geometry.kernel)]
    patches = jnp.stack(slices, axis=-2)
    return patches.reshape(x.shape[0], geometry.positions, geometry.taps, channels)


def _columns(u: jax.Array, geometry: Geometry, first: bool) -> tuple[jax.Array, bool]:
    """u with a batch axis, and whether it came with one; checks its windows."""
    if u.ndim not in (2, 3):
        rule = (
            f"has {u.ndim} axes, but windows side by side have 3, or 2 without a batch"
        )
        can.fail(
            "u.shape", u.shape, rule, "Give (N, C*T, L), channels last (N, L, T*C)"
        )
    columns = u if u.ndim == 3 else u[None]
    positions = columns.shape[-1 if first else -2]
    if positions != geometry.positions:
        rule = f"has {positions} windows, but output_size={geometry.input} has "
        rule += f"{geometry.output}, that is {geometry.positions}"
        can.fail("u.shape", u.shape, rule, "Check output_size, stride and padding")
    return columns, u.ndim == 3


def _channels(columns: jax.Array, geometry: Geometry, first: bool) -> int:
    rows = columns.shape[-2 if first else -1]
    if rows == 0:
        can.fail("u.shape", columns.shape, "has no channels", "Give at least one")
    if rows % geometry.taps:
        rule = f"has {rows} values per window, not a multiple of the window's "
        rule += f"{math.prod(geometry.kernel)} taps"
        can.fail("u.shape", columns.shape, rule, "Check kernel_size and layout")
    return rows // geometry.taps
