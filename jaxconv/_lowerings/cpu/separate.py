"""``separate``: one dense convolution for each group.

It adds no zeros between groups, so NaN and infinity stay in their own group.  It is
slow for many narrow groups.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxconv._core.spec import Case, Spec
from jaxconv._lowerings.base import Compute, Lowering, reduced


def contract(a: jax.Array, b: jax.Array, spec: Spec, run: Compute) -> jax.Array:
    """Any role, since operands and result all have the groups in their last axis."""
    parts = [
        run(first, second, reduced(spec, groups=1))
        for first, second in zip(_cut(a, spec), _cut(b, spec), strict=True)
    ]
    return jnp.concatenate(parts, axis=-1)


def _cut(v: jax.Array, spec: Spec) -> list[jax.Array]:
    return jnp.split(v, spec.groups, axis=-1)


def inner(case: Case) -> Case:
    return case._replace(spec=reduced(case.spec, groups=1))


def refuse(case: Case) -> str | None:
    return "there is only one group" if case.groups == 1 else None


def scratch(case: Case, inner: int) -> int:
    """The parts of operands and result, and the scratch of each convolution."""
    return case.operand_bytes + case.groups * inner


LOWERING = Lowering(
    "separate",
    "one dense convolution for each group",
    {"output": contract, "input": contract, "kernel": contract},
    refuse,
    scratch,
    inner=inner,
)
