"""``einsum``: one product per tap with separate axes, which XLA can partition over any.

XLA's partitioner gathers the whole image for a grouped convolution, whichever axis is
sharded.  This form needs no gather, for three reasons.  Images are shifted along one
axis at a time without a change of size, so shards exchange only the elements that cross
a border.  Batch, positions, groups and channels are separate axes of the products.
Residues of a stride are interleaved within a shard.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jax import lax

from jaxconv._core.axes import Input, Kernel, Output
from jaxconv._core.dtypes import accumulator
from jaxconv._core.geometry import Axis, Ints
from jaxconv._core.spec import Case, Role, Spec
from jaxconv._lowerings.base import (
    Lowering,
    einsum,
    framed_bytes,
    summed_bytes,
    widened_bytes,
)
from jaxconv._lowerings.phases import in_turn


def output(x: Input, w: Kernel, spec: Spec) -> Output:
    """y = sum over t of shifted(x, t) w[t], group by group."""
    w = _split_groups(w, spec)
    terms = (
        einsum("n...gc,cgo->n...go", read, w[tap], spec)
        for tap, read in _reads(_split_groups(x, spec), tuple(spec.geometry.axes))
    )
    return _merge_groups(functools.reduce(operator.add, terms))


def kernel(x: Input, y: Output, spec: Spec) -> Kernel:
    """w[t] = sum over positions of shifted(x, t) y, group by group."""
    g, y = spec.geometry, _split_groups(y, spec)
    parts = [
        einsum("n...gc,n...go->cgo", read, y, spec)
        for _, read in _reads(_split_groups(x, spec), tuple(g.axes))
    ]
    return _merge_groups(jnp.stack(parts).reshape(*g.kernel, *parts[0].shape))


def input(y: Output, w: Kernel, spec: Spec) -> Input:
    """x[m*s + r] = sum of shifted(y, t) w[t] over the taps t of residue r."""
    w, axes = _split_groups(w, spec), tuple(spec.geometry.axes)
    dtype = accumulator(y.dtype)

    def residues(y: jax.Array, tap: Ints) -> jax.Array:
        """The residues of the axes from ``len(tap)`` on, interleaved."""
        at = len(tap)
        if at == len(axes):
            return einsum("n...go,cgo->n...gc", y, w[tap], spec)
        axis = axes[at]
        size = -(-axis.i // axis.s)
        sums: list[jax.Array | None] = [None] * axis.s
        for t in range(axis.k):
            back, residue = divmod(t * axis.d - axis.lo, axis.s)
            term = residues(shifted(y, -back, size, at + 1), (*tap, t))
            before = sums[residue]
            sums[residue] = term if before is None else before + term
        some = next(v for v in sums if v is not None)
        every = [jnp.zeros_like(some) if v is None else v for v in sums]
        merged = in_turn(every, at + 1)
        return lax.slice_in_dim(merged, 0, axis.i, axis=at + 1)

    return _merge_groups(residues(_split_groups(y, spec), ()).astype(dtype))


def _reads(
    x: jax.Array, axes: tuple[Axis, ...], tap: Ints = ()
) -> Iterator[tuple[Ints, jax.Array]]:
    """Each tap, and the elements that it reads at all positions.

    Axes are shifted one after another.
    """
    at = len(tap)
    if at == len(axes):
        yield tap, x
        return
    axis = axes[at]
    size = max(axis.i, (axis.o - 1) * axis.s + 1)
    for t in range(axis.k):
        moved = shifted(x, t * axis.d - axis.lo, size, at + 1)
        read = lax.slice_in_dim(moved, 0, (axis.o - 1) * axis.s + 1, axis.s, at + 1)
        yield from _reads(read, axes, (*tap, t))


def shifted(x: jax.Array, by: int, size: int, axis: int) -> jax.Array:
    """``size`` elements of an axis from ``by`` on, with zeros outside of it."""
    have = x.shape[axis]
    if by >= have or -by >= size:
        return jnp.zeros((*x.shape[:axis], size, *x.shape[axis + 1 :]), x.dtype)
    config = [(0, 0, 0)] * x.ndim
    config[axis] = (-by, size - have + by, 0)
    return lax.pad(x, jnp.zeros((), x.dtype), config)


def _split_groups(v: jax.Array, spec: Spec) -> jax.Array:
    """Splits the last axis into (groups, channels of a group)."""
    return v.reshape(*v.shape[:-1], spec.groups, -1)


def _merge_groups(v: jax.Array) -> jax.Array:
    return v.reshape(*v.shape[:-2], -1)


def scratch(case: Case) -> int:
    """The elements and the product of every tap, in case XLA keeps all at once."""
    image: Role = "output" if case.role == "input" else "input"
    read = framed_bytes(case, image) + summed_bytes(case)
    return 2 * case.geometry.taps * read + widened_bytes(case)


LOWERING = Lowering(
    "einsum",
    "one product per tap with separate axes, for sharded operands",
    {"output": output, "input": input, "kernel": kernel},
    scratch=scratch,
)
