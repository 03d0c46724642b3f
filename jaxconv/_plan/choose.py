"""Chooses the lowering that computes a case in a place, and gives the reason.

A lowering that the call names comes first, then the result of `jaxconv.tune`, then the
rules.  Rules are tried in order.  The first one decides that applies to the case, whose
lowering does not refuse it and needs no more memory than the limit.  `_plan.cpu` and
`_plan.accelerators` have the rules, each with the measurement that justifies it.  If no
rule applies, the choice is ``xla``, which computes every case.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import NamedTuple

import jax

from jaxconv._core.errors import fail
from jaxconv._core.spec import Case
from jaxconv._lowerings import LOWERINGS
from jaxconv._lowerings.base import DIRECT, Lowering
from jaxconv._plan import onednn
from jaxconv._plan.accelerators import ACCELERATORS
from jaxconv._plan.cpu import CPU
from jaxconv._plan.place import Place
from jaxconv._plan.rule import Rule
from jaxconv._plan.sharding import PARTITIONED

RULES: tuple[Rule, ...] = (*CPU, *ACCELERATORS)
ONEDNN = "onednn"
MEMORY = 5  # a planned lowering needs at most this many times operands plus result
MEMORY_FREE = 3 * 2**20  # ... or this many bytes: always allowed, too small to matter
# The results of `jaxconv.tune` that apply now; part of jit's cache key.
TUNED = jax.make_user_context(default_value=None)


class Choice(NamedTuple):
    """A lowering, and why it was chosen."""

    lowering: Lowering
    reason: str


def chain(case: Case, place: Place) -> list[tuple[Case, Choice]]:
    """The case and its choice, followed by those of each inner case."""
    choice = choose(case, place)
    found = [(case, choice)]
    if choice.lowering.inner is not None:
        found += chain(choice.lowering.inner(case), place)
    return found


def scratch(lowering: Lowering, case: Case, place: Place) -> int:
    """Bytes beside operands and result, those of the inner case included."""
    needed: Callable[..., int] = lowering.scratch
    if lowering.inner is None:
        return needed(case)
    inner = lowering.inner(case)
    return needed(case, scratch(choose(inner, place).lowering, inner, place))


def spreads(lowering: Lowering, case: Case, place: Place) -> str | None:
    """The results that NaN and infinity reach beyond those of direct convolution."""
    own = lowering.spreads(case)
    if own is not None or lowering.inner is None:
        return own
    inner = lowering.inner(case)
    return spreads(choose(inner, place).lowering, inner, place)


def choose(case: Case, place: Place) -> Choice:
    """The named lowering, else the tuned one, else that of a rule, else xla.

    The name "direct" admits any lowering in which NaN and infinity do not spread.
    """
    named = _demanded(case, place) or asked_for(case)
    if named is not None:
        return Choice(named, "asked for by name")
    tuned = _tuned(case, place)
    if tuned is not None:
        return Choice(tuned, "measured fastest by tune")
    return by_rule(case, place)


def by_rule(case: Case, place: Place) -> Choice:
    """The lowering of the first rule that applies, else xla."""
    for rule in (*PARTITIONED, *RULES):
        if rule.limited and symbolic(case):  # its condition needs all sizes
            continue
        lowering = LOWERINGS[rule.name]
        if rule.applies_at(case, place) and runs_at(lowering, case, place):
            if fits(lowering, case, place, rule.limited):
                return Choice(lowering, rule.reason)
    if place.platform == "cpu" and not takes(LOWERINGS["xla"], case):
        reason = "no rule applies, and it needs least memory of those allowed"
        return Choice(_least_scratch(case, place), reason)
    return Choice(LOWERINGS["xla"], "no rule applies, and it computes everything")


def in_either_layout(case: Case) -> bool:
    """Whether a CPU computes the case in either layout without transposed copies.

    XLA fuses transposes of operands into the sums of ``narrow``.
    """
    lowering = by_rule(case, Place("cpu")).lowering
    return lowering.native or lowering.name == "narrow"


def _demanded(case: Case, place: Place) -> Lowering | None:
    """oneDNN if the call or the switch demands it; raises if it is not available.

    If a call names it, a gradient or vmap of the call that oneDNN cannot compute is
    planned as usual.  The switch demands it for every case.
    """
    lowering, named = LOWERINGS[ONEDNN], case.spec.lowering == ONEDNN
    if named and not takes(lowering, case):
        return None
    if not named and onednn.mode() != "demand":
        return None
    reason = lowering.refuse(case) or onednn.obstacle(*place[:3], asked=True)
    if reason is not None:
        name, got = ("implementation", ONEDNN) if named else ("onednn", "demand")
        remedy = "Leave it out, and the plan takes another lowering where it has to"
        fail(name, got, f"oneDNN cannot be had here: {reason}", remedy)
    return lowering


def asked_for(case: Case) -> Lowering | None:
    """The lowering that the call names, if it computes this case.

    The call itself was checked by the border.  A gradient or vmap of it may be a case
    that this lowering cannot compute, and is then planned as usual.
    """
    named = LOWERINGS.get(case.spec.lowering or "")
    return named if named is not None and takes(named, case) else None


def _tuned(case: Case, place: Place) -> Lowering | None:
    winners = dict(TUNED.value or ())
    if not winners or place.partitioned or symbolic(case):
        return None
    name = winners.get(case_key(case, place.platform))
    if name is None or not runs_at(LOWERINGS[name], case, place):
        return None
    return LOWERINGS[name] if takes(LOWERINGS[name], case) else None


def runs_at(lowering: Lowering, case: Case, place: Place) -> bool:
    """Whether the machine and the kind of program allow a lowering."""
    return lowering.name != ONEDNN or place.onednn


def symbolic(case: Case) -> bool:
    """Whether a size is symbolic, as in `jax.export`.

    This can be the batch, or the channels where lax uses them as a batch.
    """
    return not all(type(size) is int for size in case.sizes)


def takes(lowering: Lowering, case: Case) -> bool:
    """Whether a lowering computes the case, and for "direct" does not spread NaN."""
    if case.role not in lowering.roles or lowering.refuse(case) is not None:
        return False
    return case.spec.lowering != DIRECT or lowering.spreads(case) is None


def _least_scratch(case: Case, place: Place) -> Lowering:
    planned = (v for v in LOWERINGS.values() if not v.by_hand and takes(v, case))
    return min(planned, key=lambda lowering: scratch(lowering, case, place))


def fits(lowering: Lowering, case: Case, place: Place, limited: bool = True) -> bool:
    """Whether a lowering computes the case, within the plan's memory limit if any."""
    if not takes(lowering, case):
        return False
    if not limited:
        return True
    most = max(MEMORY * case.operand_bytes, MEMORY_FREE)
    return scratch(lowering, case, place) <= most


def candidates(case: Case, place: Place) -> list[str]:
    """The lowerings to be timed: those of the place's rules that fit, and xla."""
    named = {rule.name for rule in RULES if place.platform in rule.platforms}
    return [
        name
        for name, lowering in LOWERINGS.items()
        if name == "xla"
        or (
            name in named
            and runs_at(lowering, case, place)
            and fits(lowering, case, place)
        )
    ]


def made_for_others(platform: str) -> set[str]:
    """The lowerings that have rules, but none for this platform."""
    here = {rule.name for rule in RULES if platform in rule.platforms}
    return {rule.name for rule in RULES} - here - {"xla"}


def case_key(case: Case, platform: str) -> str:
    """The key of a case in saved tunings."""
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
