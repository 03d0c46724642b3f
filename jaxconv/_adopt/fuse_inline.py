"""Inlines inner jits that contain only a part of a convolution's chain.

A convolution may be inside a jit and its chain outside, or vice versa.  Only a jit
without shardings, donation and compiler options of its own is inlined.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jax.extend.core import DropVar, JaxprEqn, Literal, gensym

from jaxconv._adopt.fuse_chain import chain_end, channel_axis
from jaxconv._adopt.fuse_graph import Graph


def inlined(eqns: Sequence[JaxprEqn], results: Sequence[Any]) -> list[JaxprEqn]:
    """The equations with those inner jits inlined that a chain enters or leaves."""
    eqns = list(eqns)
    while True:
        at = _crossed(Graph(eqns, results))
        if at is None:
            return eqns
        eqns[at : at + 1] = _opened(eqns[at])


def _crossed(graph: Graph) -> int | None:
    """The first inner jit that a chain enters or leaves."""
    for at, eqn in enumerate(graph.eqns):
        if plain(eqn) and (_leads_out(eqn) or _pads(graph, eqn)):
            return at
        if channel_axis(eqn) is not None:
            users = graph.inner_users(chain_end(graph, at))
            if len(users) == 1 and plain(graph.eqns[users[0]]):
                return users[0]
    return None


def plain(eqn: JaxprEqn) -> bool:
    """Whether an equation is a jit without options of its own."""
    if eqn.primitive.name not in ("jit", "pjit"):
        return False
    params = eqn.params
    shardings = (*params["in_shardings"], *params["out_shardings"])
    layouts = (*params["in_layouts"], *params["out_layouts"])
    said = any("Unspecified" not in type(v).__name__ for v in shardings) or any(
        v is not None for v in layouts
    )
    if said or any(params["donated_invars"]) or params["compiler_options_kvs"]:
        return False
    inner = params["jaxpr"].jaxpr
    made = {v for e in inner.eqns for v in e.outvars}
    results = inner.outvars
    return made.issuperset(v for v in results if not isinstance(v, Literal)) and (
        len(set(map(id, results))) == len(results)
        and not any(isinstance(v, Literal) for v in results)
    )


def _leads_out(eqn: JaxprEqn) -> bool:
    """Whether a convolution's chain ends in a result of the jit."""
    inner = eqn.params["jaxpr"].jaxpr
    graph, results = Graph(inner.eqns, ()), set(map(id, inner.outvars))
    for at, e in enumerate(inner.eqns):
        if channel_axis(e) is not None and id(chain_end(graph, at)) in results:
            return True
        if plain(e) and results.intersection(map(id, e.outvars)) and _leads_out(e):
            return True
    return False


def _pads(graph: Graph, eqn: JaxprEqn) -> bool:
    """Whether a jit pads the image of a convolution."""
    inner = eqn.params["jaxpr"].jaxpr
    if len(inner.eqns) > 4 or not any(e.primitive.name == "pad" for e in inner.eqns):
        return False
    users = graph.users.get(eqn.outvars[0], [])
    return any(
        channel_axis(graph.eqns[n]) is not None
        and graph.eqns[n].invars[0] is eqn.outvars[0]
        for n in users
    )


def _opened(eqn: JaxprEqn) -> list[JaxprEqn]:
    """The equations of a jit's jaxpr, with the variables of the outer jaxpr."""
    closed, new = eqn.params["jaxpr"], gensym()
    names: dict[Any, Any] = dict(zip(closed.jaxpr.invars, eqn.invars, strict=True))
    consts = zip(closed.jaxpr.constvars, closed.consts, strict=True)
    names |= {var: Literal(value, var.aval) for var, value in consts}
    outer = zip(closed.jaxpr.outvars, eqn.outvars, strict=True)
    names |= {v: out for v, out in outer if not isinstance(out, DropVar)}
    for e in closed.jaxpr.eqns:
        names |= {v: new(v.aval) for v in e.outvars if v not in names}
    return [
        e.replace(
            invars=[v if isinstance(v, Literal) else names[v] for v in e.invars],
            outvars=[names[v] for v in e.outvars],
        )
        for e in closed.jaxpr.eqns
    ]
