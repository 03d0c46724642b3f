"""Merges zero padding before a convolution into the convolution's own padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jax import lax
from jax.extend.core import JaxprEqn, Literal

from jaxconv._adopt.fuse_graph import Graph


def absorbed(eqns: Sequence[JaxprEqn], results: Sequence[Any]) -> list[JaxprEqn]:
    """The equations with padding merged into convolutions, and unused pads removed."""
    graph = Graph(eqns, results)
    new = [_with_padding(graph, eqn) for eqn in eqns]
    if all(a is b for a, b in zip(new, eqns, strict=True)):
        return list(eqns)
    used = {v for e in new for v in e.invars if not isinstance(v, Literal)}
    used |= graph.results
    return [
        eqn
        for eqn in new
        if eqn.primitive is not lax.pad_p or used.intersection(eqn.outvars)
    ]


def _with_padding(graph: Graph, eqn: JaxprEqn) -> JaxprEqn:
    if eqn.primitive is not lax.conv_general_dilated_p:
        return eqn
    image, kernel = eqn.invars
    at = None if isinstance(image, Literal) else graph.maker.get(image)
    if at is None or graph.eqns[at].primitive is not lax.pad_p:
        return eqn
    pad = graph.eqns[at]
    source, value = pad.invars
    config = pad.params["padding_config"]
    if not all(isinstance(n, (int, np.integer)) for edges in config for n in edges):
        return eqn  # a symbolic size
    batch, channel, *space = eqn.params["dimension_numbers"].lhs_spec
    outside = (config[batch], config[channel])
    edges = [config[axis] for axis in space]
    if (
        any(map(any, outside))
        or any(min(low, high) < 0 or inner for low, high, inner in edges)
        or max(eqn.params["lhs_dilation"]) > 1
        or not _zero(graph, value)
    ):
        return eqn
    pairs = zip(eqn.params["padding"], edges, strict=True)
    padding = tuple(
        (int(lo + low), int(hi + high)) for (lo, hi), (low, high, _) in pairs
    )
    params = eqn.params | {"padding": padding}
    return eqn.replace(invars=[source, kernel], params=params)


def _zero(graph: Graph, value: Any) -> bool:
    """Whether a number is known to be zero."""
    if isinstance(value, Literal):
        return bool(np.all(np.asarray(value.val) == 0))
    at = graph.maker.get(value)
    if at is None or graph.eqns[at].primitive is not lax.convert_element_type_p:
        return False
    return _zero(graph, graph.eqns[at].invars[0])
