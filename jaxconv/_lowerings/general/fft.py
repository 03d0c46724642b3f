"""``fft``: large kernels by fast Fourier transforms (circular convolution).

The form T multiplies input u - lo, position p and tap t where u = p*s + t*d.  With s-1
zeros between positions and d-1 between taps, this is a correlation of stride 1.  On a
ring, the integers modulo its size, it becomes circular.  If the ring is so long that no
other u is congruent to p*s + t*d, circular and ordinary sums agree, and by the
convolution theorem each role is a product of two transforms, channel by channel:

    Y = X conj(W),   X = Y W,   W = X conj(Y).

A long 1-D axis is cut into blocks of eight kernels: overlap-save for the roles that
read x, and overlap-add for the input role.

Rounding: against float64, in units of eps*sqrt(terms), float32 normal operands give a
root mean square error of 1.4 to 2.5 and a largest one of 5 to 12, for 128 to 16384
terms; direct sums have 0.7 to 8 and 4 to 63.  Unlike in a direct sum, the error of an
element depends on its whole block.  Results that are exactly zero otherwise are zero up
to rounding only, and the last digits of a causal filter's output depend on later
inputs.  One NaN or infinity makes a whole block NaN, in every channel that is summed
with it.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxconv._core.axes import Input, Kernel, Output
from jaxconv._core.dtypes import accumulator
from jaxconv._core.geometry import Geometry, Ints
from jaxconv._core.spec import OPERANDS, Case, Role, Sizes, Spec
from jaxconv._lowerings.base import Lowering, summed_bytes
from jaxconv._lowerings.general.rings import (
    SPACE,
    Ring,
    joined,
    overlapped,
    parts,
    ring,
    windows,
)

ORDER = "ngoc"
MOST_AXES = 3  # of one transform in XLA
SHORTEST = 1024  # the shortest ring of a block, so that its overhead is small
UNROLLED = 16  # channels up to which a sum of products beats a complex matrix product
LETTERS: dict[Role, str] = {"input": "ngc", "kernel": "goc", "output": "ngo"}


def output(x: Input, w: Kernel, spec: Spec) -> Output:
    """Y = X conj(W), and every s-th element of it."""
    g, sizes = spec.geometry, _sizes(x, w, spec)
    rings = _rings(g, sizes)
    x = _transform(windows(_arranged(x, "input", spec), g, rings), rings)
    w = _reflected(_spread(_arranged(w, "kernel", spec), g.dilation), rings)
    y = _back(_multiply(x, w, spec), rings, spec)
    y = _every(y, [r.axis.o for r in rings], g.stride)
    return _to_channels_last(joined(y, g, rings), "output")


def input(y: Output, w: Kernel, spec: Spec) -> Input:
    """X = Y W, without the elements of the padding."""
    g, sizes = spec.geometry, _sizes(y, w, spec)
    rings = _rings(g, sizes)
    y = parts(_arranged(y, "output", spec), rings)
    y = _transform(_spread(y, g.stride), rings)
    w = _transform(_spread(_arranged(w, "kernel", spec), g.dilation), rings)
    x = _back(_multiply(y, w, spec), rings, spec)
    return _to_channels_last(overlapped(x, g, rings), "input")


def kernel(x: Input, y: Output, spec: Spec) -> Kernel:
    """W = X conj(Y), and every d-th element of it."""
    g, sizes = spec.geometry, _sizes(x, y, spec)
    rings = _rings(g, sizes)
    x = _transform(windows(_arranged(x, "input", spec), g, rings), rings)
    y = parts(_arranged(y, "output", spec), rings)
    y = _reflected(_spread(y, g.stride), rings)
    w = _back(_multiply(x, y, spec), rings, spec)
    return _to_channels_last(_every(w, g.kernel, g.dilation), "kernel")


def _rings(g: Geometry, sizes: Sizes) -> list[Ring]:
    """The ring of each axis.

    A long 1-D axis is cut into blocks.  In 2-D and 3-D blocks pay only if most
    transforms are those of the kernel, which become smaller.
    """
    n, c, o = sizes
    if g.ndim == 1:
        return [ring(axis, max(8 * axis.span, SHORTEST)) for axis in g.axes]
    many = c * o > n * (c + o)
    return [ring(axis, 4 * axis.span if many else None) for axis in g.axes]


def _sizes(a: jax.Array, b: jax.Array, spec: Spec) -> Sizes:
    return spec.as_last.sizes(a.shape, b.shape)


def _arranged(v: jax.Array, operand: Role, spec: Spec) -> jax.Array:
    """An image as (n, g, c or o, *space), a kernel as (g, o, c, *space)."""
    v = v.astype(accumulator(v.dtype)).transpose(_to_first(operand, v.ndim))
    at = LETTERS[operand].index("g")
    return v.reshape(*v.shape[:at], spec.groups, -1, *v.shape[at + 1 :])


def _to_channels_last(v: jax.Array, operand: Role) -> jax.Array:
    """The inverse of `_arranged`: merges groups and channels, and moves them last."""
    at = LETTERS[operand].index("g")
    v = v.reshape(*v.shape[:at], -1, *v.shape[at + 2 :])
    return v.transpose(np.argsort(_to_first(operand, v.ndim)))


def _to_first(operand: Role, ndim: int) -> Ints:
    last, space = ndim - 1, range(ndim - 2)
    if operand == "kernel":
        return (last, last - 1, *space)
    return (0, last, *(axis + 1 for axis in space))


# Transforms ---------------------------------------------------------------------------


def _spread(v: jax.Array, step: Ints) -> jax.Array:
    config = [(0, 0, 0)] * SPACE + [(0, 0, s - 1) for s in step]
    return lax.pad(v, jnp.zeros((), v.dtype), config)


def _transform(v: jax.Array, rings: Sequence[Ring]) -> jax.Array:
    """The transform on the ring, zero-padded at the end; half of it for real values."""
    size, axes = [r.size for r in rings], range(SPACE, v.ndim)
    forward = jnp.fft.fftn if jnp.iscomplexobj(v) else jnp.fft.rfftn
    return forward(v, size, tuple(axes))


def _reflected(v: jax.Array, rings: Sequence[Ring]) -> jax.Array:
    """The transform at negated frequencies: conj(W) in the formulas for real w."""
    return _transform(v.conj(), rings).conj()


def _back(v: jax.Array, rings: Sequence[Ring], spec: Spec) -> jax.Array:
    size, axes = [r.size for r in rings], range(SPACE, v.ndim)
    is_complex = jnp.issubdtype(spec.dtype, jnp.complexfloating)
    inverse = jnp.fft.ifftn if is_complex else jnp.fft.irfftn
    return inverse(v, size, tuple(axes))


def _every(v: jax.Array, count: Sequence[int], step: Ints) -> jax.Array:
    """The elements 0, step, ... of the spatial axes."""
    stop = [(n - 1) * s + 1 for n, s in zip(count, step, strict=True)]
    return v[(*(slice(None),) * SPACE, *map(slice, [0] * len(stop), stop, step))]


def _multiply(a: jax.Array, b: jax.Array, spec: Spec) -> jax.Array:
    """Products at every frequency, summed over the letter that the result lacks."""
    role = spec.role
    first, second = (LETTERS[operand] for operand in OPERANDS[role])
    (summed,) = set(first) & set(second) - set(LETTERS[role])
    terms = a.shape[first.index(summed)]
    if role == "kernel" and terms > UNROLLED and a.shape[2] == b.shape[2] == 1:
        return (a * b).sum(0)[:, None]
    if terms > UNROLLED:
        space = a.shape[SPACE:]
        a, b = (v.reshape(*v.shape[:SPACE], -1) for v in (a, b))
        out = jnp.einsum(
            f"{first}f,{second}f->{LETTERS[role]}f", a, b, precision=spec.precision
        )
        return out.reshape(*out.shape[:SPACE], *space)
    place = ORDER.index(summed)
    a, b = (
        jnp.expand_dims(v, [ORDER.index(x) for x in ORDER if x not in letters])
        for v, letters in ((a, first), (b, second))
    )
    products = (
        lax.index_in_dim(a, i, place, False) * lax.index_in_dim(b, i, place, False)
        for i in range(terms)
    )
    return functools.reduce(operator.add, products)


def refuse(case: Case) -> str | None:
    if not jnp.issubdtype(case.dtype, jnp.inexact):
        return f"it computes in floating point, not {case.dtype.name}"
    if case.geometry.ndim > MOST_AXES:
        return f"it takes at most {MOST_AXES} spatial dimensions"
    return None


def spreads(case: Case) -> str | None:
    return (
        "from any operand over whole transforms, a block of a line or a plane, as NaN"
    )


def scratch(case: Case) -> int:
    """Padded, transformed and transposed operands, and the result before and after.

    Blocks are copies of parts of the operands; overlapping blocks of a result are added
    up in two copies of it.
    """
    channels, products, size = _work(case)
    rings, (_, c, o) = _rings(case.geometry, case.sizes), case.sizes
    size += 2 * size // rings[-1].size
    blocked = max(r.blocks for r in rings) > 1
    summed = {
        "output": c,
        "input": o,
        "kernel": products // max(case.groups * c * o, 1),
    }
    halves = 6 if summed[case.role] > UNROLLED else 4 if blocked else 3
    halves = halves * channels + products // max(summed[case.role], 1)
    transforms = halves * size * accumulator(case.dtype).itemsize // 2
    overlap = 2 * summed_bytes(case) if blocked and case.role == "input" else 0
    return transforms + overlap


def steps(case: Case) -> int:
    """A measure of the work: the butterflies of all transforms, and the products."""
    channels, products, size = _work(case)
    return size * (channels * max(size - 1, 1).bit_length() + products)


def _work(case: Case) -> tuple[int, int, int]:
    """The numbers of transforms, of multiplied channel pairs, and of ring elements."""
    rings, (n, c, o) = _rings(case.geometry, case.sizes), case.sizes
    n *= math.prod(r.blocks for r in rings)
    transforms = case.groups * (n * c + c * o + n * o)
    return transforms, case.groups * n * c * o, math.prod(r.size for r in rings)


LOWERING = Lowering(
    "fft",
    "large kernels by fast Fourier transforms, block by block",
    {"output": output, "input": input, "kernel": kernel},
    refuse,
    scratch,
    spreads=spreads,
)
