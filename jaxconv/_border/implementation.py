"""``implementation=``: a lowering that the user names must be able to run the call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from jaxconv._core.errors import choice, fail
from jaxconv._core.spec import Case, Shape, Spec
from jaxconv._lowerings import LOWERINGS
from jaxconv._lowerings.base import DIRECT
from jaxconv._plan.names import lowerings


def admit(
    implementation: Any, spec: Spec, image: Shape, kernel: Shape, dtype: Any
) -> Spec:
    """The spec with the named lowering, or an error that says why it cannot run."""
    if implementation is None:
        return spec
    if implementation in LOWERINGS and implementation not in lowerings(spec.role):
        rule = f"does not compute the role {spec.role!r}"
        remedy = f"Write one of {', '.join(map(repr, lowerings(spec.role)))}"
        fail("implementation", implementation, rule, remedy)
    choice("implementation", implementation, (*lowerings(spec.role), DIRECT))
    spec = replace(spec, lowering=implementation)
    if implementation == DIRECT:
        return spec
    case = Case(spec, spec.sizes(image, kernel), np.dtype(dtype))
    reason = LOWERINGS[implementation].refuse(case)
    if reason is not None:
        remedy = "Leave implementation out to have one chosen"
        fail("implementation", implementation, f"cannot run this: {reason}", remedy)
    return spec
