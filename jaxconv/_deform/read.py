"""Checks shapes and options of deformable convolution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxconv._border import arguments as can
from jaxconv._border import limits
from jaxconv._core.dtypes import accumulator
from jaxconv._core.geometry import Geometry, Ints
from jaxconv._core.spec import Layout, Role
from jaxconv._deform.columns import Samples, multiply
from jaxconv._deform.frame import Frame

IMPLEMENTATIONS = ("columns", "chunks")
MEMORY_LIMIT = {"cpu": 2**22, "other": 2**28}  # bytes of columns at a time
PARTS = 10  # a chunk has at most one tenth of all columns


class Deform(NamedTuple):
    """A checked call; computes with channels last."""

    geometry: Geometry
    layout: Layout
    groups: int  # of the kernel
    offset_groups: int
    chunks: int
    precision: Any

    def columns(self, offset: jax.Array, mask: jax.Array | None) -> Samples:
        """What each output position reads, by tap and offset group."""
        frame = Frame(self.geometry.input, self.offset_groups)
        positions = self.positions(offset)
        factor = None if mask is None else self._per_sample(mask, 1)[..., 0, :]
        return Samples(*frame.locate(positions, factor), frame.deltas)

    def positions(self, offset: jax.Array) -> list[jax.Array]:
        """The positions that are read, in elements: (n, positions, taps, groups) each.

        There is one array per spatial axis.
        """
        moved = self._per_sample(offset, self.geometry.ndim)
        return [
            base[None, :, :, None] + moved[..., axis, :]
            for axis, base in enumerate(_places(self.geometry, moved.dtype))
        ]

    def _per_sample(self, v: jax.Array, parts: int) -> jax.Array:
        split = (self.offset_groups, self.geometry.taps, parts)
        return per_sample(v, split, self.geometry, self.layout)

    def __call__(self, x: jax.Array, samples: Samples, kernel: jax.Array) -> jax.Array:
        """From x (n, c, *space) to (n, o, *out), or both with channels last."""
        first = self.layout.first
        x = jnp.moveaxis(x, 1, -1) if first else x
        rows = Frame(self.geometry.input, self.offset_groups).rows(x)
        y = multiply(
            rows,
            samples,
            self._by_tap(kernel),
            chunks=self.chunks,
            precision=self.precision,
        )
        y = y.reshape(x.shape[0], *self.geometry.output, y.shape[-1])
        return jnp.moveaxis(y, -1, 1) if first else y

    def _by_tap(self, kernel: jax.Array) -> jax.Array:
        """The kernel as (groups, taps, c, o)."""
        taps = self.geometry.taps
        if self.layout.first:
            o, c = kernel.shape[:2]
            parts = kernel.reshape(self.groups, o // self.groups, c, taps)
            return parts.transpose(0, 3, 2, 1)
        c, o = kernel.shape[-2:]
        parts = kernel.reshape(taps, c, self.groups, o // self.groups)
        return parts.transpose(2, 0, 1, 3)


def per_sample(
    v: jax.Array, split: tuple[int, int, int], geometry: Geometry, layout: Layout
) -> jax.Array:
    """Splits channels (groups, taps, parts) into (n, positions, taps, parts, groups).

    The result is at least float32, because 16-bit types are too coarse for positions.
    """
    v = v.astype(accumulator(v.dtype))
    n, positions = v.shape[0], geometry.positions
    if layout.first:
        return v.reshape(n, *split, positions).transpose(0, 4, 2, 3, 1)
    return v.reshape(n, positions, *split).transpose(0, 1, 3, 4, 2)


def _places(geometry: Geometry, dtype: Any) -> list[jax.Array]:
    """The positions that taps read without offsets: (positions, taps) for each axis."""
    places: list[jax.Array] = []
    shape = (*geometry.output, *geometry.kernel)
    for number, axis in enumerate(geometry.axes):
        start = jnp.arange(axis.o) * axis.s - axis.lo
        place = start[:, None] + (jnp.arange(axis.k) * axis.d)[None, :]
        along = [1] * len(shape)
        along[number], along[number + geometry.ndim] = axis.o, axis.k
        place = jnp.broadcast_to(place.reshape(along), shape)
        flat = place.reshape(geometry.positions, geometry.taps)
        places.append(flat.astype(dtype))
    return places


# Arrays and their shapes --------------------------------------------------------------


def arrays(**given: Any) -> SimpleNamespace:
    """Checks arrays of one floating type, by name; bias and mask may be None."""
    read = {
        k: None if v is None and k in ("bias", "mask") else can.array(k, v)
        for k, v in given.items()
    }
    for name, v in read.items():
        if v is not None and not jnp.issubdtype(v.dtype, jnp.floating):
            rule = "is not a floating type, which positions between pixels need"
            remedy = f"Write {name}.astype(jax.numpy.float32)"
            can.fail(f"{name}.dtype", v.dtype.name, rule, remedy, TypeError)
    can.same_dtype(**read)
    return SimpleNamespace(**read)


def offset_groups(
    offset: Sequence[int], taps: int, c: int, ndim: int, layout: Layout
) -> int:
    """The number of offset groups, which must divide the channels of x."""
    each, found = ndim * taps, offset[layout.channel]
    what = f"{taps} taps with {ndim} offset{'s' if ndim > 1 else ''} each"
    if found == 0 or found % each:
        rule = f"has {found} channels, which must be a multiple of {each} ({what})"
        remedy = f"Give it {each} channels per offset group"
        can.fail("offset.shape", tuple(offset), rule, remedy)
    groups = found // each
    if c % groups:
        rule = (
            f"has {found} channels, that is {groups} offset groups of {each} ({what})"
        )
        rule += f", which do not divide x's {c} channels"
        remedy = f"Give it {each} times a number that divides {c}"
        can.fail("offset.shape", tuple(offset), rule, remedy)
    return groups


def matches(
    name: str, shape: Sequence[int], wanted: Sequence[int], reason: str
) -> None:
    """Refuses an array whose shape is not exactly ``wanted``."""
    if tuple(shape) != tuple(wanted):
        rule = f"must be {tuple(wanted)}: {reason}"
        can.fail(f"{name}.shape", tuple(shape), rule, "Give it that shape")


def at_positions(n: int, c: int, geometry: Geometry, layout: Layout) -> Ints:
    """The shape of an array with c channels at every output position."""
    if layout.first:
        return (n, c, *geometry.output)
    return (n, *geometry.output, c)


def check_offset(
    offset: Ints,
    factor: tuple[str, Ints] | None,
    n: int,
    c: int,
    geometry: Geometry,
    taps: int,
    layout: Layout,
) -> int:
    """The number of offset groups; refuses wrong shapes of offset and factor.

    ``factor`` is the name and the shape of the mask or the weights.
    """
    if len(offset) != geometry.ndim + 2:
        rule = f"has {len(offset)} axes with its batch, but x has {geometry.ndim + 2}"
        can.fail("offset.shape", offset, rule, "Give both a batch axis, or none")
    groups = offset_groups(offset, taps, c, geometry.ndim, layout)
    found = offset[layout.channel]
    reason = f"batch {n}, {found} channels, and the output's size {geometry.output}"
    reason += ", which follows from x, kernel, stride and padding"
    matches("offset", offset, at_positions(n, found, geometry, layout), reason)
    if factor is not None:
        reason = f"one channel per offset group and tap ({groups} and {taps}"
        reason += ", as offset has them), at every position of the output"
        wanted = at_positions(n, groups * taps, geometry, layout)
        matches(factor[0], factor[1], wanted, reason)
    return groups


class Options(NamedTuple):
    """Options that do not change the result; `deform` checks the first two."""

    implementation: Any
    memory_limit: Any
    precision: Any


def deform(
    role: Role,
    geometry: Geometry,
    layout: Layout,
    groups: int,
    shape: Sequence[int],
    offset: jax.Array,
    mask: jax.Array | None,
    options: Options,
) -> Deform:
    """Checks a call with an image of this shape, (n, c, ...) or (n, ..., c)."""
    n, c = shape[0], shape[layout.channel]
    factor = None if mask is None else ("mask", mask.shape)
    taps = geometry.taps
    within_limits(role, geometry, layout, shape)
    count = check_offset(offset.shape, factor, n, c, geometry, taps, layout)
    asked = options.implementation
    if asked is not None:
        can.choice("implementation", asked, IMPLEMENTATIONS)
    each = n * c * taps * np.dtype(offset.dtype).itemsize
    parts = chunks(asked, options.memory_limit, each, geometry.positions)
    precision = can.precision(options.precision)
    countable("x.shape", shape, Frame(geometry.input, count))
    return Deform(geometry, layout, groups, count, parts, precision)


def within_limits(
    role: Role, geometry: Geometry, layout: Layout, shape: Sequence[int]
) -> None:
    """Refuses an image that is too large; role "input" means that it is the result.

    The result of a convolution has the size of the offset, which already exists.
    """
    image = limits.Image("x.shape", tuple(shape), layout.space(shape))
    limits.axes(role, geometry, image)
    n, c = shape[0], shape[layout.channel]
    limits.array("x.shape", tuple(shape), (n, c, *geometry.input))


def countable(name: str, shape: Sequence[int], frame: Frame) -> None:
    """Refuses an image whose rows need more than 32-bit indices."""
    rows = math.prod(frame.sizes) * frame.groups
    limits.indexed(name, tuple(shape), "rows of an image", rows)


def with_batch(has_batch: bool, *arrays: Any) -> list[Any]:
    """The arrays with a batch axis in front; None stays None."""
    return [v if v is None or has_batch else v[None] for v in arrays]


def finish(
    y: jax.Array, bias: jax.Array | None, layout: Layout, has_batch: bool
) -> jax.Array:
    """Adds the bias, and removes the batch axis if x came without one."""
    if bias is not None:
        shape = [1] * y.ndim
        shape[1 if layout.first else -1] = -1
        y = y + bias.reshape(shape)
    return y if has_batch else y[0]


# Memory -------------------------------------------------------------------------------


def chunks(asked: str | None, limit: Any, each: int, positions: int) -> int:
    """The number of chunks of output positions; a column has ``each`` bytes.

    The default limit depends on JAX's default platform: on a CPU columns should stay in
    the cache, on an accelerator the products should be large.
    """
    if limit is None:
        limit = MEMORY_LIMIT["cpu" if jax.default_backend() == "cpu" else "other"]
    limit = can.integer("memory_limit", limit, 1)
    total = each * positions
    if total == 0 or asked == "columns" or (asked is None and total <= limit):
        return 1
    if asked == "chunks":
        limit = min(limit, total // PARTS)
    length = max(1, limit // each)
    return max(1, math.ceil(positions / length))
