"""Recognises activations by comparing expressions.

Activations are recognised by what they compute, not by their names.  Each known one is
traced and converted to an expression, with inner functions expanded and the operands of
commutative operations sorted.  So it makes no difference whether a function is wrapped
in `jax.jit`, has its own derivative rules, or is written out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

Expression = Any  # "x", a number, or a tuple of a name, parameters and expressions
COMMUTING = frozenset({"add", "add_any", "mul", "max", "min"})
SAME = frozenset({"copy", "copy_p", "reshard", "pvary", "stop_gradient"})
UNARY = frozenset(
    """
    abs cbrt ceil cos cosh erf erf_inv erfc exp exp2 expm1 floor is_finite log log1p
    logistic neg not round rsqrt sign sin sinh sqrt square tan tanh integer_pow
    """.split()
)
OTHER = frozenset(
    "add add_any and atan2 clamp div eq ge gt le lt max min mul ne or pow select_n sub"
    .split()
)  # fmt: skip
CALLS = ("jit", "pjit", "closed_call", "custom_jvp_call")

KNOWN: Mapping[str, tuple[Callable[[Any], Any], ...]] = {
    "relu": (jax.nn.relu, lambda x: jnp.where(x > 0, x, 0)),
    "relu6": (jax.nn.relu6, lambda x: jnp.minimum(jnp.maximum(x, 0), 6)),
    "silu": (jax.nn.silu, lambda x: x / (1 + jnp.exp(-x))),
    "gelu": (
        lambda x: jax.nn.gelu(x, approximate=False),
        lambda x: 0.5 * x * (1 + jax.lax.erf(x / np.sqrt(2).astype(x.dtype))),
        lambda x: x * (1 + jax.lax.erf(x / np.sqrt(2).astype(x.dtype))) / 2,
    ),
    "gelu (tanh)": (jax.nn.gelu,),
    "sigmoid": (jax.nn.sigmoid, lambda x: 1 / (1 + jnp.exp(-x))),
    "tanh": (jnp.tanh,),
    "elu": (jax.nn.elu,),
    "selu": (jax.nn.selu,),
    "leaky_relu": tuple(
        (lambda x, slope=slope: jax.nn.leaky_relu(x, slope))
        for slope in (0.01, 0.1, 0.2, 0.3)
    ),
    "hard_silu": (jax.nn.hard_silu,),
    "hard_sigmoid": (jax.nn.hard_sigmoid,),
    "softplus": (jax.nn.softplus,),
    "mish": (jax.nn.mish,),
    "abs": (jnp.abs,),
    "square": (jnp.square,),
    "clip": (lambda x: jnp.clip(x, -1, 1),),
}


def activation(expression: Expression, dtype: Any) -> str | None:
    """The name of the activation that equals an expression in "x", or None."""
    return _table(np.dtype(dtype)).get(expression)


@lru_cache(maxsize=16)
def _table(dtype: np.dtype) -> dict[Expression, str]:
    found: dict[Expression, str] = {}
    for name, functions in KNOWN.items():
        for function in functions:
            closed = jax.make_jaxpr(function)(jax.ShapeDtypeStruct((2, 3), dtype))
            made = _of_jaxpr(closed, ["x"])
            if made is not None:
                found.setdefault(made[0], name)
    return found


def expression(eqn: JaxprEqn, known: Mapping[Any, Expression]) -> Expression | None:
    """The expression of an elementwise equation with one result, or None.

    ``known`` has the expressions of variables; with other variables it is None.
    """
    operands = [_atom(v, known) for v in eqn.invars]
    if len(eqn.outvars) != 1 or any(v is None for v in operands):
        return None
    name = eqn.primitive.name
    if name in CALLS:
        key = "call_jaxpr" if name == "custom_jvp_call" else "jaxpr"
        inner: Any = eqn.params[key]
        made = _of_jaxpr(inner, operands)
        return made[0] if made is not None and len(made) == 1 else None
    if name in SAME:
        return operands[0]
    if name == "broadcast_in_dim":
        return operands[0] if isinstance(operands[0], float) else None
    if name == "convert_element_type":
        return _converted(eqn, operands[0])
    return _operation(name, eqn.params, operands)


def _atom(atom: Any, known: Mapping[Any, Expression]) -> Expression | None:
    if not isinstance(atom, Literal):
        return known.get(atom)
    return float(f"{float(atom.val):.6g}") if np.ndim(atom.val) == 0 else None


def _converted(eqn: JaxprEqn, operand: Expression) -> Expression | None:
    before: Any = eqn.invars[0].aval
    same = before.dtype == eqn.params["new_dtype"]
    return operand if same or isinstance(operand, float) else None


def _operation(
    name: str, params: Mapping[str, Any], operands: list[Expression]
) -> Expression | None:
    if name == "square":
        return ("integer_pow", 2, *operands)
    if name == "integer_pow":
        return (name, params["y"], *operands)
    if name in UNARY:
        return (name, *operands)
    if name not in OTHER:
        return None
    if name in COMMUTING:
        name = {"add_any": "add"}.get(name, name)
        return (name, *sorted(operands, key=repr))
    return (name, *operands)


def _of_jaxpr(
    jaxpr: ClosedJaxpr | Jaxpr, operands: list[Expression]
) -> list[Expression] | None:
    """The expressions of a jaxpr's results."""
    inner = jaxpr.jaxpr if isinstance(jaxpr, ClosedJaxpr) else jaxpr
    if inner.constvars or len(inner.eqns) > LONGEST:
        return None
    known: dict[Any, Expression] = dict(zip(inner.invars, operands, strict=True))
    for eqn in inner.eqns:
        made = expression(eqn, known)
        if made is None:
            return None
        known[eqn.outvars[0]] = made
    found = [_atom(v, known) for v in inner.outvars]
    return None if any(v is None for v in found) else found


LONGEST = 24  # equations of an activation
