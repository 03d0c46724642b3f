"""Padding by reflection, replication or wrapping, and its transpose, as a primitive.

JAX writes these modes as slices and concatenations.  XLA's partitioner computes wrong
values for them, or ends the process, if a spatial axis is sharded over devices that do
not divide its padded size.  A primitive can define its own partitioning: this one
gathers the padded axes and keeps the sharding of all others.

Padding is linear.  Its transpose adds the cotangent of each padded element to the
element that it is a copy of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jaxconv._core import taylor
from jaxconv._core.devices import Digits
from jaxconv._core.explicit import possible
from jaxconv._core.geometry import Ints
from jaxconv._core.partitioned import (
    Partitioned,
    Shards,
    can_partition,
    in_some_axes,
    made_whole,
)
from jaxconv._core.primitive import emit, like
from jaxconv._core.share import Held, Key, share

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Padding:
    """The static part: NumPy's mode, (low, high) of each axis, and the direction."""

    mode: str
    widths: Pairs
    back: bool = False  # whether it is the transpose
    sharding: Any = None  # of the result, where the transpose rule knows it

    @property
    def role(self) -> str:
        return "unpad" if self.back else "pad"

    @property
    def free(self) -> Ints:
        """The axes without padding."""
        pairs = enumerate(self.widths)
        return tuple(axis for axis, pair in pairs if pair == (0, 0))

    def result_shape(self, shape: Sequence[int]) -> Ints:
        sign = -1 if self.back else 1
        pairs = zip(shape, self.widths, strict=True)
        return tuple(size + sign * (low + high) for size, (low, high) in pairs)


pad_p = Primitive("jaxconv_pad")


def pad(x: jax.Array, mode: str, widths: Pairs) -> jax.Array:
    """`jax.numpy.pad` in a mode that copies elements of the image."""
    return pad_p.bind(x, padding=Padding(mode, widths))


def unpad(y: jax.Array, mode: str, widths: Pairs) -> jax.Array:
    """The transpose of `pad`, from the padded shape to that of the image."""
    return pad_p.bind(y, padding=Padding(mode, widths, back=True))


def run(x: jax.Array, padding: Padding) -> jax.Array:
    """Computes the primitive with JAX's own operations."""
    forward: Any = partial(jnp.pad, pad_width=padding.widths, mode=padding.mode)
    if not padding.back:
        return forward(x)
    image = like(padding.result_shape(x.shape), x)
    return jax.linear_transpose(forward, image)(x)[0]


@pad_p.def_abstract_eval
def _abstract_eval(x: Any, *, padding: Padding) -> Any:
    shape = padding.result_shape(x.shape)
    sharding = padding.sharding or x.sharding
    if padding.sharding is None and not x.sharding.mesh.empty:
        sharding = possible(x.sharding.mesh, tuple(x.sharding.spec), shape)
    return x.update(shape=shape, weak_type=False, sharding=sharding)


# The library never jits its callers; this is how a primitive runs outside jit.
pad_p.def_impl(jax.jit(pad_p.bind, static_argnames="padding"))


def _transpose(cotangent: Any, x: Any, *, padding: Padding) -> list[Any]:
    sharding = None if x.aval.sharding.mesh.empty else x.aval.sharding
    turned = replace(padding, back=not padding.back, sharding=sharding)
    return [pad_p.bind(cotangent, padding=turned)]


def _batch(args: Sequence[Any], dims: Sequence[Any], *, padding: Padding) -> Any:
    (x,), (dim,) = args, dims
    x = jnp.moveaxis(x, dim, 0)
    widths = ((0, 0), *padding.widths)
    return pad_p.bind(x, padding=replace(padding, widths=widths, sharding=None)), 0


ad.deflinear2(pad_p, _transpose)
batching.primitive_batchers[pad_p] = _batch
taylor.register_linear(pad_p)


# Lowering -----------------------------------------------------------------------------


def _divide(
    padding: Padding, arrays: tuple[Any, ...], lying: tuple[Digits, ...], bases: Ints
) -> Shards:
    """Axes without padding keep their sharding; each device gathers the others."""
    free = padding.free
    whole: dict[Key, int] = {axis: arrays[0].shape[axis] for axis in free}
    letters = tuple((axis,) if axis in free else () for axis in range(arrays[0].ndim))
    held = [
        Held(letters, axes, np.dtype(v.dtype).itemsize * v.size)
        for v, axes in zip(arrays, lying, strict=True)
    ]
    shared = share(held, whole, bases)
    digits = tuple(shared.get(axis, ()) for axis in range(arrays[0].ndim))
    return Shards((digits,), digits, partial(run, padding=padding))


def _spread(padding: Padding, arrays: tuple[Any, ...]) -> tuple[str, dict[str, int]]:
    """The sharding rule: both arrays are sharded alike on axes without padding."""
    del arrays
    before = [f"a{axis}" for axis in range(len(padding.widths))]
    after = [
        name if pair == (0, 0) else f"b{axis}"
        for axis, (name, pair) in enumerate(zip(before, padding.widths, strict=True))
    ]
    return f"{' '.join(before)} -> {' '.join(after)}", {}


_PARTITIONED = Partitioned(
    lambda x, padding: pad_p.bind(x, padding=padding), 1, _divide, _spread
)


def _rule(ctx: Any, x: Any, *, padding: Padding) -> Any:
    if can_partition(ctx):
        return _PARTITIONED.emit(ctx, padding, x)
    fun: Any = partial(run, padding=padding)
    if in_some_axes(ctx):
        fun = made_whole(fun, padding.free)
    return emit(ctx, fun, x)


mlir.register_lowering(pad_p, _rule)
