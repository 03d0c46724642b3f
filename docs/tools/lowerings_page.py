"""docs/lowerings.md, from the plan's rules and what the lowerings say of themselves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

import jaxconv
from benchmarks.peers import jaxconv_cell
from benchmarks.table import KNOWN
from benchmarks.workloads import ROLES as CELLS
from benchmarks.workloads import TITLES
from jaxconv._core.spec import OPERANDS, Case
from jaxconv._inspect.walk import contractions
from jaxconv._lowerings import LOWERINGS
from jaxconv._lowerings.base import Lowering
from jaxconv._plan import choose as _plan
from jaxconv._plan.place import Place

OPENING = """\
# Lowerings

A convolution has three operands, and leaving one of them open gives three roles, each
of which has lowerings of its own. The plan picks one for every case, by the first rule
that applies; `jaxconv.explain(fn, *args)` says which and why, and `implementation=`
takes a name instead. This page is what
[jaxconv/_plan/cpu.py](../jaxconv/_plan/cpu.py) and `jaxconv/_lowerings/` say.
"""
MATRIX = """\
## What runs where

The choice for each convolution that `make bench` measures. Names that end in sizes are
channels@size, s is the stride, d the dilation, g the groups.
"""
EVERY = """\
## Every lowering

A NaN or an infinity reaches what the formula lets it reach, and in some lowerings more,
since zero times NaN is NaN. `implementation="direct"` takes only those that keep to the
formula, for the case at hand.
"""
RULES = """\
## Rules

In this order. "Measured" are milliseconds of `xla` and of the rule's lowering, by role
(output / input / kernel) where three stand.
"""


def page() -> str:
    found = cases()
    parts = [OPENING, *_roles(), MATRIX, *_matrix(found), *_all(found)]
    parts += [RULES, *_rules()]
    return "\n".join(parts).rstrip() + "\n"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    lines = [list(head), ["---"] * len(list(head)), *map(list, rows)]
    return [*(f"| {' | '.join(line)} |" for line in lines), ""]


# Roles --------------------------------------------------------------------------------


def _roles() -> list[str]:
    x, kernel = jnp.zeros((1, 4, 6)), jnp.zeros((4, 4, 3))
    calls: dict[str, tuple[Callable[..., jax.Array], jax.Array]] = {
        "conv": (jaxconv.conv, kernel),
        "conv_transpose": (jaxconv.conv_transpose, kernel),
        "depthwise_conv": (jaxconv.depthwise_conv, kernel[:, :1]),
        "pointwise_conv": (jaxconv.pointwise_conv, kernel[..., :1]),
    }
    rows = [[f"`{name}`", *_roles_of(*call, x)] for name, call in calls.items()]
    head = ["function", "its result", "gradient in x", "gradient in the kernel"]
    return ["## Roles", "", *table(head, rows)]


def _roles_of(
    call: Callable[..., jax.Array], kernel: jax.Array, x: jax.Array
) -> list[str]:
    """The role of the function's one contraction, and of each gradient's last one."""

    def total(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return (call(x, kernel) ** 2).sum()

    found = [contractions(call, x, kernel)[0]]
    found += [contractions(jax.grad(total, n), x, kernel)[-1] for n in (0, 1)]
    return [f'"{one.case.role}"' for one in found]


# Choices ------------------------------------------------------------------------------


def platforms() -> list[str]:
    """Those that JAX lowers for, the ones that rules name first."""
    named = [name for rule in _plan.RULES for name in rule.platforms]
    return list(dict.fromkeys([*named, "cpu", "cuda", "rocm", "tpu"]))


def cases() -> dict[str, list[Case]]:
    """The contraction of every measured cell: forward, and the two gradients."""
    return {
        workload.name: [_case(workload, cell) for cell in CELLS]
        for workload in KNOWN
        if workload.context == "plain"
    }


def _case(workload: Any, cell: str) -> Case:
    shapes = [
        jax.ShapeDtypeStruct(workload.shapes[letter], workload.dtype)
        for letter in ("x", "w", "y")
    ]
    return contractions(jaxconv_cell(workload, cell), *shapes)[-1].case


def _matrix(found: dict[str, list[Case]]) -> list[str]:
    """A table for each set of platforms with the same choices."""
    tables: dict[tuple[tuple[str, ...], ...], list[str]] = {}
    places = {platform: Place(platform) for platform in platforms()}
    with_onednn = Place("cpu", onednn=True)
    for title, place in {"cpu with oneDNN": with_onednn, **places}.items():
        chosen = tuple(
            tuple(_plan.choose(case, place).lowering.name for case in row)
            for row in found.values()
        )
        tables.setdefault(chosen, []).append(title)
    lines: list[str] = []
    for chosen, names in tables.items():
        lines += [f"### {', '.join(names)}", ""]
        if {name for row in chosen for name in row} == {"xla"}:
            lines += ["`xla` throughout.", ""]
            continue
        rows = [[name, *row] for name, row in zip(found, chosen, strict=True)]
        lines += table(["convolution", *(TITLES[cell] for cell in CELLS)], rows)
    return lines


# Lowerings and rules ------------------------------------------------------------------


def _all(found: dict[str, list[Case]]) -> list[str]:
    every = [case for row in found.values() for case in row]
    rows: list[list[str]] = []
    for lowering in LOWERINGS.values():
        cases = [case for case in every if case.role in lowering.roles]
        module = next(iter(lowering.roles.values())).__module__
        path = f"../{module.replace('.', '/')}.py"
        rows.append(
            [
                f"[`{lowering.name}`]({path})",
                ", ".join(f'"{role}"' for role in OPERANDS if role in lowering.roles),
                lowering.summary,
                _platforms_of(lowering),
                _distinct(map(lowering.refuse, cases)),
                _distinct(_spreads(lowering, cases)),
            ]
        )
    head = ["lowering", "roles", "how", "planned on", "refuses, of those above"]
    head += ["NaN and infinity spread"]
    return [EVERY, *table(head, rows)]


def _spreads(lowering: Lowering, cases: Iterable[Case]) -> Iterator[str | None]:
    for case in filter(takes(lowering), cases):
        yield _plan.spreads(lowering, case, Place("cpu"))


def takes(lowering: Lowering) -> Callable[[Case], bool]:
    return lambda case: lowering.refuse(case) is None


def _platforms_of(lowering: Lowering) -> str:
    if lowering.by_hand:
        return "none, by name only"
    if lowering.name == "xla":
        return "all, where no rule applies"
    rules = (rule for rule in _plan.RULES if rule.name == lowering.name)
    named = dict.fromkeys(p for rule in rules for p in rule.platforms)
    return ", ".join(named) or "none, by name only"


def _distinct(reasons: Iterable[str | None]) -> str:
    """What is said of several cases, once, without the numbers of each."""
    told = (re.sub(r", as NaN|, not \w+$| \(\d+\)", "", v) for v in reasons if v)
    plain = (re.sub(r"\d+\.\d+", "many", re.sub(r"the \d+", "the", v)) for v in told)
    return "; ".join(sorted(set(plain)))


def _rules() -> list[str]:
    rows = (
        [str(n), f"`{rule.name}`", ", ".join(rule.platforms), rule.reason]
        for n, rule in enumerate(_plan.RULES, 1)
    )
    return table(["", "lowering", "platforms", "measured"], rows)
