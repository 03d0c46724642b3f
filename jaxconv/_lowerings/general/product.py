"""``product``: im2col and one matrix product, for non-overlapping windows.

These are 1x1 kernels at any stride, patch embeddings (kernel equal to stride, no
padding), and kernels as large as the input.  Windows share no element, so im2col is
only a reshape and a transpose, and copies nothing twice.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from jaxconv._core.axes import Input, Kernel, Output
from jaxconv._core.geometry import Axis
from jaxconv._core.spec import Case, Spec
from jaxconv._lowerings.base import Compute, Lowering, dot, widened_bytes
from jaxconv._lowerings.general import planes as _planes

MOST_GROUPS = 8  # one product per group; with more groups they become too small


def _in_either_layout(last: Compute, first: Compute, least: int = 1) -> Compute:
    """Computes channels first directly, from ``least`` positions on, else by `last`.

    ``last`` and ``first`` compute the role with channels last and first.
    """

    def compute(a: jax.Array, b: jax.Array, spec: Spec) -> jax.Array:
        if spec.layout.last:
            return last(a, b, spec)
        if spec.geometry.positions >= least:
            return first(a, b, spec)
        a, b = (
            v.transpose(spec.to_last(operand))
            for v, operand in zip((a, b), spec.operands, strict=True)
        )
        return last(a, b, spec).transpose(spec.from_last(spec.role))

    return compute


def output(x: Input, w: Kernel, spec: Spec) -> Output:
    """y = patches(x) w, with one row of the matrix per position."""
    taps = spec.geometry.taps
    parts = [
        dot(rows, kernel, ((1,), (0,)), spec)
        for rows, kernel in zip(
            _groups(_patches(x, spec), taps, spec),
            _split_last(w.reshape(taps, -1, w.shape[-1]), spec),
            strict=True,
        )
    ]
    return _join(parts).reshape(x.shape[0], *spec.geometry.output, w.shape[-1])


def input(y: Output, w: Kernel, spec: Spec) -> Input:
    """patches(x) = y wᵀ, and each patch is moved to its position in x."""
    g = spec.geometry
    taps, c = g.taps, w.shape[-2]
    parts = [
        dot(rows, kernel.T, ((1,), (0,)), spec).reshape(-1, taps, c)
        for rows, kernel in zip(
            _groups(y.reshape(-1, 1, y.shape[-1]), 1, spec),
            _split_last(w.reshape(taps, c, w.shape[-1]), spec),
            strict=True,
        )
    ]
    return _unpatch(_join(parts), y.shape[0], spec)


def kernel(x: Input, y: Output, spec: Spec) -> Kernel:
    """w = patches(x)ᵀ y, a sum over all positions."""
    g = spec.geometry
    patches = _groups(_patches(x, spec), g.taps, spec)
    rows = _groups(y.reshape(-1, 1, y.shape[-1]), 1, spec)
    parts = [dot(a, b, ((0,), (0,)), spec) for a, b in zip(patches, rows, strict=True)]
    return _join(parts).reshape(*g.kernel, -1, y.shape[-1])


def _groups(rows: jax.Array, taps: int, spec: Spec) -> list[jax.Array]:
    """From (positions, taps, (g, c)) to one (positions, taps*c) per group."""
    parts = jnp.split(rows, spec.groups, axis=-1)
    return [part.reshape(-1, taps * part.shape[-1]) for part in parts]


def _split_last(w: jax.Array, spec: Spec) -> list[jax.Array]:
    """From (taps, c, (g, o)) to one (taps*c, o) per group."""
    parts = jnp.split(w, spec.groups, axis=-1)
    return [part.reshape(-1, part.shape[-1]) for part in parts]


def _join(parts: list[jax.Array]) -> jax.Array:
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis=-1)


def _patches(x: jax.Array, spec: Spec) -> jax.Array:
    """im2col, from (n, *space, c) to (n*positions, taps, c)."""
    g, n = spec.geometry, spec.ndim
    split: list[int] = []
    for index, axis in enumerate(g.axes, start=1):
        if axis.k == 1:
            x = lax.slice_in_dim(x, 0, axis.reach, axis.s, index)
            split += [axis.o, 1]
        else:
            x = lax.slice_in_dim(x, 0, axis.reach, 1, index)
            split += [axis.o, axis.k]
    x = x.reshape(x.shape[0], *split, x.shape[-1])
    x = x.transpose(0, *range(1, 2 * n, 2), *range(2, 2 * n + 1, 2), 2 * n + 1)
    return x.reshape(-1, g.taps, x.shape[-1])


def _unpatch(patches: jax.Array, batch: int, spec: Spec) -> jax.Array:
    """The inverse of `_patches`, with zeros in inputs that no window reads."""
    g, n = spec.geometry, spec.ndim
    x = patches.reshape(batch, *g.output, *g.kernel, -1)
    pairs = [axis for a in range(n) for axis in (1 + a, n + 1 + a)]
    x = x.transpose(0, *pairs, 2 * n + 1)
    x = x.reshape(batch, *(o * k for o, k in zip(g.output, g.kernel, strict=True)), -1)
    config = [
        (0, axis.i - axis.reach, axis.s - 1 if axis.k == 1 else 0) for axis in g.axes
    ]
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *config, (0, 0, 0)])


def _non_overlapping(axis: Axis) -> bool:
    """Whether windows share no element and read no padding.

    Windows have one element, or adjoin each other, or there is only one.
    """
    if axis.lo != 0 or axis.hi > 0:
        return False
    return axis.k == 1 or (axis.d == 1 and (axis.k == axis.s or axis.o == 1))


def refuse(case: Case) -> str | None:
    if not all(map(_non_overlapping, case.geometry.axes)):
        return "it needs windows that neither overlap nor read padding"
    if case.groups > MOST_GROUPS:
        return f"it takes at most {MOST_GROUPS} groups, not {case.groups}"
    return None


def scratch(case: Case) -> int:
    """The transposed patches, and the groups' parts before they are concatenated."""
    g = case.geometry
    every = case.groups == g.taps == 1 and g.input == g.output
    return widened_bytes(case) + (0 if every else 2 * case.operand_bytes)


LOWERING = Lowering(
    "product",
    "one matrix product, for windows that do not overlap",
    {
        "output": _in_either_layout(output, _planes.output),
        "input": _in_either_layout(input, _planes.input),
        "kernel": _in_either_layout(kernel, _planes.kernel, _planes.LEAST),
    },
    refuse,
    scratch,
    native=True,
)
