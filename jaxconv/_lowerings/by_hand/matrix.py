"""``matrix``: the convolution's matrix C, whose rows are shifted kernels.

A convolution is C times the flattened input, and a transposed convolution is Cᵀ times
the flattened output.  There is one matrix per group, (o * positions) x (c * inputs).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxconv._core.axes import Input, Kernel, Output
from jaxconv._core.geometry import Axis, Geometry
from jaxconv._core.spec import Case, Spec
from jaxconv._lowerings.base import Lowering, einsum

LIMIT = 2**31  # the most bytes of a dense C


class Entries(NamedTuple):
    """The nonzero entries of C for one pair of channels.

    A row is an output position, a column an input, and a tap the weight of the entry.
    """

    row: np.ndarray
    tap: np.ndarray
    column: np.ndarray


def axis_reads(axis: Axis) -> np.ndarray:
    """The input that each tap of each position reads, (o, k); -1 for padding."""
    read = (
        np.add.outer(np.arange(axis.o) * axis.s, np.arange(axis.k) * axis.d) - axis.lo
    )
    return np.where((read >= 0) & (read < axis.i), read, -1)


def entries(reads: Sequence[np.ndarray], sizes: Sequence[int]) -> Entries:
    """The nonzero entries of C from those of each axis, with row-major indices."""
    row = tap = column = np.zeros(1, np.int64)
    for read, size in zip(reads, sizes, strict=True):
        p, t = np.nonzero(read >= 0)
        o, k = read.shape
        row = np.add.outer(row * o, p).ravel()
        tap = np.add.outer(tap * k, t).ravel()
        column = np.add.outer(column * size, read[p, t]).ravel()
    return Entries(row, tap, column)


def _matrix(w: jax.Array, spec: Spec) -> jax.Array:
    """C as (g, positions, o, inputs, c), from the kernel (*window, c, (g, o))."""
    g = spec.geometry
    *_, c, channels = w.shape
    o = channels // spec.groups
    found = entries([axis_reads(axis) for axis in g.axes], g.input)
    weights = w.reshape(-1, c, spec.groups, o)[found.tap]  # (entry, c, g, o)
    shape = (g.positions, int(np.prod(g.input)), c, spec.groups, o)
    matrix = jnp.zeros(shape, w.dtype).at[found.row, found.column].add(weights)
    return matrix.transpose(3, 0, 4, 1, 2)


def output(x: Input, w: Kernel, spec: Spec) -> Output:
    n, groups = x.shape[0], spec.groups
    x = x.reshape(n, -1, groups, x.shape[-1] // groups)
    y = einsum("gpoic,nigc->npgo", _matrix(w, spec), x, spec)
    return y.reshape(n, *spec.geometry.output, -1)


def input(y: Output, w: Kernel, spec: Spec) -> Input:
    n, groups = y.shape[0], spec.groups
    y = y.reshape(n, -1, groups, y.shape[-1] // groups)
    x = einsum("gpoic,npgo->nigc", _matrix(w, spec), y, spec)
    return x.reshape(n, *spec.geometry.input, -1)


def dense_bytes(geometry: Geometry, groups: int, c: int, o: int, itemsize: int) -> int:
    inputs = int(np.prod(geometry.input, dtype=object))
    return groups * geometry.positions * o * inputs * c * itemsize


def _scratch(case: Case) -> int:
    """The matrix, its transposed copy, and the weights of its entries."""
    _, c, o = case.sizes
    dense = dense_bytes(case.geometry, case.groups, c, o, case.dtype.itemsize)
    return 3 * dense


def _refuse(case: Case) -> str | None:
    dense, limit = _scratch(case) / 3 / 2**30, LIMIT / 2**30
    if dense > limit:
        return f"its dense matrix takes {dense:.1f} GiB, over {limit:.0f} GiB"
    return None


def _spreads(case: Case) -> str | None:
    return "from an image to every result of its group, as NaN"


LOWERING = Lowering(
    "matrix",
    "the matrix C of shifted, zero-filled kernels times the flattened input",
    {"output": output, "input": input},
    refuse=_refuse,
    scratch=_scratch,
    by_hand=True,
    spreads=_spreads,
)
