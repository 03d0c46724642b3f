"""Fuses convolutions with the elementwise operations that follow them.

Each convolution and its chain become one equation.  This runs before `rewrite`, which
rewrites the jaxpr of a fused equation like any inner jaxpr.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

from jaxconv._adopt.fuse_chain import Chain, chain, channel_axis
from jaxconv._adopt.fuse_graph import Graph
from jaxconv._adopt.fuse_inline import inlined
from jaxconv._adopt.fuse_padding import absorbed
from jaxconv._adopt.fused import fused_p

# Results by jaxpr, as in `rewrite`; None if the jaxpr does not change.
_DONE: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
_LOCK = threading.RLock()
# Primitives that run jaxprs and have no derivative rules of their own.
_INSIDE = (
    *("jit", "pjit", "closed_call", "core_call", "eval_jaxpr"),
    *("scan", "while", "cond", "checkpoint", "remat2", "shard_map"),
)


def fuse(jaxpr: Any) -> Any:
    """A jaxpr, open or closed, with fused convolutions; the same object if none are."""
    with _LOCK:
        if jaxpr not in _DONE:
            _DONE[jaxpr] = _fused(jaxpr)
        return _DONE[jaxpr] or jaxpr


def _fused(jaxpr: Any) -> Any | None:
    plain = jaxpr if isinstance(jaxpr, Jaxpr) else jaxpr.jaxpr  # newer jax has one type
    eqns = list(plain.eqns)
    if any(_convolves(eqn) for eqn in eqns):
        eqns = inlined(eqns, plain.outvars)
    eqns = [_inside(eqn) for eqn in eqns]
    if any(channel_axis(eqn) is not None for eqn in eqns):
        eqns = _in_order(eqns, plain.outvars)
    if len(eqns) == len(plain.eqns) and all(map(_is, eqns, plain.eqns)):
        return None
    new = plain.replace(eqns=eqns)
    return new if plain is jaxpr else jaxpr.replace(jaxpr=new)


def _is(a: Any, b: Any) -> bool:
    return a is b


def _inside(eqn: JaxprEqn) -> JaxprEqn:
    """An equation with fused inner jaxprs."""
    if eqn.primitive.name not in _INSIDE:
        return eqn
    params = {key: _value(value) for key, value in eqn.params.items()}
    changed = any(params[key] is not value for key, value in eqn.params.items())
    return eqn.replace(params=params) if changed else eqn


def _value(value: Any) -> Any:
    if isinstance(value, (Jaxpr, ClosedJaxpr)):
        return fuse(value)
    if isinstance(value, tuple):
        parts: Any = value
        new = tuple(map(_value, parts))
        return value if all(map(_is, new, parts)) else new
    return value


def _convolves(eqn: JaxprEqn) -> bool:
    inner = eqn.params.get("jaxpr")
    if eqn.primitive.name in ("jit", "pjit") and inner is not None:
        return any(map(_convolves, inner.jaxpr.eqns))
    return channel_axis(eqn) is not None


def _in_order(eqns: Sequence[JaxprEqn], results: Sequence[Any]) -> list[JaxprEqn]:
    """The equations with each chain replaced by one equation, in place of its last."""
    eqns = absorbed(eqns, results)
    graph = Graph(eqns, results)
    taken: set[int] = set()
    ends: dict[int, Chain] = {}
    gone: set[int] = set()
    for at, eqn in enumerate(eqns):
        found = chain(graph, at, taken) if channel_axis(eqn) is not None else None
        if found is not None:
            ends[graph.maker[found.value]] = found
            inside = {n for n in found.eqns if _only_used_in(graph, n, found)}
            taken |= inside
            gone |= inside - {graph.maker[found.value]}
    return [
        _one(graph, ends[at]) if at in ends else eqn
        for at, eqn in enumerate(eqns)
        if at not in gone
    ]


def _only_used_in(graph: Graph, at: int, found: Chain) -> bool:
    """Whether only the chain uses an equation; others may use a broadcast too."""
    (v,) = graph.eqns[at].outvars
    if v is found.value:
        return True
    inside = set(found.eqns)
    return v not in graph.results and inside.issuperset(graph.users[v])


def _one(graph: Graph, found: Chain) -> JaxprEqn:
    """The chain as one equation."""
    eqns = [graph.eqns[at] for at in found.eqns]
    made = {v for eqn in eqns for v in eqn.outvars}
    atoms = (v for eqn in eqns for v in eqn.invars)
    operands: list[Any] = list(
        dict.fromkeys(v for v in atoms if not isinstance(v, Literal) and v not in made)
    )
    vectors = tuple(n for n, v in enumerate(operands) if v in found.vectors)
    last = graph.eqns[graph.maker[found.value]]
    with last.ctx.manager:
        avals: list[Any] = [v.aval for v in operands]
        closed = jax.make_jaxpr(_evaluation(eqns, operands, found.value))(*avals)
    return last.replace(
        primitive=fused_p,
        invars=operands,
        outvars=[found.value],
        params={"jaxpr": closed, "steps": found.steps, "per_channel": vectors},
        effects=closed.effects,
    )


def _evaluation(
    eqns: Sequence[JaxprEqn], operands: Sequence[Any], result: Any
) -> Callable[..., Any]:
    """Equations as a function of their outer variables."""

    def run(*values: Any) -> Any:
        known: dict[Any, Any] = dict(zip(operands, values, strict=True))
        for eqn in eqns:
            read = [v.val if isinstance(v, Literal) else known[v] for v in eqn.invars]
            params = eqn.primitive.get_bind_params(eqn.params)
            with eqn.ctx.manager:
                out = eqn.primitive.bind(*read, **params)
            known |= dict(
                zip(eqn.outvars, out, strict=True)
                if eqn.primitive.multiple_results
                else [(eqn.outvars[0], out)]
            )
        return known[result]

    return run
