"""Finds the chain of elementwise operations that follows a convolution.

Each value is followed to its only user, as long as that user is a multiplication by or
an addition of a scalar or a vector of channels, an addition of an array of the same
shape, an activation, or a change of shape or type.  All of these can be computed in the
same pass over memory that writes the convolution's result.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax
from jax.extend.core import JaxprEqn, Literal

from jaxconv._adopt import fuse_activations as _activations
from jaxconv._adopt.fuse_channels import Place, broadcast_of, moved
from jaxconv._adopt.fuse_graph import Graph
from jaxconv._core.contract import contract_p
from jaxconv._core.spec import GROUPED

STEP = {"mul": "scale", "div": "scale", "add": "shift", "add_any": "shift"}
FORMED = frozenset(
    "reshape squeeze expand_dims transpose broadcast_in_dim copy copy_p".split()
)


class Link(NamedTuple):
    """The next value of a chain, with the equations that compute it."""

    eqns: tuple[int, ...]
    value: Any
    place: Place
    step: str | None = None  # its name; None if only shape or type changes
    vector: Any = None


class Chain(NamedTuple):
    eqns: tuple[int, ...]  # in order, the convolution's among them
    value: Any
    steps: tuple[str, ...]
    vectors: tuple[Any, ...]  # operands with one value per channel


def channel_axis(eqn: JaxprEqn) -> int | None:
    """The axis of channels, if an equation is a convolution with an image as result."""
    if eqn.primitive is lax.conv_general_dilated_p:
        return eqn.params["dimension_numbers"].out_spec[1]
    if eqn.primitive is contract_p and eqn.params["spec"].role != "kernel":
        spec = eqn.params["spec"]
        return spec.axis(spec.role, GROUPED[spec.role])
    return None


def chain(graph: Graph, start: int, taken: set[int]) -> Chain | None:
    """The chain of the convolution at ``start``, whose values have no other users."""
    found = links(graph, start, taken)
    while found and found[-1].step is None:
        found.pop()
    if not found:
        return None
    eqns = {start, *(at for link in found for at in link.eqns)}
    return Chain(
        tuple(sorted(eqns)),
        found[-1].value,
        tuple(link.step for link in found if link.step is not None),
        tuple(dict.fromkeys(v.vector for v in found if v.vector is not None)),
    )


def chain_end(graph: Graph, start: int) -> Any:
    """The last value of a convolution's chain, or the convolution's result."""
    found = links(graph, start, set())
    return found[-1].value if found else graph.eqns[start].outvars[0]


def links(graph: Graph, start: int, taken: set[int]) -> list[Link]:
    """The links of the chain that follows the convolution at ``start``."""
    eqn, axis = graph.eqns[start], channel_axis(graph.eqns[start])
    value: Any = eqn.outvars[0]
    if axis is None or not jnp.issubdtype(value.aval.dtype, jnp.floating):
        return []
    found, place = list[Link](), Place(value.aval.shape, axis)
    while True:
        link = _next(graph, value, place)
        if link is None or taken.intersection(link.eqns):
            return found
        found.append(link)
        value, place = link.value, link.place


def _next(graph: Graph, value: Any, place: Place) -> Link | None:
    users = graph.inner_users(value)
    if not users:
        return None
    link = _activation(graph, value, place)
    if link is not None or len(users) > 1:
        return link
    (at,) = users
    eqn, name = graph.eqns[at], graph.eqns[at].primitive.name
    if name in FORMED:
        after = moved(eqn, place)
        return None if after is None else Link((at,), eqn.outvars[0], after)
    if name == "convert_element_type":
        floating = jnp.issubdtype(eqn.params["new_dtype"], jnp.floating)
        return Link((at,), eqn.outvars[0], place) if floating else None
    return _binary(graph, at, value, place)


def _binary(graph: Graph, at: int, value: Any, place: Place) -> Link | None:
    eqn, name = graph.eqns[at], graph.eqns[at].primitive.name
    if name not in (*STEP, "sub") or len(eqn.invars) != 2:
        return None
    first, second = eqn.invars
    other: Any = second if first is value else first
    if name == "div" and first is not value:
        return None
    result: Any = eqn.outvars[0]
    if other is value or result.aval.shape != value.aval.shape:
        return None
    step = STEP.get(name, "shift")
    if _single(other):
        return Link((at,), result, place, step)
    found = broadcast_of(graph, other, place)
    if found is not None:
        return Link((*found.eqns, at), result, place, step, found.vector)
    if step == "shift" and other.aval.shape == value.aval.shape:
        return Link((at,), result, place, "add")
    return None


def _single(atom: Any) -> bool:
    return math.prod(atom.aval.shape) == 1


def _activation(graph: Graph, value: Any, place: Place) -> Link | None:
    """The longest run of equations after a value that computes a known activation."""
    known: dict[Any, Any] = {value: "x"}
    eqns, best = list[int](), None
    pending = sorted(graph.inner_users(value))
    while pending and len(eqns) < _activations.LONGEST:
        at = pending.pop(0)
        eqn = graph.eqns[at]
        made = _activations.expression(eqn, known | _numbers(graph, eqn))
        if made is None:
            continue
        eqns.append(at)
        result: Any = eqn.outvars[0]
        known[result] = made
        pending = sorted({*pending, *graph.inner_users(result)} - set(eqns))
        if _closed(graph, known, result, eqns) and result.aval.shape == place.shape:
            name = _activations.activation(made, value.aval.dtype)
            if name is not None:
                best = Link(tuple(eqns), result, place, name)
    return best


def _numbers(graph: Graph, eqn: JaxprEqn) -> dict[Any, float]:
    """Operands that are numbers, broadcast or converted by the equation before."""
    found: dict[Any, float] = {}
    for v in eqn.invars:
        at = None if isinstance(v, Literal) else graph.maker.get(v)
        if at is not None:
            made = _activations.expression(graph.eqns[at], {})
            if isinstance(made, float):
                found[v] = made
    return found


def _closed(graph: Graph, known: dict[Any, Any], result: Any, eqns: list[int]) -> bool:
    """Whether the values between have no other users."""
    inside = set(eqns)
    return all(
        v not in graph.results and inside.issuperset(graph.users.get(v, []))
        for v in known
        if v is not result
    )
