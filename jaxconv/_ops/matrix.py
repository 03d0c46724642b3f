"""The matrix of a convolution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, overload

import jax
import jax.numpy as jnp
import numpy as np

from jaxconv._border import arguments as can
from jaxconv._border import limits
from jaxconv._border.arguments import IntLike, PaddingLike
from jaxconv._border.arrays import Kernel, Matrix
from jaxconv._border.call import MODES, Setup, read_setup
from jaxconv._border.hints import explained
from jaxconv._core.geometry import Ints
from jaxconv._core.spec import Shape
from jaxconv._lowerings.by_hand.matrix import axis_reads, entries

if TYPE_CHECKING:
    from jax.experimental.sparse import BCOO


@overload
def conv_matrix(
    kernel: Kernel,
    input_shape: Sequence[int],
    *,
    stride: IntLike = 1,
    padding: PaddingLike = 0,
    dilation: IntLike = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    layout: str = "channels_first",
    sparse: Literal[False] = False,
) -> Matrix: ...


@overload
def conv_matrix(
    kernel: Kernel,
    input_shape: Sequence[int],
    *,
    stride: IntLike = 1,
    padding: PaddingLike = 0,
    dilation: IntLike = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    layout: str = "channels_first",
    sparse: bool,
) -> Matrix | BCOO: ...


@explained
def conv_matrix(
    kernel: Kernel,
    input_shape: Sequence[int],
    *,
    stride: IntLike = 1,
    padding: PaddingLike = 0,
    dilation: IntLike = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    layout: str = "channels_first",
    sparse: bool = False,
) -> Matrix | BCOO:
    r"""The matrix C with ``C @ x.ravel() == conv(x, kernel, ...).ravel()``.

    .. math:: C[(g, o, p), (g, c, q)] = \sum_{t \,:\, p s + t d - \mathit{lo} = q}
        w[g, o, c, t]

    Its rows are shifted kernels filled up with zeros.  It is the Jacobian of conv with
    respect to x, and ``C.T`` is the matrix of `conv_transpose`.

    Letters: as in `conv`.  Sizes are in elements.

    Args:
      kernel: (O, C/groups, \*window); channels last (\*window, C/groups, O).
      input_shape: the shape of one image without the batch, (C, \*space); channels last
        (\*space, C).
      stride, padding, dilation, groups, padding_mode, layout: as in `conv`.
      sparse: return a `jax.experimental.sparse.BCOO`, built without the dense matrix.
        With padding modes an entry may be stored in several parts, to be added up.

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

    Source: the definition, y = C x, entry by entry.
    """
    kernel = can.array("kernel", kernel)
    image = can.shape("input_shape", input_shape)
    if len(image) != can.spatial_rank(kernel.shape) + 1:
        rule = f"has {len(image)} axes, but the kernel has {kernel.ndim - 2} for space"
        can.fail("input_shape", image, rule, "Give channels and space, without a batch")
    setup = read_setup(
        "output",
        image,
        kernel.shape,
        kernel.dtype,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        padding_mode=padding_mode,
        layout=layout,
        name="input_shape",
    ).within_limits("input_shape")
    size = _size(setup, kernel.shape, image, sparse)
    first = setup.spec.layout.first
    weights = kernel if first else jnp.moveaxis(kernel, (-1, -2), (0, 1))
    with jax.named_scope("jaxconv.conv_matrix"):
        rows, columns, picks = _coordinates(setup, weights.shape[1])
        data = weights.reshape(-1)[picks]
        if sparse:
            from jax.experimental.sparse import BCOO  # with SciPy: slow to import

            indices = jnp.asarray(np.stack([rows, columns], axis=1))
            return BCOO((data, indices), shape=size)
        return jnp.zeros(size, kernel.dtype).at[rows, columns].add(data)


def _size(setup: Setup, kernel: Shape, image: Ints, sparse: bool) -> tuple[int, int]:
    """Rows and columns of the matrix; refuses a matrix that is too large."""
    geometry = setup.spec.geometry
    size = (setup.outputs * geometry.positions, math.prod(setup.shape))
    stored = math.prod(kernel) * geometry.positions
    limits.indexed("input_shape", image, "entries of the matrix", stored)
    if not sparse:
        limits.array("input_shape", image, size)
    return size


def _coordinates(setup: Setup, c: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, column and flat kernel index (O, C/groups, taps) of every entry."""
    geometry, groups = setup.spec.geometry, setup.spec.groups
    space = setup.shape[setup.spec.lead :][: geometry.ndim]
    reads = [axis_reads(axis) for axis in geometry.axes]
    if setup.pads:
        tables = (
            _sources(i, pair, setup.mode)
            for i, pair in zip(space, setup.pads, strict=True)
        )
        reads = [table[read] for table, read in zip(tables, reads, strict=True)]
    found = entries(reads, space)
    o = np.arange(setup.outputs)
    out, into = (v.reshape(-1, 1) for v in np.meshgrid(o, np.arange(c), indexing="ij"))
    source = out // (setup.outputs // groups) * c + into  # the input channel read
    if setup.spec.lead == 2:
        rows = out * geometry.positions + found.row
        columns = source * math.prod(space) + found.column
    else:
        rows = found.row * setup.outputs + out
        columns = found.column * (c * groups) + source
    picks = (out * c + into) * geometry.taps + found.tap
    return rows.ravel(), columns.ravel(), picks.ravel()


def _sources(i: int, pair: tuple[int, int], mode: str) -> np.ndarray:
    """The index of the input that each element of the padded axis is a copy of."""
    return np.pad(np.arange(i), pair, mode=MODES[mode])  # type: ignore[call-overload]
