"""The one primitive: three roles, and the rules that close them under differentiation.

Forget groups and space for a moment.  Then T(x, w, y) = sum x[n,c] w[o,c] y[n,o],

    output  y = x wᵀ      input  x = y w      kernel  w = yᵀ x

are three matrix products.  A role takes two of x, w and y, and computes the gradient of
T with respect to the third.  If one operand is fixed, the role is a linear map of the
other operand.  The transpose of that map takes a cotangent of the result, which has the
shape of the third array, to a cotangent of the other operand.  That is the gradient of
T with respect to the other operand, so it is another role:

    role        d/d first operand      d/d second operand
    output      input  (y, w -> x)     kernel (x, y -> w)
    input       output (x, w -> y)     kernel (x, y -> w)
    kernel      input  (y, w -> x)     output (x, w -> y)

Groups and space only add letters to the sum, so the table stays true with them.  That
is why no rule below contains a padding, a flip or a stride, and why gradients of every
order are contractions with the same geometry.
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
    """Computes the role ``spec.role`` from its two operands, ``spec.operands``."""
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
    """The cotangent of operand ``position``, from the result's cotangent.

    The result's cotangent has the shape of the result, so it takes the result's place
    in T; the role becomes the operand that is differentiated.
    """
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
    """Merges the mapped axis into an axis that the operands already have.

    If both operands are mapped, the axis multiplies the groups, because example b of
    one operand meets only example b of the other.  If one operand is mapped, the axis
    is merged into the letter that this operand shares with the result and the other
    operand lacks: n, c or o.  The sum does not run over that letter, so the examples
    stay separate.  Either way the result is this primitive again, and a vmapped
    gradient can use every lowering.
    """
    size = next(v.shape[d] for v, d in zip(args, dims, strict=True) if d is not None)
    fun = partial(_mapped, dims=dims, size=size, spec=spec)
    sharding = mapped_sharding(args, dims, size, spec)
    if sharding is not None:  # a merged axis may have no sharding as a type
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
    """The axis that the mapped one is merged into, and the number of groups on it.

    Channels are group-major, (g, c): the mapped axis goes between g and c.
    """
    axis = spec.axis(operand, letter or GROUPED[operand])
    return axis, spec.groups if letter == GROUPED[operand] else 1


def _join(v: jax.Array, dim: int, place: tuple[int, int]) -> jax.Array:
    """Merges axis ``dim`` into the axis ``place``, after its groups."""
    axis, outer = place
    v = jnp.moveaxis(v, dim, 0)
    size, *shape = v.shape
    before, extent, after = shape[:axis], shape[axis], shape[axis + 1 :]
    v = v.reshape(size, *before, outer, extent // outer, *after)
    return jnp.moveaxis(v, 0, axis + 1).reshape(*before, size * extent, *after)


def _part(v: jax.Array, size: int, place: tuple[int, int]) -> jax.Array:
    """The inverse of `_join`: moves the merged axis to the front."""
    axis, outer = place
    before, extent, after = v.shape[:axis], v.shape[axis] // size, v.shape[axis + 1 :]
    v = v.reshape(*before, outer, size, extent // outer, *after)
    return jnp.moveaxis(v, axis + 1, 0).reshape(size, *before, extent, *after)


batching.primitive_batchers[contract_p] = _batch
taylor.register(contract_p)
