"""Which lowering computes a case, and why.

Rules are tried in order; the first that applies to the case, is not refused by its
lowering and keeps to the memory limit decides.  Every rule stands beside the
measurement that made it, in `_plan.cpu` and `_plan.accelerators`.  Without a rule it
is ``xla``, which computes everything.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxconv._border import arguments as can
from jaxconv._core.spec import OPERANDS, Case, Role, Shape, Spec
from jaxconv._lowerings import LOWERINGS
from jaxconv._lowerings.base import DIRECT, Lowering
from jaxconv._plan.accelerators import ACCELERATORS
from jaxconv._plan.cpu import CPU
from jaxconv._plan.rule import Rule

RULES: tuple[Rule, ...] = (*CPU, *ACCELERATORS)
MEMORY = 4  # a planned lowering needs at most this many times operands plus result
MEMORY_FREE = 2**20  # ... or this many bytes, which no one will miss
# Winners of `jaxconv.tune` in force; part of jit's cache key.
TUNED = jax.make_user_context(default_value=None)


class Choice(NamedTuple):
    lowering: Lowering
    reason: str


def choose(case: Case, platform: str) -> Choice:
    """The lowering asked for, else a tuned one, else the first rule's, else xla.

    "direct" asks for any in which NaN and infinity do not spread.

    What is asked for was admitted at the border; only a derivative of such a call or a
    vmap of it can be a case that the same lowering refuses, and is planned instead.
    """
    named = LOWERINGS.get(case.spec.lowering or "")
    if named is not None and named.refuse(case) is None:
        return Choice(named, "asked for by name")
    if type(case.sizes.n) is not int:
        return _choose_for_any_batch(case, platform)
    winners = dict(TUNED.value or ())
    tuned = winners.get(case_key(case, platform)) if winners else None
    if tuned is not None and takes(LOWERINGS[tuned], case):
        return Choice(LOWERINGS[tuned], "measured fastest by tune")
    for rule in RULES:
        if platform in rule.platforms and rule.applies(case):
            lowering = LOWERINGS[rule.name]
            if (fits if rule.limited else takes)(lowering, case):
                return Choice(lowering, rule.reason)
    if platform == "cpu" and not takes(LOWERINGS["xla"], case):
        return Choice(_least_scratch(case), "of those asked for it takes least memory")
    return Choice(LOWERINGS["xla"], "no rule applies, and it computes everything")


def _choose_for_any_batch(case: Case, platform: str) -> Choice:
    """Of the rules only those that need no number of bytes."""
    for rule in RULES:
        known = not rule.limited and platform in rule.platforms
        if known and rule.applies(case) and takes(LOWERINGS[rule.name], case):
            return Choice(LOWERINGS[rule.name], rule.reason)
    return Choice(LOWERINGS["xla"], "the batch size is symbolic, as in jax.export")


def takes(lowering: Lowering, case: Case) -> bool:
    """Whether a lowering computes the case; "direct" also without spreading a NaN."""
    if case.role not in lowering.roles or lowering.refuse(case) is not None:
        return False
    return case.spec.lowering != DIRECT or lowering.spreads(case) is None


def _least_scratch(case: Case) -> Lowering:
    planned = (v for v in LOWERINGS.values() if not v.by_hand and takes(v, case))
    return min(planned, key=lambda lowering: lowering.scratch(case))


def fits(lowering: Lowering, case: Case) -> bool:
    """Whether a lowering takes the case and keeps to the plan's memory limit."""
    if not takes(lowering, case):
        return False
    return lowering.scratch(case) <= max(MEMORY * case.operand_bytes, MEMORY_FREE)


def candidates(case: Case, platform: str) -> list[str]:
    """The lowerings worth timing: those of the platform's rules that fit, and xla."""
    named = {rule.name for rule in RULES if platform in rule.platforms}
    return [
        name
        for name, lowering in LOWERINGS.items()
        if name == "xla" or (name in named and fits(lowering, case))
    ]


def admissible(case: Case) -> list[str]:
    """Every lowering that does not refuse the case."""
    return [
        name for name in lowerings(case.role) if LOWERINGS[name].refuse(case) is None
    ]


def platform_name(backend: str) -> str:
    """JAX's name of a backend as that of a lowering platform."""
    return {"gpu": "cuda"}.get(backend, backend)


def case_key(case: Case, platform: str) -> str:
    """A text that stands for a case in saved tunings."""
    spec = case.spec
    parts = {
        "platform": platform,
        "role": spec.role,
        **asdict(spec.geometry),
        "groups": spec.groups,
        "sizes": case.sizes,
        "dtype": case.dtype.name,
        "result": spec.dtype.name,
        "layout": spec.layout,
    }
    return json.dumps(parts, separators=(",", ":"), default=str)


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
    return name if name in (*lowerings(role), DIRECT) else None


def admit(
    implementation: Any, spec: Spec, image: Shape, kernel: Shape, dtype: Any
) -> Spec:
    """The spec with the asked-for lowering, or an error that says why it cannot be."""
    if implementation is None:
        return spec
    if implementation in LOWERINGS and implementation not in lowerings(spec.role):
        rule = f"does not compute the role {spec.role!r}"
        remedy = f"Write one of {', '.join(map(repr, lowerings(spec.role)))}"
        can.fail("implementation", implementation, rule, remedy)
    can.choice("implementation", implementation, (*lowerings(spec.role), DIRECT))
    spec = replace(spec, lowering=implementation)
    if implementation == DIRECT:
        return spec
    case = Case(spec, spec.sizes(image, kernel), np.dtype(dtype))
    reason = LOWERINGS[implementation].refuse(case)
    if reason is not None:
        remedy = "Leave implementation out to have one chosen"
        can.fail("implementation", implementation, f"cannot run this: {reason}", remedy)
    return spec
