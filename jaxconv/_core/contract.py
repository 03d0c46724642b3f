"""The one primitive: three roles, and the rules that close them under differentiation.

Forget groups and space for a moment.  Then T(x, w, y) = sum x[n,c] w[o,c] y[n,o],

    output  y = x wᵀ      input  x = y w      kernel  w = yᵀ x

are three matrix products.  Each is bilinear; its transpose with respect to either
operand leaves that operand open instead, and so is another of the three.  The same
is true with groups and space put back.  No rule below has a padding, a flip or a
stride.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching

from jaxconv._core import taylor
from jaxconv._core.explicit import mapped_sharding, result_sharding
from jaxconv._core.primitive import vary_alike
from jaxconv._core.spec import GROUPED, LETTERS, Letter, Role, Spec

contract_p = Primitive("jaxconv_contract")


def contract(a: Any, b: Any, spec: Spec) -> jax.Array:
    """Contracts two operands of T; ``spec.operands`` says which they are."""
    return contract_p.bind(*vary_alike(a, b), spec=spec)


# Shapes and evaluation ----------------------------------------------------------------


@contract_p.def_abstract_eval
def _abstract_eval(a: Any, b: Any, *, spec: Spec) -> Any:
    shape = spec.result_shape(a.shape, b.shape)
    sharding = result_sharding(a, b, spec)
    return a.update(shape=shape, dtype=spec.dtype, weak_type=False, sharding=sharding)


# The library never jits its callers; this is how a primitive runs outside jit.
contract_p.def_impl(jax.jit(contract_p.bind, static_argnames="spec"))


# Derivatives --------------------------------------------------------------------------


def _transpose(position: int, cotangent: Any, *operands: Any, spec: Spec) -> Any:
    """Leaves operand ``position`` open instead of the result, which is now known."""
    wanted, other = spec.operands[position], spec.operands[1 - position]
    known = {spec.role: cotangent, other: operands[1 - position]}
    aval = operands[position].aval
    sharded = not aval.sharding.mesh.empty
    turned = replace(
        spec,
        role=wanted,
        dtype=aval.dtype,
        sharding=aval.sharding if sharded else None,
    )
    first, second = turned.operands
    return contract(known[first], known[second], turned)


ad.defbilinear(contract_p, partial(_transpose, 0), partial(_transpose, 1))


# Batching -----------------------------------------------------------------------------


def _batch(args: Sequence[Any], dims: Sequence[Any], *, spec: Spec) -> Any:
    """A mapped axis joins an axis that the operands have already.

    Mapped in both operands it multiplies the groups.  Mapped in one it joins the letter
    that this operand shares with the result: n, c or o.  So the result is the same
    primitive again, and a gradient of a vmap has the same lowerings as any other.
    """
    size = next(v.shape[d] for v, d in zip(args, dims, strict=True) if d is not None)
    fun = partial(_mapped, dims=dims, size=size, spec=spec)
    sharding = mapped_sharding(args, dims, size, spec)
    if sharding is not None:  # merged axes need not have a sharding of their own
        fun = jax.sharding.auto_axes(fun, out_sharding=sharding)
    return fun(*args), 0


def _mapped(*args: jax.Array, dims: Sequence[Any], size: int, spec: Spec) -> jax.Array:
    mapped = [dim is not None for dim in dims]
    letter: Letter | None = None  # groups
    if not all(mapped):
        shared = set(LETTERS[spec.operands[mapped.index(True)]]) & set(
            LETTERS[spec.role]
        )
        (letter,) = shared
    place = _place(spec, spec.role, letter)
    first, second = (
        v if dim is None else _join(v, dim, _place(spec, operand, letter))
        for v, dim, operand in zip(args, dims, spec.operands, strict=True)
    )
    spec = replace(spec, sharding=None)
    if letter is None:
        spec = replace(spec, groups=spec.groups * size, mapped=True)
    out = contract(first, second, spec)
    return _part(out, size, place)


def _place(spec: Spec, operand: Role, letter: Letter | None) -> tuple[int, int]:
    """The axis that takes the mapped one up, and the groups that stand before it."""
    axis = spec.axis(operand, letter or GROUPED[operand])
    return axis, spec.groups if letter == GROUPED[operand] else 1


def _join(v: jax.Array, dim: int, place: tuple[int, int]) -> jax.Array:
    axis, outer = place
    v = jnp.moveaxis(v, dim, 0)
    size, *shape = v.shape
    before, extent, after = shape[:axis], shape[axis], shape[axis + 1 :]
    v = v.reshape(size, *before, outer, extent // outer, *after)
    return jnp.moveaxis(v, 0, axis + 1).reshape(*before, size * extent, *after)


def _part(v: jax.Array, size: int, place: tuple[int, int]) -> jax.Array:
    axis, outer = place
    before, extent, after = v.shape[:axis], v.shape[axis] // size, v.shape[axis + 1 :]
    v = v.reshape(*before, outer, size, extent // outer, *after)
    return jnp.moveaxis(v, axis + 1, 0).reshape(size, *before, extent, *after)


batching.primitive_batchers[contract_p] = _batch
taylor.register(contract_p)
