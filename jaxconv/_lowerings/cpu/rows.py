"""``rows``: a 1-D convolution as a 2-D one of images one row high.

XLA's fast convolution on a CPU has exactly two spatial dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import jax

from jaxconv._core.geometry import Geometry
from jaxconv._core.spec import Case, Role, Spec
from jaxconv._lowerings.base import Lowering
from jaxconv._lowerings.general import xla


def _in_2d(role: Role) -> Callable[[jax.Array, jax.Array, Spec], jax.Array]:
    def compute(a: jax.Array, b: jax.Array, spec: Spec) -> jax.Array:
        height = {operand: 0 if operand == "kernel" else 1 for operand in spec.operands}
        a, b = (
            v.reshape(*v.shape[: height[operand]], 1, *v.shape[height[operand] :])
            for v, operand in zip((a, b), spec.operands, strict=True)
        )
        out = xla.LOWERING.roles[role](a, b, _flat(spec))
        return out.squeeze(0 if role == "kernel" else 1)

    return compute


def _flat(spec: Spec) -> Spec:
    g = spec.geometry
    one = Geometry(
        (1, *g.input),
        (1, *g.kernel),
        (1, *g.output),
        (1, *g.stride),
        (1, *g.dilation),
        (0, *g.low),
    )
    return replace(spec, geometry=one)


def spreads(case: Case) -> str | None:
    return xla.spreads(case._replace(spec=_flat(case.spec)))


def refuse(case: Case) -> str | None:
    if case.spec.ndim != 1:
        return f"it needs one spatial dimension, not {case.spec.ndim}"
    return None


LOWERING = Lowering(
    "rows",
    "a 1-D convolution as a 2-D one of height 1",
    {role: _in_2d(role) for role in ("output", "input", "kernel")},
    refuse,
    xla.scratch,
    spreads=spreads,
)
