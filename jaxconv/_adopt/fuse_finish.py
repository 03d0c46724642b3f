"""Hands what follows a convolution to the convolution's lowering.

If the lowering that the plan chooses can compute all of it while it writes the result,
no other pass over memory is needed.  A scale is multiplied into the kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, JaxprEqn, Literal

from jaxconv._adopt.fuse_chain import Link, links
from jaxconv._adopt.fuse_graph import Graph
from jaxconv._core.contract import contract_p
from jaxconv._core.spec import Spec
from jaxconv._plan.emit import finishes, run
from jaxconv._plan.place import Place

AFFINE = ("scale", "shift")
# The result's elements for each of the kernel's from which it pays: a scaled kernel is
# one more to write.  3x3 of 64 channels at 56x56, 4 images, takes 0.92 of the time, of
# 256 channels at 20x20, one image, would take 1.16.
WORTH = 4
ADDED = ("add", "add_any")


class Finished(NamedTuple):
    """A convolution of a jaxpr, and the links of the chain that follows it."""

    graph: Graph
    at: int
    links: Sequence[Link]


def finished(jaxpr: ClosedJaxpr, place: Place) -> Finished | None:
    """The jaxpr's convolution with its chain, if one lowering can compute all of it."""
    graph = Graph(jaxpr.jaxpr.eqns, jaxpr.jaxpr.outvars)
    found = (n for n, eqn in enumerate(graph.eqns) if eqn.primitive is contract_p)
    at = next(found, None)
    if at is None or jaxpr.jaxpr.constvars:
        return None
    chain = links(graph, at, set())
    if not chain or chain[-1].value is not jaxpr.jaxpr.outvars[0]:
        return None
    eqn = graph.eqns[at]
    spec: Spec = eqn.params["spec"]
    if spec.layout.first or spec.role != "output":
        return None  # the result is transposed, or put together, in another pass
    x, w, result = (_aval(v) for v in (*eqn.invars, *eqn.outvars))
    if result.size < WORTH * w.size:
        return None
    able = finishes(x, w, spec=spec, place=place)
    return Finished(graph, at, chain) if able and _all_of(graph, chain, able) else None


def _aval(v: Any) -> Any:
    return v.aval


def _all_of(graph: Graph, chain: Sequence[Link], able: frozenset[str]) -> bool:
    """Whether all steps are possible: scales and shifts first, then ``able`` ones."""
    steps = [link.step for link in chain if link.step is not None]
    rest = steps
    while rest and rest[0] in AFFINE:
        rest = rest[1:]
    same = all(link.value.aval.dtype == chain[0].value.aval.dtype for link in chain)
    sums = (
        graph.eqns[link.eqns[-1]].primitive.name in ADDED
        for link in chain
        if link.step == "add"
    )
    return same and able.issuperset(rest) and all(sums)


def compute(found: Finished, jaxpr: ClosedJaxpr, place: Place) -> Callable[..., Any]:
    """The jaxpr as a function of its operands, with everything in the convolution."""
    graph, at, chain = found
    eqn = graph.eqns[at]
    skipped = {at, *(n for link in chain for n in link.eqns)}

    def fun(*operands: Any) -> jax.Array:
        known = dict(zip(jaxpr.jaxpr.invars, operands, strict=True))

        def read(v: Any) -> Any:
            return v.val if isinstance(v, Literal) else known[v]

        for n, other in enumerate(graph.eqns):
            if n not in skipped:
                params = other.primitive.get_bind_params(other.params)
                out = other.primitive.bind(*map(read, other.invars), **params)
                many = other.primitive.multiple_results
                known |= dict(zip(other.outvars, out if many else [out], strict=True))
        x, w = map(read, eqn.invars)
        scale, steps = _steps(found, read)
        if scale is not None:
            w = w * scale
        out = run(x, w, spec=eqn.params["spec"], place=place, after=steps)
        return out.reshape(jaxpr.out_avals[0].shape)

    return fun


def _steps(
    found: Finished, read: Callable[[Any], Any]
) -> tuple[Any, list[tuple[str, Any]]]:
    """The scale of the kernel, and the steps after the convolution."""
    graph, at, chain = found
    value: Any = graph.eqns[at].outvars[0]
    shape, scale, shift = value.aval.shape, None, None
    steps: list[tuple[str, Any]] = []
    for link in chain:
        if link.step in AFFINE:
            eqn = graph.eqns[link.eqns[-1]]
            v = _per_channel(read(_operand(graph, link, value)), shape[-1])
            scale, shift = _affine(eqn, value, v, scale, shift)
        elif link.step == "add":
            other = _operand(graph, link, value)
            steps.append(("add", read(other).reshape(shape)))
        elif link.step is not None:
            steps.append((link.step, None))
        value = link.value
    return scale, steps if shift is None else [("shift", shift), *steps]


def _operand(graph: Graph, link: Link, value: Any) -> Any:
    """The vector, number or image that a link adds or multiplies."""
    if link.vector is not None:
        return link.vector
    eqn = graph.eqns[link.eqns[-1]]
    first, second = eqn.invars
    other: Any = second if first is value else first
    at = None if isinstance(other, Literal) else graph.maker.get(other)
    inside = at in link.eqns  # a number that is broadcast first
    return graph.eqns[at].invars[0] if at is not None and inside else other


def _per_channel(v: Any, channels: int) -> jax.Array:
    return jnp.broadcast_to(jnp.reshape(v, -1), (channels,))


def _affine(eqn: JaxprEqn, value: Any, v: Any, scale: Any, shift: Any) -> Any:
    """The scale and the shift after one more operation with a vector."""
    name = eqn.primitive.name
    if name in ("mul", "div"):
        scale = jnp.ones_like(v) if scale is None else scale
        both = (scale, shift)
        return tuple(
            a if a is None else a * v if name == "mul" else a / v for a in both
        )
    if name == "sub":
        if eqn.invars[0] is value:
            v = -v
        else:
            scale = -jnp.ones_like(v) if scale is None else -scale
            shift = None if shift is None else -shift
    return scale, v if shift is None else shift + v
