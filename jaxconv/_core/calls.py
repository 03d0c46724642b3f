"""The jaxprs inside an equation: which of them run, on what operands, how often.

Everything that walks a jaxpr uses this module, so that all find the same convolutions.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

from jaxconv._core.surround import pad_p, run

_REASONS = {
    "it combines two numbers": """
        reduce reduce_window select_and_scatter scatter scatter-add scatter-sub
        scatter-mul scatter-min scatter-max
    """,
    "a kernel in the language of Pallas, which has no convolution": """
        pallas_call core_map mpmd_map emit_pipeline pipeline_body run_scoped fusible
        custom_fusion jaxpr_call parallel_loop
    """,
    "a kernel of cuDNN, which takes its function as it is": "cudnn_fusion",
    "it changes single numbers of an attention's scores": """
        dot_product_attention_fwd dot_product_attention_bwd
    """,
    "it stands only inside JAX's own linearization": "custom_lin",
}
# Primitives with jaxprs that contain no convolution to look for, and why.
LEFT = {name: why for why, names in _REASONS.items() for name in names.split()}
OBJECT = "call_hi_primitive"
# Primitives that run their jaxprs on other arrays than their operands, or run several.
CONTROL = frozenset("cond scan while shard_map run_state".split())


def inner(params: Any) -> Iterator[Any]:
    """The jaxprs among an equation's parameters."""
    for value in params.values():
        for v in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(v, (Jaxpr, ClosedJaxpr)):
                yield v


def expanded(eqn: JaxprEqn) -> Any:
    """The jaxpr of a primitive whose parameter is an object, such as `custom_root`."""
    operation = eqn.params["_prim"]

    def flat(*operands: Any) -> list[Any]:
        args = jax.tree.unflatten(operation.in_tree, operands)
        return jax.tree.leaves(operation.expand(*args))

    return jax.make_jaxpr(flat)(*(v.aval for v in eqn.invars))


def inside(eqn: JaxprEqn) -> Iterator[tuple[Any, int]]:
    """The jaxprs that run as parts of an equation, and how often each runs.

    A loop of unknown length counts once, and so does each branch of a `cond`.
    """
    if eqn.primitive.name in LEFT:
        return
    if eqn.primitive.name == "custom_linear_solve":
        yield eqn.params["jaxprs"].solve, 1
        return
    if eqn.primitive.name == OBJECT:
        yield expanded(eqn), 1
        return
    times = eqn.params["length"] if eqn.primitive.name == "scan" else 1
    for jaxpr in inner(eqn.params):
        yield jaxpr, times


def called(eqn: JaxprEqn, operands: list[Any]) -> tuple[Any, list[Any]] | None:
    """The jaxpr that computes an equation, and its arguments; None if not a call."""
    name = eqn.primitive.name
    if name in LEFT or name in CONTROL:
        return None
    if name == "custom_linear_solve":
        return _solve(eqn, operands)
    if eqn.primitive is pad_p:
        fun = partial(run, padding=eqn.params["padding"])
        return jax.make_jaxpr(fun)(eqn.invars[0].aval), operands
    found = [expanded(eqn)] if name == OBJECT else list(inner(eqn.params))
    if len(found) != 1 or not _fits(eqn, found[0]):
        return None
    return found[0], operands


def _fits(eqn: JaxprEqn, jaxpr: Any) -> bool:
    """Whether a jaxpr's arguments and results have the shapes of an equation's."""
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    pairs = ((jaxpr.invars, eqn.invars), (jaxpr.outvars, eqn.outvars))
    shapes = [[_shape(v) for v in side] for pair in pairs for side in pair]
    return shapes[0] == shapes[1] and shapes[2] == shapes[3]


def _shape(var: Any) -> Any:
    return getattr(var.aval, "shape", None)


def _solve(eqn: JaxprEqn, operands: list[Any]) -> tuple[Any, list[Any]]:
    """The jaxpr that solves; its constants follow those of the two linear maps."""
    lengths = eqn.params["const_lengths"]
    start = lengths.matvec + lengths.vecmat
    right = operands[sum(lengths) :]
    return eqn.params["jaxprs"].solve, [
        *operands[start : start + lengths.solve],
        *right,
    ]
