"""Rewrites some equations of a jaxpr: convolutions of lax as contractions, or back.

All other equations stay unchanged, so donation, name scopes, rematerialisation and
sharding keep their meaning.  The inner jaxprs of all equations are rewritten too.  A
function with its own derivative rules keeps them, and the jaxprs of the rules are
rewritten.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import jax
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, jaxpr_as_fun

from jaxconv._adopt.fuse import fuse
from jaxconv._adopt.lax import convolve
from jaxconv._adopt.remat import as_convolutions
from jaxconv._core.calls import LEFT, OBJECT, expanded

_LOCK = threading.RLock()
_CUSTOM = ("custom_jvp_call", "custom_vjp_call")


class Rules:
    """The functions that replace primitives, and that replace a remat policy.

    A function gets the operands of an equation, and its parameters as keywords.
    """

    def __init__(
        self,
        functions: Mapping[Any, Callable[..., Any]],
        policy: Callable[[Any], Any] | None = None,
    ) -> None:
        self.functions = functions
        self.policy = policy
        # Results by jaxpr: jit's cache needs the same object each time.
        self.done: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


CONTRACTIONS = Rules({lax.conv_general_dilated_p: convolve}, as_convolutions)


def rewrite(jaxpr: Any, rules: Rules = CONTRACTIONS) -> Any:
    """The rewritten jaxpr, open or closed; the same object if nothing changes."""
    with _LOCK:
        if jaxpr not in rules.done:
            rules.done[jaxpr] = _rewritten(jaxpr, rules)
        # None stands for the key itself, which the dictionary must not keep alive.
        return rules.done[jaxpr] or jaxpr


def rewritten(
    fn: Callable[..., Any],
    *args: Any,
    rules: Rules = CONTRACTIONS,
    fusing: bool = False,
) -> Any:
    """Computes ``fn(*args)``, traced and rewritten; non-arrays are static."""
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
    new = rewrite(fuse(closed) if fusing else closed, rules)
    computed = iter(jaxpr_as_fun(new)(*arrays))
    structure, kept = static
    return jax.tree.unflatten(structure, [v[0] if v else next(computed) for v in kept])


def _rewritten(jaxpr: Any, rules: Rules) -> Any | None:
    pairs = [(eqn, _equations(eqn, rules)) for eqn in jaxpr.eqns]
    if all(new is None for _, new in pairs):
        return None
    eqns = [e for eqn, new in pairs for e in ([eqn] if new is None else new)]
    if isinstance(jaxpr, Jaxpr):
        return jaxpr.replace(eqns=eqns)
    return jaxpr.replace(jaxpr=jaxpr.jaxpr.replace(eqns=eqns))


def _equations(eqn: JaxprEqn, rules: Rules) -> list[JaxprEqn] | None:
    """The equations that replace an equation; None if it stays."""
    function = rules.functions.get(eqn.primitive)
    if function is not None:
        new = _traced(partial(function, **eqn.params), eqn)
        return None if [e.primitive for e in new] == [eqn.primitive] else new
    name = eqn.primitive.name
    if name in LEFT:
        return None
    if name == OBJECT:
        return _object(eqn, rules)
    params = {key: _rewritten_in(value, rules) for key, value in eqn.params.items()}
    if all(params[key] is value for key, value in eqn.params.items()):
        return None
    if name == "linear_call":
        params["transpose_thunk"] = _transposed(eqn.params["transpose_thunk"], rules)
    if rules.policy is not None and params.get("policy") is not None:
        params["policy"] = rules.policy(params["policy"])
    if name in _CUSTOM:
        wrap = _custom_jvp if name == "custom_jvp_call" else _custom_vjp
        return _traced(wrap(eqn, params["call_jaxpr"], rules), eqn)
    return [eqn.replace(params=params)]


def _rewritten_in(value: Any, rules: Rules) -> Any:
    if isinstance(value, (Jaxpr, ClosedJaxpr)):
        return rewrite(value, rules)
    if isinstance(value, (tuple, list)):
        parts: Any = value
        new = [_rewritten_in(v, rules) for v in parts]
        if all(map(lambda a, b: a is b, parts, new)):
            return parts
        named: Any = getattr(parts, "_make", type(parts))
        return named(new)
    return value


def _transposed(thunk: Callable[[], Any], rules: Rules) -> Callable[[], Any]:
    """The thunk of a linear call's transpose, which is rewritten on demand."""

    def rewritten_thunk() -> Any:
        jaxpr, consts = thunk()
        return rewrite(jaxpr, rules), consts

    return rewritten_thunk


def _traced(fn: Callable[..., Any], eqn: JaxprEqn) -> list[JaxprEqn]:
    """Replaces an equation by those of a function of its operands."""
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


# Functions with their own derivative rules --------------------------------------------


def _object(eqn: JaxprEqn, rules: Rules) -> list[JaxprEqn] | None:
    """Rewrites an operation that is an object; a linear map needs no rules."""
    jaxpr = expanded(eqn)
    new = rewrite(jaxpr, rules)
    if new is jaxpr:
        return None
    kind: Any = type(eqn.params["_prim"])
    if _defines(kind, "transpose"):
        return _traced(jaxpr_as_fun(new), eqn)
    wrap = _custom_jvp if _defines(kind, "jvp") else _custom_vjp
    return _traced(wrap(eqn, new, rules), eqn)


def _defines(kind: type, method: str) -> bool:
    """Whether a class, and not JAX's base class, defines a method."""
    owner = next((base for base in kind.__mro__ if method in vars(base)), None)
    return owner is not None and not owner.__name__.endswith(("HiPrim", "Primitive"))


def _alone(eqn: JaxprEqn) -> Callable[..., Any]:
    """An equation as a function of its operands."""

    def fn(*operands: Any) -> Any:
        params = eqn.primitive.get_bind_params(eqn.params)
        return eqn.primitive.bind(*operands, **params)

    return fn


def _custom_jvp(eqn: JaxprEqn, new: Any, rules: Rules) -> Callable[..., Any]:
    """The rewritten function, with the rewritten JVP of the original as its rule."""
    original = _alone(eqn)
    fn = jax.custom_jvp(jaxpr_as_fun(new))

    def rule(primals: Any, tangents: Any) -> Any:
        def push(primals: Any, tangents: Any) -> Any:
            return jax.jvp(original, primals, tangents)

        return rewritten(push, primals, tangents, rules=rules)

    fn.defjvp(rule)
    return fn


def _custom_vjp(eqn: JaxprEqn, new: Any, rules: Rules) -> Callable[..., Any]:
    """The rewritten function, with both rewritten halves of the original's VJP."""
    original = _alone(eqn)
    fn = jax.custom_vjp(jaxpr_as_fun(new))

    def forward(*operands: Any) -> Any:
        return rewritten(partial(jax.vjp, original), *operands, rules=rules)

    def backward(pull: Any, cotangents: Any) -> Any:
        return rewritten(
            lambda pull, cotangents: pull(cotangents), pull, cotangents, rules=rules
        )

    fn.defvjp(forward, backward)
    return fn
