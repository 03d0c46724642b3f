"""``chunks``: the kernel's gradient as a sum over parts that a core's cache holds.

XLA's convolution for this role first puts both images in another order, with the batch
innermost, and then reads them again and again.  In a loop over parts, each small enough
to stay in the cache meanwhile, both are cheap.  A part is some images of the batch, or
where one image is too large a band of its longest axis.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxconv._core.dtypes import accumulator
from jaxconv._core.geometry import Geometry, read_extent
from jaxconv._core.spec import Case, Shape, Spec
from jaxconv._lowerings.base import Lowering, frame, framed_bytes
from jaxconv._lowerings.general import xla

PART = 2**21  # bytes of x and y together in a part; twice and half as much cost 10 %


class Parts(NamedTuple):
    """``full`` parts of ``size`` images, or positions of ``axis``, and the rest."""

    axis: int | None  # None for the batch
    size: int
    full: int
    rest: int


def kernel(x: jax.Array, y: jax.Array, spec: Spec) -> jax.Array:
    parts = split(x.shape[0], (x.size + y.size) * x.dtype.itemsize, spec)
    if parts.full < 2:
        return xla.kernel(x, y, spec)
    compute = _images if parts.axis is None else _bands
    return compute(x, y, spec, parts)


def split(batch: int, size: int, spec: Spec) -> Parts:
    """Parts of about ``PART`` bytes of x's and y's ``size``.

    XLA is twice as quick with a whole multiple of 8 images, or of 4, as with 9.
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
    """Where the loop is quicker: y wide, images past the cache, long sums in a part.

    Fewer channels of y are fewer than a vector has, unless ``images`` fill it up.
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
    """Every ``full``-th image makes a part: a batch in shards stays in them."""
    size, whole = parts.size, parts.size * parts.full
    a, b = (v[:whole].reshape(size, parts.full, *v.shape[1:]) for v in (x, y))

    def add(i: jax.Array, total: jax.Array) -> jax.Array:
        x, y = (lax.dynamic_index_in_dim(v, i, 1, keepdims=False) for v in (a, b))
        return total + xla.kernel(x, y, spec)

    total = lax.fori_loop(0, parts.full, add, _zeros(x, y, spec))
    return total + xla.kernel(x[whole:], y[whole:], spec) if parts.rest else total


def _bands(x: jax.Array, y: jax.Array, spec: Spec, parts: Parts) -> jax.Array:
    """Image by image and band by band; the last bands of all images are one part."""
    axis, size, whole = parts.axis or 0, parts.size, parts.size * parts.full
    *_, along = list(spec.geometry.axes)[: axis + 1]
    x = frame(x, [read_extent(along)], axis + 1)
    band = _band(spec, axis, size)

    def part(
        v: jax.Array, image: jax.Array, start: jax.Array, length: int
    ) -> jax.Array:
        at = [jnp.zeros_like(image)] * v.ndim
        at[0], at[axis + 1] = image, start
        return lax.dynamic_slice(v, at, (1, *_with(v.shape[1:], axis, length)))

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
    """``size`` positions of one axis, which is framed already."""
    g = spec.geometry
    reach = (size - 1) * g.stride[axis] + list(g.axes)[axis].span
    geometry = Geometry(
        _with(g.input, axis, reach),
        g.kernel,
        _with(g.output, axis, size),
        g.stride,
        g.dilation,
        _with(g.low, axis, 0),
    )
    return replace(spec, geometry=geometry)


def _with(values: Shape, axis: int, value: int) -> Shape:
    return *values[:axis], value, *values[axis + 1 :]


def refuse(case: Case) -> str | None:
    if case.groups > 1:
        return f"it does not take groups ({case.groups})"
    if case.spec.ndim > 2:
        return "it needs at most two spatial dimensions"
    return None


def scratch(case: Case) -> int:
    """The framed image, and of one part, the last included, what computes it needs."""
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
