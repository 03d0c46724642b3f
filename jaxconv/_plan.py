"""Which lowering computes a case, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from jaxconv import _canonical as can
from jaxconv._lowerings import LOWERINGS
from jaxconv._lowerings._base import Lowering
from jaxconv._spec import OPERANDS, Case, Role, Shape, Spec


class Choice(NamedTuple):
    lowering: Lowering
    reason: str


def choose(case: Case, platform: str) -> Choice:
    """The lowering that was asked for, else the first rule that applies, else xla.

    What is asked for was admitted at the border; only a derivative of such a call or a
    vmap of it can be a case that the same lowering refuses, and is planned instead.
    """
    named = LOWERINGS.get(case.spec.lowering or "")
    if named is not None and named.refuse(case) is None:
        return Choice(named, "asked for by name")
    return Choice(LOWERINGS["xla"], "the general form")


def lowerings(role: Role) -> tuple[str, ...]:
    """The names that ``implementation=`` takes, for one role of a contraction.

    Args:
      role: "output" (`conv`), "input" (`conv_transpose`, and conv's gradient with
        respect to x) or "kernel" (both functions' gradient with respect to the kernel).

    Returns:
      The names, "xla" first.

    Raises:
      ValueError: an unknown role.

    Example:
      >>> import jaxconv
      >>> "window" in jaxconv.lowerings("output")
      True

    Elsewhere: no counterpart; PyTorch and XLA choose without asking.

    Source: the lowering modules themselves.
    """
    can.choice("role", role, tuple(OPERANDS))
    return tuple(name for name, lowering in LOWERINGS.items() if role in lowering.roles)


def carried(name: str | None, role: Role) -> str | None:
    """A derivative's lowering: the same by name if it has the role, else planned."""
    return name if name in lowerings(role) else None


def admit(
    implementation: Any, spec: Spec, image: Shape, kernel: Shape, dtype: Any
) -> Spec:
    """The spec with the asked-for lowering, or an error that says why it cannot be."""
    if implementation is None:
        return spec
    can.choice("implementation", implementation, lowerings(spec.role))
    spec = replace(spec, lowering=implementation)
    case = Case(spec, spec.sizes(image, kernel), np.dtype(dtype))
    reason = LOWERINGS[implementation].refuse(case)
    if reason is not None:
        remedy = "Leave implementation out to have one chosen"
        can.fail("implementation", implementation, f"cannot run this: {reason}", remedy)
    return spec
