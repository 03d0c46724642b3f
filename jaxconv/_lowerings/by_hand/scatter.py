"""``scatter``: a transposed convolution adds up scaled copies of the kernel.

Each element of y is multiplied by the whole kernel, and the copy is added to a
temporary result at the element's window.  The temporary result has the length of all
windows together, (o-1)s + d(k-1) + 1; its padding is cropped at the end.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jaxconv._core.axes import Input, Kernel, Output
from jaxconv._core.dtypes import accumulator
from jaxconv._core.geometry import Axis
from jaxconv._core.spec import Case, Spec
from jaxconv._lowerings.base import Lowering, einsum, pad


def input(y: Output, w: Kernel, spec: Spec) -> Input:
    g = spec.geometry
    copies = kernel_copies(y, w, spec)
    n, channels = y.shape[0], w.shape[-2] * spec.groups
    temporary = jnp.zeros((n, *(axis.reach for axis in g.axes), channels), copies.dtype)
    places = np.meshgrid(*map(_places, g.axes), indexing="ij")
    copies = copies.reshape(n, *(axis.o * axis.k for axis in g.axes), channels)
    temporary = temporary.at[(slice(None), *places)].add(copies)
    return _crop(temporary, spec)


def _places(axis: Axis) -> np.ndarray:
    """The index p*s + t*d to which tap t of element p is added, flattened (p, t)."""
    return np.add.outer(np.arange(axis.o) * axis.s, np.arange(axis.k) * axis.d).ravel()


def kernel_copies(y: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    """Each element of y times the kernel, as (n, p1, t1, p2, t2, ..., (g, c))."""
    n, *positions, channels = y.shape
    *taps, c, _ = w.shape
    o = channels // spec.groups
    y, w = y.reshape(n, -1, spec.groups, o), w.reshape(-1, c, spec.groups, o)
    copies = einsum("npgo,tcgo->nptgc", y, w, spec)
    copies = copies.reshape(n, *positions, *taps, spec.groups * c)
    d = spec.ndim
    pairs = [axis for a in range(d) for axis in (1 + a, 1 + d + a)]
    return copies.transpose(0, *pairs, 2 * d + 1)


def _crop(temporary: jax.Array, spec: Spec) -> jax.Array:
    extents = spec.geometry.read_extents
    inside = tuple(slice(e.low, e.low + e.stop - e.start) for e in extents)
    rest = [i - e.stop for i, e in zip(spec.geometry.input, extents, strict=True)]
    return pad(temporary[(slice(None), *inside)], [e.start for e in extents], rest)


def _scratch(case: Case) -> int:
    n, c, _ = case.sizes
    g = case.geometry
    itemsize = accumulator(case.dtype).itemsize
    temporary = int(np.prod([axis.reach for axis in g.axes]))
    return n * c * case.groups * (2 * g.taps * g.positions + 2 * temporary) * itemsize


LOWERING = Lowering(
    "scatter",
    "each input times the whole kernel, added up where they overlap, then cropped",
    {"input": input},
    scratch=_scratch,
    by_hand=True,
)
