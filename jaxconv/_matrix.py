"""The matrix of a convolution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, overload

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import sparse as jsparse
from jax.typing import ArrayLike

from jaxconv import _canonical as can
from jaxconv._call import Windows
from jaxconv._canonical import IntLike, PaddingLike, Pairs
from jaxconv._geometry import Geometry, Ints
from jaxconv._lowerings.matrix import axis_reads, entries


@overload
def conv_matrix(
    kernel: ArrayLike,
    input_shape: Sequence[int],
    *,
    stride: IntLike = 1,
    padding: PaddingLike = 0,
    dilation: IntLike = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    layout: str = "channels_first",
    sparse: Literal[False] = False,
) -> jax.Array: ...


@overload
def conv_matrix(
    kernel: ArrayLike,
    input_shape: Sequence[int],
    *,
    stride: IntLike = 1,
    padding: PaddingLike = 0,
    dilation: IntLike = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    layout: str = "channels_first",
    sparse: bool,
) -> jax.Array | jsparse.BCOO: ...


def conv_matrix(
    kernel: ArrayLike,
    input_shape: Sequence[int],
    *,
    stride: IntLike = 1,
    padding: PaddingLike = 0,
    dilation: IntLike = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    layout: str = "channels_first",
    sparse: bool = False,
) -> jax.Array | jsparse.BCOO:
    r"""The matrix C with ``C @ x.ravel() == conv(x, kernel, ...).ravel()``.

    .. math:: C[(g, o, p), (g, c, q)] = \sum_{t \,:\, p s + t d - \mathit{lo} = q}
        w[g, o, c, t]

    Its rows are the shifted, zero-filled kernels; it is conv's Jacobian with respect to
    x, and ``C.T`` is the matrix of `conv_transpose`.

    Letters: as in `conv`.  Sizes are in elements.

    Args:
      kernel: (O, C/groups, \*window); channels last (\*window, C/groups, O).
      input_shape: of one image, without the batch: (C, \*space); channels last
        (\*space, C).
      stride, padding, dilation, groups, padding_mode, layout: as in `conv`.
      sparse: return a `jax.experimental.sparse.BCOO`, built from indices and never by
        way of the dense matrix.  With padding modes an entry may be stored in parts.

    Returns:
      (O * prod(out), C * prod(space)), differentiable with respect to the kernel.

    Raises:
      ValueError, TypeError: as `conv`.

    Example:
      >>> import jax.numpy as jnp, jaxconv
      >>> jaxconv.conv_matrix(jnp.array([[[1.0, 2.0, 3.0]]]), (1, 4), padding=(1,))
      Array([[2., 3., 0., 0.],
             [1., 2., 3., 0.],
             [0., 1., 2., 3.],
             [0., 0., 1., 2.]], dtype=float32)

    Elsewhere: `scipy.linalg.toeplitz` for one axis; no counterpart in PyTorch or Keras.

    Source: claims 0.06, 1.03, 2.03, 2.04, 2.10, 3.03.
    """
    kernel = can.array("kernel", kernel)
    ndim, first = can.spatial_rank(kernel), can.layout(layout) == "channels_first"
    shape = can.ints("input_shape", tuple(input_shape), ndim + 1, 0)
    groups = can.integer("groups", groups, 1)
    weights = kernel if first else jnp.moveaxis(kernel, (-1, -2), (0, 1))
    channels, space = (shape[0], shape[1:]) if first else (shape[-1], shape[:-1])
    o, c, *window = weights.shape
    can.kernel_not_empty(window)
    can.space_not_empty(space, "input")
    can.groups_divide("output channels of the kernel", o, groups)
    if channels != c * groups:
        rule = f"has {channels} channels, kernel expects {c} per group in {groups} group(s)"
        can.fail(
            "input_shape", shape, rule, f"Give {c * groups} channels, or check groups="
        )
    windows = Windows.read(ndim, stride, padding, dilation, padding_mode)
    geometry, pads = windows.conv(space, tuple(window))
    with jax.named_scope("jaxconv.conv_matrix"):
        found = _coordinates(geometry, pads, windows.mode, space, (groups, o, c), first)
        rows, columns, picks = found
        data = weights.reshape(-1)[picks]
        size = (o * geometry.positions, channels * math.prod(space))
        if sparse:
            indices = jnp.asarray(np.stack([rows, columns], axis=1))
            return jsparse.BCOO((data, indices), shape=size)
        return jnp.zeros(size, kernel.dtype).at[rows, columns].add(data)


def _coordinates(
    geometry: Geometry,
    pads: Pairs,
    mode: str,
    space: Ints,
    channels: tuple[int, int, int],
    first: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, column and flat kernel index (O, C/groups, taps) of every entry."""
    reads = [axis_reads(axis) for axis in geometry.axes]
    if pads:
        tables = (_sources(i, pair, mode) for i, pair in zip(space, pads, strict=True))
        reads = [table[read] for table, read in zip(tables, reads, strict=True)]
    found = entries(reads, space)
    groups, o, c = channels
    out, into = np.meshgrid(np.arange(o), np.arange(c), indexing="ij")
    out, into = out.reshape(-1, 1), into.reshape(-1, 1)
    source = out // (o // groups) * c + into  # the input channel read
    positions, inputs = geometry.positions, math.prod(space)
    if first:
        rows, columns = out * positions + found.row, source * inputs + found.column
    else:
        rows, columns = found.row * o + out, found.column * (c * groups) + source
    picks = (out * c + into) * geometry.taps + found.tap
    return rows.ravel(), columns.ravel(), picks.ravel()


def _sources(i: int, pair: tuple[int, int], mode: str) -> np.ndarray:
    """Which input each element of the padded axis is a copy of."""
    modes = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    return np.pad(np.arange(i), pair, mode=modes[mode])  # type: ignore[call-overload]
