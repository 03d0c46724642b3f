"""``chunks``: the kernel's gradient as a sum over parts that fit a core's cache.

XLA's convolution for this role transposes both images, so that the batch is innermost,
and then reads them many times.  In a loop over parts that fit the cache, both are
cheap.  A part is some images of the batch or, if one image is too large, a band of its
longest axis.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxconv._core.axes import Input, Kernel, Output
from jaxconv._core.dtypes import accumulator
from jaxconv._core.geometry import read_extent
from jaxconv._core.spec import Case, Spec
from jaxconv._lowerings.base import Lowering, frame, framed_bytes
from jaxconv._lowerings.general import xla

PART = 2**21  # bytes of x and y in a part; twice or half as much costs 10 %


class Parts(NamedTuple):
    """``full`` parts of ``size`` images, or positions along ``axis``, and the rest."""

    axis: int | None  # None for the batch
    size: int
    full: int
    rest: int


def kernel(x: Input, y: Output, spec: Spec) -> Kernel:
    parts = split(x.shape[0], (x.size + y.size) * x.dtype.itemsize, spec)
    if parts.full < 2:
        return xla.kernel(x, y, spec)
    compute = _images if parts.axis is None else _bands
    return compute(x, y, spec, parts)


def split(batch: int, size: int, spec: Spec) -> Parts:
    """Parts of about ``PART`` bytes; x and y have ``size`` bytes together.

    XLA is twice as fast with a multiple of 8 or 4 images as with 9.
    """
    batch = max(1, batch)
    image, positions = max(1, size // batch), spec.geometry.output
    longest = max(positions)
    if image <= PART or longest == 1:
        most = min(batch, max(1, PART // image))
        size = most - most % (8 if most >= 8 else 4 if most >= 4 else 1)
        return Parts(None, size, *divmod(batch, size))
    size = -(-longest // -(-image // PART))
    return Parts(positions.index(longest), size, *divmod(longest, size))


def gains(case: Case, images: int = 8) -> bool:
    """Whether the loop is faster.

    It is if the images do not fit the cache, the sums in a part are long, and y has
    enough channels, or enough ``images`` in a part, to fill a vector.
    """
    n, _, o = case.sizes
    size = case.bytes("input") + case.bytes("output")
    if case.role != "kernel" or size <= 1.75 * PART:
        return False
    parts = split(n, size, case.spec)
    wide = o > 16 or (o > 8 and parts.axis is None and parts.size >= images)
    whole = n if parts.axis is None else case.geometry.output[parts.axis]
    taken = 1 if parts.axis is not None else n
    return wide and case.geometry.positions * taken * parts.size >= 512 * whole


def _images(x: jax.Array, y: jax.Array, spec: Spec, parts: Parts) -> jax.Array:
    """Loops over parts, each of every ``full``-th image of the batch.

    So each part has images of every shard of a sharded batch.
    """
    size, whole = parts.size, parts.size * parts.full
    a, b = (v[:whole].reshape(size, parts.full, *v.shape[1:]) for v in (x, y))

    def add(i: jax.Array, total: jax.Array) -> jax.Array:
        x, y = (lax.dynamic_index_in_dim(v, i, 1, keepdims=False) for v in (a, b))
        return total + xla.kernel(x, y, spec)

    total = lax.fori_loop(0, parts.full, add, _zeros(x, y, spec))
    return total + xla.kernel(x[whole:], y[whole:], spec) if parts.rest else total


def _bands(x: jax.Array, y: jax.Array, spec: Spec, parts: Parts) -> jax.Array:
    """Loops over images and bands; the last bands of all images are one part."""
    axis, size, whole = parts.axis or 0, parts.size, parts.size * parts.full
    *_, along = list(spec.geometry.axes)[: axis + 1]
    x = frame(x, [read_extent(along)], axis + 1)
    band = _band(spec, axis, size)

    def part(
        v: jax.Array, image: jax.Array, start: jax.Array, length: int
    ) -> jax.Array:
        at, sizes = [jnp.zeros_like(image)] * v.ndim, [1, *v.shape[1:]]
        at[0], at[axis + 1], sizes[axis + 1] = image, start, length
        return lax.dynamic_slice(v, at, sizes)

    def add(i: jax.Array, total: jax.Array) -> jax.Array:
        image, first = i // parts.full, i % parts.full * size
        a = part(x, image, first * along.s, band.geometry.input[axis])
        return total + xla.kernel(a, part(y, image, first, size), band)

    total = lax.fori_loop(0, x.shape[0] * parts.full, add, _zeros(x, y, spec))
    if not parts.rest:
        return total
    last = _band(spec, axis, parts.rest)
    start = whole * along.s
    a = lax.slice_in_dim(x, start, start + last.geometry.input[axis], axis=axis + 1)
    b = lax.slice_in_dim(y, whole, along.o, axis=axis + 1)
    return total + kernel(a, b, last)


def _zeros(x: jax.Array, y: jax.Array, spec: Spec) -> jax.Array:
    shape = *spec.geometry.kernel, x.shape[-1], y.shape[-1]
    return jnp.zeros(shape, accumulator(x.dtype))


def _band(spec: Spec, axis: int, size: int) -> Spec:
    """The spec of ``size`` positions of one axis, which is already padded."""
    return replace(spec, geometry=spec.geometry.part(axis, size))


def refuse(case: Case) -> str | None:
    if case.groups > 1:
        return f"it does not take groups ({case.groups})"
    if case.spec.ndim > 2:
        return "it needs at most two spatial dimensions"
    return None


def scratch(case: Case) -> int:
    """The padded image, and the scratch of one part, the last one included."""
    n = case.sizes.n
    size = case.bytes("input") + case.bytes("output")
    parts = split(n, size, case.spec)
    inner = xla.scratch(case)
    if parts.full < 2:
        return inner
    total = n * case.geometry.output[parts.axis] if parts.axis is not None else n
    most = max(parts.size, parts.rest * (1 if parts.axis is None else n))
    framed = framed_bytes(case, "input") if parts.axis is not None else 0
    return framed + 2 * case.bytes("kernel") + 3 * math.ceil(inner * most / total)


LOWERING = Lowering(
    "chunks",
    "the kernel's gradient as a sum over parts that fit the cache, in a loop",
    {"kernel": kernel},
    refuse,
    scratch,
    spreads=xla.spreads,
)
