"""The sampling primitive: three roles, closed under differentiation.

An image is stored as rows, one vector of channels per pixel.  For fixed indices of the
rows that a sample reads, sampling is a trilinear form, as a convolution is:

    T(x, w, y) = sum of x[n, i[n, m, s] + delta[k], c] * w[n, k, m, s] * y[n, s, c]

over batch n, sample s, the terms m that one sample adds up, the corners k of the grid
cell that contains a term's position, and channel c; i and delta are integers.  Leaving
one operand open gives one role:

    "samples"  x, w -> y   gathers rows and adds them up with weights
    "image"    y, w -> x   scatters samples to the rows that they read
    "weights"  x, y -> w   products of samples and the rows that they read

Each is bilinear, and its transpose with respect to either operand is another of the
three, as in `jaxconv._core.contract`.  The interpolation weights w depend on the
positions in JAX operations, which JAX differentiates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jax.sharding import NamedSharding, PartitionSpec

from jaxconv._core import taylor
from jaxconv._core.geometry import Ints
from jaxconv._core.partitioned import (
    Partitioned,
    can_partition,
    in_some_axes,
    made_whole,
)
from jaxconv._core.primitive import emit, vary_alike
from jaxconv._deform import roles as _roles
from jaxconv._deform.partition import AXES, divide, rule

Role = Literal["samples", "image", "weights"]

OPERANDS: dict[Role, tuple[Role, Role]] = {
    "samples": ("image", "weights"),
    "image": ("samples", "weights"),
    "weights": ("image", "samples"),
}


@dataclass(frozen=True, slots=True)
class Form:
    """The static part: the role, the corners of a cell, and the result's type."""

    role: Role
    deltas: Ints  # number of rows from a cell's first corner to each of its corners
    rows: int  # of the image
    dtype: np.dtype  # of the result
    sharding: Any = None  # of the result, where the transpose rule knows it

    @property
    def names(self) -> tuple[str, str, str]:
        return (*OPERANDS[self.role], "index")


sample_p = Primitive("jaxconv_sample")


def sample(
    image: jax.Array, weights: jax.Array, index: jax.Array, deltas: Ints
) -> jax.Array:
    """The samples (n, s, c) of rows (n, r, c), by weights (n, k, m, s).

    ``index``, (n, m, s), has the row of the first corner of each cell.
    """
    form = Form("samples", deltas, image.shape[1], np.dtype(image.dtype))
    return _bind(image, weights, index, form)


def _bind(a: Any, b: Any, index: Any, form: Form) -> jax.Array:
    """Binds the operands, which vary over the same mesh axes inside `shard_map`."""
    return sample_p.bind(*vary_alike(a, b, index), form=form)


# Shapes and evaluation ----------------------------------------------------------------


@sample_p.def_abstract_eval
def _abstract_eval(a: Any, b: Any, index: Any, *, form: Form) -> Any:
    sizes: dict[str, int] = {"k": len(form.deltas), "r": form.rows}
    parts: dict[str, Any] = {}
    for name, aval in zip(form.names, (a, b, index), strict=True):
        sizes |= dict(zip(AXES[name], aval.shape, strict=True))
        parts |= {
            letter: parts.get(letter) or part
            for letter, part in zip(AXES[name], aval.sharding.spec, strict=True)
        }
    wanted = AXES[form.role]
    spec = PartitionSpec(*(parts.get(letter) for letter in wanted))
    sharding = form.sharding or NamedSharding(a.sharding.mesh, spec)
    shape = tuple(sizes[letter] for letter in wanted)
    return a.update(shape=shape, dtype=form.dtype, weak_type=False, sharding=sharding)


# The library never jits its callers; this is how a primitive runs outside jit.
sample_p.def_impl(jax.jit(sample_p.bind, static_argnames="form"))


# Derivatives --------------------------------------------------------------------------


def _transpose(cotangent: Any, a: Any, b: Any, index: Any, *, form: Form) -> Any:
    """The cotangent of the undefined operand, by the role that computes it."""
    position = 0 if ad.is_undefined_primal(a) else 1
    aval = (a, b)[position].aval
    if type(cotangent) is ad.Zero:
        result: Any = ad.Zero(aval)
    else:
        wanted, other = form.names[position], form.names[1 - position]
        known = {form.role: cotangent, other: (a, b)[1 - position]}
        sharding = None if aval.sharding.mesh.empty else aval.sharding
        turned = replace(form, role=wanted, dtype=aval.dtype, sharding=sharding)
        first, second = OPERANDS[turned.role]
        result = _bind(known[first], known[second], index, turned)
    return (result, None, None) if position == 0 else (None, result, None)


ad.defjvp(
    sample_p,
    lambda tangent, a, b, index, form: _bind(tangent, b, index, form),
    lambda tangent, a, b, index, form: _bind(a, tangent, index, form),
    None,
)
ad.primitive_transposes[sample_p] = _transpose


# Batching -----------------------------------------------------------------------------


def _batch(args: Sequence[Any], dims: Sequence[Any], *, form: Form) -> Any:
    """Merges the mapped axis into channels, samples or batch.

    It is merged into the channels if only image and samples are mapped, into the
    samples if the image is not, and else into the batch.  This repeats as little as
    possible of the operands that are not mapped.  The result is this primitive again.
    """
    mapped = {form.role} | {
        name for name, dim in zip(form.names, dims, strict=True) if dim is not None
    }
    size = next(v.shape[d] for v, d in zip(args, dims, strict=True) if d is not None)
    only_channels = mapped <= {"image", "samples"}
    letter = "c" if only_channels else "n" if "image" in mapped else "s"
    a, b, index = (
        _join(v, dim, size, AXES[name].find(letter))
        for name, v, dim in zip(form.names, args, dims, strict=True)
    )
    out = _bind(a, b, index, replace(form, sharding=None))
    axis = AXES[form.role].index(letter)
    before, after = out.shape[:axis], out.shape[axis + 1 :]
    return out.reshape(*before, size, out.shape[axis] // size, *after), axis


def _join(v: jax.Array, dim: int | None, size: int, axis: int) -> jax.Array:
    """Merges the mapped axis into ``axis``, if the operand has the letter at all."""
    if axis < 0:
        return v
    if dim is None:
        v, dim = jnp.broadcast_to(v, (size, *v.shape)), 0
    v = jnp.moveaxis(v, dim, axis)
    before, after = v.shape[:axis], v.shape[axis + 2 :]
    return v.reshape(*before, size * v.shape[axis + 1], *after)


batching.primitive_batchers[sample_p] = _batch
taylor.register(sample_p)


# Lowering -----------------------------------------------------------------------------


def run(a: Any, b: Any, index: Any, *, form: Form, shape: Ints, kind: str) -> Any:
    """Computes a role in the way for this kind of platform."""
    if 0 in (*shape, *a.shape, *b.shape):
        return jnp.zeros(shape, form.dtype)
    compute = _roles.ROLES[form.role, kind == "tpu"]
    one = partial(compute, deltas=form.deltas, rows=form.rows)

    def each(a: Any, b: Any, index: Any) -> jax.Array:
        # Stacked, because XLA would otherwise compute the index once per channel.
        corners = jnp.stack([index + delta for delta in form.deltas], axis=1)
        with jax.named_scope(f"jaxconv.{form.role}"):
            return jax.vmap(one)(a, b, corners).astype(form.dtype)

    if kind != "cpu":
        return each(a, b, index)
    # The condition always holds.  XLA does not fuse across a conditional; without it, a
    # CPU would compute rows and weights again for every channel of what follows.
    return jax.lax.cond(
        index[(0,) * index.ndim] >= 0,
        each,
        lambda *_: jnp.zeros(shape, form.dtype),
        *(a, b, index),
    )


_PARTITIONED = Partitioned(_bind, 3, partial(divide, _bind), rule)


def _rule(ctx: Any, a: Any, b: Any, index: Any, *, form: Form, kind: str) -> Any:
    if can_partition(ctx):
        return _PARTITIONED.emit(ctx, form, a, b, index)
    (out,) = ctx.avals_out
    fun: Any = partial(run, form=form, shape=out.shape, kind=kind)
    if in_some_axes(ctx):
        fun = made_whole(fun)
    return emit(ctx, fun, a, b, index)


mlir.register_lowering(sample_p, partial(_rule, kind="default"))
for _kind in ("cpu", "tpu"):
    mlir.register_lowering(sample_p, partial(_rule, kind=_kind), platform=_kind)
