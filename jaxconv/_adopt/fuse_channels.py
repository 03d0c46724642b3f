"""Follows the axis of channels through reshapes, and finds vectors of channels."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from jax.extend.core import JaxprEqn, Literal

from jaxconv._adopt.fuse_graph import Graph


class Place(NamedTuple):
    """A value's shape, and its axis of channels."""

    shape: tuple[int, ...]
    axis: int

    @property
    def before(self) -> int:
        return math.prod(self.shape[: self.axis])

    @property
    def channels(self) -> int:
        return self.shape[self.axis]


class Broadcast(NamedTuple):
    vector: Any  # one value per channel
    eqns: tuple[int, ...]  # the equations that broadcast it


def moved(eqn: JaxprEqn, place: Place) -> Place | None:
    """The place after an equation, if that keeps the order of all elements."""
    result: Any = eqn.outvars[0]
    name, shape = eqn.primitive.name, tuple(result.aval.shape)
    if name == "transpose":
        kept = [n for n in eqn.params["permutation"] if place.shape[n] != 1]
        if kept != sorted(kept):
            return None
    if math.prod(shape) != math.prod(place.shape):
        return None  # a broadcast that repeats elements
    axes = (
        axis
        for axis, size in enumerate(shape)
        if size == place.channels and math.prod(shape[:axis]) == place.before
    )
    axis = next(axes, None)
    return None if axis is None else Place(shape, axis)


def broadcast_of(graph: Graph, operand: Any, place: Place) -> Broadcast | None:
    """The vector that an operand broadcasts, if its values depend on channels only."""
    if isinstance(operand, Literal):
        return None
    shape = operand.aval.shape
    if len(shape) == len(place.shape) and _only(shape, place.axis):
        return Broadcast(operand, ())
    at = graph.maker.get(operand)
    if at is None or graph.eqns[at].primitive.name != "broadcast_in_dim":
        return None
    eqn = graph.eqns[at]
    source: Any = eqn.invars[0]
    axes = eqn.params["broadcast_dimensions"]
    sizes = zip(axes, source.aval.shape, strict=True)
    if len(eqn.invars) > 1 or len(shape) != len(place.shape):
        return None
    if all(axis == place.axis or size == 1 for axis, size in sizes):
        return Broadcast(None if isinstance(source, Literal) else source, (at,))
    return None


def _only(shape: tuple[int, ...], axis: int) -> bool:
    """Whether all axes but one have a single element."""
    return all(size == 1 for n, size in enumerate(shape) if n != axis)
