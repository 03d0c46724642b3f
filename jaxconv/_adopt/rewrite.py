"""Rewrites the convolutions of lax in a jaxpr as contractions.

A jaxpr stays as it is but for its convolutions, so everything else in it (donation,
name scopes, rematerialisation, sharding) keeps its meaning.  Jaxprs inside, of whatever
equation, are rewritten in place.  A function with derivative rules of its own keeps the
rules, and what they compute is rewritten too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import jax
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, jaxpr_as_fun

from jaxconv._adopt.lax import convolve
from jaxconv._core.calls import LEFT, OBJECT, expanded

# A rewritten jaxpr has to be the same object each time: jit's cache compares it.
_DONE: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
_LOCK = threading.RLock()
_CUSTOM = ("custom_jvp_call", "custom_vjp_call")


def rewrite(jaxpr: Any) -> Any:
    """A jaxpr, open or closed, with contractions for convolutions; itself if none."""
    with _LOCK:
        if jaxpr not in _DONE:
            _DONE[jaxpr] = _rewritten(jaxpr)
        # None stands for the key itself, which the dictionary must not keep alive.
        return _DONE[jaxpr] or jaxpr


def rewritten(fn: Callable[..., Any], *args: Any) -> Any:
    """``fn(*args)``, traced and rewritten; all that is not an array is static."""
    leaves, tree = jax.tree.flatten(args)
    dynamic = [isinstance(leaf, (jax.Array, np.ndarray)) for leaf in leaves]
    arrays = [leaf for leaf, is_array in zip(leaves, dynamic, strict=True) if is_array]
    static: list[Any] = []

    def flat(*values: Any) -> list[Any]:
        supply = iter(values)
        merged = [
            next(supply) if is_array else leaf
            for leaf, is_array in zip(leaves, dynamic, strict=True)
        ]
        out, structure = jax.tree.flatten(fn(*jax.tree.unflatten(tree, merged)))
        kept = [None if isinstance(v, jax.Array) else (v,) for v in out]
        static[:] = [structure, kept]
        return [v for v in out if isinstance(v, jax.Array)]

    closed = jax.make_jaxpr(flat)(*arrays)
    computed = iter(jaxpr_as_fun(rewrite(closed))(*arrays))
    structure, kept = static
    return jax.tree.unflatten(structure, [v[0] if v else next(computed) for v in kept])


def _rewritten(jaxpr: Any) -> Any | None:
    pairs = [(eqn, _equations(eqn)) for eqn in jaxpr.eqns]
    if all(new is None for _, new in pairs):
        return None
    eqns = [e for eqn, new in pairs for e in ([eqn] if new is None else new)]
    if isinstance(jaxpr, Jaxpr):
        return jaxpr.replace(eqns=eqns)
    return jaxpr.replace(jaxpr=jaxpr.jaxpr.replace(eqns=eqns))


def _equations(eqn: JaxprEqn) -> list[JaxprEqn] | None:
    """What to put in an equation's place; None leaves it."""
    if eqn.primitive is lax.conv_general_dilated_p:
        return _traced(partial(convolve, **eqn.params), eqn)
    name = eqn.primitive.name
    if name in LEFT:
        return None
    if name == OBJECT:
        return _object(eqn)
    params = {key: _rewritten_in(value) for key, value in eqn.params.items()}
    if all(params[key] is value for key, value in eqn.params.items()):
        return None
    if name == "linear_call":
        params["transpose_thunk"] = _transposed(eqn.params["transpose_thunk"])
    if name in _CUSTOM:
        wrap = _custom_jvp if name == "custom_jvp_call" else _custom_vjp
        return _traced(wrap(eqn, params["call_jaxpr"]), eqn)
    return [eqn.replace(params=params)]


def _rewritten_in(value: Any) -> Any:
    if isinstance(value, (Jaxpr, ClosedJaxpr)):
        return rewrite(value)
    if isinstance(value, (tuple, list)):
        parts: Any = value
        new = list(map(_rewritten_in, parts))
        if all(map(lambda a, b: a is b, parts, new)):
            return parts
        named: Any = getattr(parts, "_make", type(parts))
        return named(new)
    return value


def _transposed(thunk: Callable[[], Any]) -> Callable[[], Any]:
    """What makes the transpose of a linear call, rewritten when it is asked for."""

    def rewritten_thunk() -> Any:
        jaxpr, consts = thunk()
        return rewrite(jaxpr), consts

    return rewritten_thunk


def _traced(fn: Callable[..., Any], eqn: JaxprEqn) -> list[JaxprEqn]:
    """The equations of a function of an equation's operands, in its place."""
    with eqn.ctx.manager:
        closed = jax.make_jaxpr(fn)(*(v.aval for v in eqn.invars))
    names: dict[Any, Any] = dict(zip(closed.jaxpr.invars, eqn.invars, strict=True))
    consts = zip(closed.jaxpr.constvars, closed.consts, strict=True)
    names |= {var: Literal(value, var.aval) for var, value in consts}
    names |= dict(zip(closed.jaxpr.outvars, eqn.outvars, strict=True))

    def renamed(atoms: Sequence[Any]) -> list[Any]:
        return [v if isinstance(v, Literal) else names.get(v, v) for v in atoms]

    return [
        e.replace(
            invars=renamed(e.invars),
            outvars=renamed(e.outvars),
            source_info=eqn.source_info,
            ctx=eqn.ctx,
        )
        for e in closed.jaxpr.eqns
    ]


# Functions with derivative rules of their own -----------------------------------------


def _object(eqn: JaxprEqn) -> list[JaxprEqn] | None:
    """An operation whose rules are methods of an object; a linear map needs none."""
    jaxpr = expanded(eqn)
    new = rewrite(jaxpr)
    if new is jaxpr:
        return None
    kind: Any = type(eqn.params["_prim"])
    if _defines(kind, "transpose"):
        return _traced(jaxpr_as_fun(new), eqn)
    wrap = _custom_jvp if _defines(kind, "jvp") else _custom_vjp
    return _traced(wrap(eqn, new), eqn)


def _defines(kind: type, method: str) -> bool:
    """Whether a class has a method of its own, not that of JAX's base class."""
    owner = next((base for base in kind.__mro__ if method in vars(base)), None)
    return owner is not None and not owner.__name__.endswith(("HiPrim", "Primitive"))


def _alone(eqn: JaxprEqn) -> Callable[..., Any]:
    """An equation as a function of its operands."""

    def fn(*operands: Any) -> Any:
        params = eqn.primitive.get_bind_params(eqn.params)
        return eqn.primitive.bind(*operands, **params)

    return fn


def _custom_jvp(eqn: JaxprEqn, new: Any) -> Callable[..., Any]:
    """The rule, as jax.jvp applies it to the original, rewritten."""
    original = _alone(eqn)
    fn = jax.custom_jvp(jaxpr_as_fun(new))

    def rule(primals: Any, tangents: Any) -> Any:
        def push(primals: Any, tangents: Any) -> Any:
            return jax.jvp(original, primals, tangents)

        return rewritten(push, primals, tangents)

    fn.defjvp(rule)
    return fn


def _custom_vjp(eqn: JaxprEqn, new: Any) -> Callable[..., Any]:
    """Both halves of the rule, as jax.vjp applies them to the original, rewritten."""
    original = _alone(eqn)
    fn = jax.custom_vjp(jaxpr_as_fun(new))

    def forward(*operands: Any) -> Any:
        return rewritten(partial(jax.vjp, original), *operands)

    def backward(pull: Any, cotangents: Any) -> Any:
        return rewritten(lambda pull, cotangents: pull(cotangents), pull, cotangents)

    fn.defvjp(forward, backward)
    return fn
