"""The sampler's primitive: three roles, closed under differentiation.

Once it is known which rows of the image a sample reads, sampling is trilinear, as a
convolution is:

    T(x, w, y) = sum of x[n, i[n, m, s] + delta[k], c] * w[n, k, m, s] * y[n, s, c]

over batch n, sample s, the terms m that one sample adds up, the corners k of the cell
that a term lies in, and channel c; i and delta are integers.  Leaving one operand open
gives one role:

    "samples"  x, w -> y   gathers rows and adds them up, weighted
    "image"    y, w -> x   adds samples to the rows that they were read from
    "weights"  x, y -> w   products of samples and the rows that they read

Each is bilinear, and its transpose with respect to either operand is another of the
three.  Positions enter through w, whose dependence on them JAX differentiates.
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
from jaxconv._core.partitioned import Partitioned, can_partition
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
    """The static part: which operand is open, where the corners lie, and the type."""

    role: Role
    deltas: Ints  # rows from a cell's first corner to each of its corners
    rows: int  # of the image
    dtype: np.dtype  # of the result
    sharding: Any = None  # the result's, where the transpose rule knows it

    @property
    def names(self) -> tuple[str, str, str]:
        return (*OPERANDS[self.role], "index")


sample_p = Primitive("jaxconv_sample")


def sample(
    image: jax.Array, weights: jax.Array, index: jax.Array, deltas: Ints
) -> jax.Array:
    """(n, r, c) rows, (n, k, m, s) weights and (n, m, s) first rows to (n, s, c)."""
    form = Form("samples", deltas, image.shape[1], np.dtype(image.dtype))
    return _bind(image, weights, index, form)


def _bind(a: Any, b: Any, index: Any, form: Form) -> jax.Array:
    """Binds the operands; inside shard_map all vary over the same mesh axes."""
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
    """Leaves the unknown operand open instead of the result, which is now known."""
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
    """A mapped axis joins channels, else samples, else the batch, in this order.

    Channels if only image and samples have it, samples if the image has it not: so
    that as little as possible is repeated.  The result is the same primitive again.
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
    """Merges the mapped axis into ``axis``; an operand without such a letter stays."""
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
    """A role computed as suits a kind of platform."""
    if 0 in (*shape, *a.shape, *b.shape):
        return jnp.zeros(shape, form.dtype)
    compute = _roles.ROLES[form.role, kind == "tpu"]
    one = partial(compute, deltas=form.deltas, rows=form.rows)

    def each(a: Any, b: Any, index: Any) -> jax.Array:
        # Side by side, since XLA would otherwise find the row anew for every channel.
        corners = jnp.stack([index + delta for delta in form.deltas], axis=1)
        with jax.named_scope(f"jaxconv.{form.role}"):
            return jax.vmap(one)(a, b, corners).astype(form.dtype)

    if kind != "cpu":
        return each(a, b, index)
    return jax.lax.cond(
        index[(0,) * index.ndim] >= 0,  # always
        each,
        lambda *_: jnp.zeros(shape, form.dtype),
        *(a, b, index),
    )


_PARTITIONED = Partitioned(_bind, 3, partial(divide, _bind), rule)


def _rule(ctx: Any, a: Any, b: Any, index: Any, *, form: Form, kind: str) -> Any:
    if can_partition(ctx):
        return _PARTITIONED.emit(ctx, form, a, b, index)
    (out,) = ctx.avals_out
    fun = partial(run, form=form, shape=out.shape, kind=kind)
    return emit(ctx, fun, a, b, index)


mlir.register_lowering(sample_p, partial(_rule, kind="default"))
for _kind in ("cpu", "tpu"):
    mlir.register_lowering(sample_p, partial(_rule, kind=_kind), platform=_kind)
