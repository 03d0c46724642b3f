"""How far a NaN or an infinity travels: no further than in direct convolution, or said.

Direct convolution is the definition, whose padding is left out or is zeros that are
multiplied like any element, as lax does the one or the other: 0 * inf is NaN.
"""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxconv
import oracle
from cases import CASES, Case, described, named, over_cases, over_roles
from jaxconv._core import spec as _spec
from jaxconv._core.contract import contract
from jaxconv._core.spec import OPERANDS
from jaxconv._lowerings import LOWERINGS
from jaxconv._lowerings.base import DIRECT, Lowering
from jaxconv._plan import choose as _plan
from jaxconv._plan.place import Place
from oracle import Window

ROOT = Path(__file__).parents[1]
Rng = np.random.Generator
FINITE, NAN = 0, 3
PAIRS = [(name, role) for name, low in LOWERINGS.items() for role in low.roles]

# One of each kind: with a stride, dilation, groups, and taps that fill the stride.
SOME = named(
    "line grouped",
    "everything",
    "grouped",
    "depthwise strided and dilated",
    "dcgan",
    "kernel is input",
    "line strided and dilated",
    "volume depthwise",
)


def kinds(v: Any) -> np.ndarray:
    """0 where finite, 1 and 2 for the infinities, 3 for NaN."""
    v = np.asarray(v, np.float64)
    return np.select([v == np.inf, v == -np.inf, np.isnan(v)], [1, 2, NAN], FINITE)


def bordered(case: Case, role: str, a: np.ndarray) -> tuple[np.ndarray, Window]:
    """The image with its zeros as elements, and the windows that then need none."""
    i, k, o, s, d, low = case.window
    axes = range(case.ndim)
    span = [d[a] * (k[a] - 1) + 1 for a in axes]
    if role == "input":
        more = [max(span[a], i[a] + abs(low[a])) // s[a] + 1 for a in axes]
        a = np.pad(a, [(0, 0), (0, 0), *((m, m) for m in more)])
        low = tuple(low[a] + more[a] * s[a] for a in axes)
        return a, Window(i, k, a.shape[2:], s, d, low)
    reach = [(o[a] - 1) * s[a] + span[a] for a in axes]
    zeros = [(max(low[a], 0), max(reach[a] - low[a] - i[a], 0)) for a in axes]
    a = np.pad(a, [(0, 0), (0, 0), *zeros])
    return a, Window(a.shape[2:], k, o, s, d, tuple(min(v, 0) for v in low))


def direct(case: Case, role: str, a: np.ndarray, b: np.ndarray) -> list[np.ndarray]:
    """The kinds of results without and with the padding's zeros."""
    wide, window = bordered(case, role, a)
    with np.errstate(invalid="ignore"):
        return [
            kinds(case.expected(role, a, b)),
            kinds(oracle.contract(role, wide, b, window, case.groups)),
        ]


class Spoiled(NamedTuple):
    """Operands with one NaN or infinity, and whither direct convolution takes it."""

    operands: list[np.ndarray]
    least: np.ndarray
    most: np.ndarray


@functools.cache
def spoiled(case: Case, role: str) -> list[Spoiled]:
    """In either operand, in the middle or at an end."""
    clean = case.operands(role, np.random.default_rng(7))
    found: list[Spoiled] = []
    for place, bad, middle in itertools.product((0, 1), (np.nan, np.inf), (0, 1)):
        pair = [v.copy() for v in clean]
        at = [size // 2 if middle else 0 for size in pair[place].shape]
        pair[place][tuple(at)] = bad
        found.append(Spoiled(pair, *direct(case, role, *pair)))
    return found


def reached(case: Case, role: str, name: str, a: np.ndarray, b: np.ndarray) -> Any:
    spec = case.spec(role, dtype=np.float32, lowering=name)
    return kinds(contract(jnp.asarray(a, "f4"), jnp.asarray(b, "f4"), spec))


def further(lowering: Lowering, case: _spec.Case) -> str | None:
    """What the lowering is said to spread, with the inner cases it is reduced to."""
    return _plan.spreads(lowering, case, Place("cpu"))


def check(case: Case, role: str, name: str, spreads: bool) -> int:
    """How many results are not finite that direct convolution leaves alone."""
    extra = 0
    for operands, least, most in spoiled(case, role):
        found = reached(case, role, name, *operands)
        assert (found[least > FINITE] > FINITE).all(), "a NaN or infinity is lost"
        other = (found != least) & (found != most)
        assert spreads or not other.any(), (case.name, np.argwhere(other)[:5])
        assert (found[other] == NAN).all()
        extra += int((other & (least == FINITE)).sum())
    return extra


@pytest.mark.parametrize(("name", "role"), PAIRS)
def test_spread_is_declared(name: str, role: str) -> None:
    """Where nothing is declared nothing spreads; what is declared does somewhere."""
    lowering = LOWERINGS[name]
    asked = {case: described(case, role, np.float32) for case in SOME}
    taken = [case for case in SOME if lowering.refuse(asked[case]) is None]
    declared = [case for case in taken if further(lowering, asked[case]) is not None]
    for case in [case for case in taken if case not in declared][:3]:
        check(case, role, name, spreads=False)
    extra = sum(check(case, role, name, spreads=True) for case in declared[:2])
    assert bool(declared) == (extra > 0)


# What the plan does -------------------------------------------------------------------


def spreading(case: Case, role: str, name: str | None) -> str | None:
    asked = described(case, role, np.float32, name)
    return _plan.spreads(
        _plan.choose(asked, Place("cpu")).lowering, asked, Place("cpu")
    )


@over_roles
@over_cases(SOME[:4])
def test_direct_spreads_nothing(role: str, case: Case) -> None:
    assert check(case, role, DIRECT, spreads=False) == 0


def test_direct_always_finds_a_lowering() -> None:
    for case, role in itertools.product(CASES, OPERANDS):
        assert spreading(case, role, DIRECT) is None
    some = [
        spreading(case, role, None) for case, role in itertools.product(CASES, OPERANDS)
    ]
    assert any(some)  # that the plan would take otherwise


def test_direct_holds_for_gradients_and_vmap(rng: Rng) -> None:
    """Groups of two channels, which `grouped` merges."""
    x = jnp.asarray(rng.standard_normal((2, 6, 9)), "f4").at[1, 2, 4].set(jnp.nan)
    kernel = jnp.asarray(rng.standard_normal((9, 2, 4)), "f4")

    def conv(x: Any, name: str | None) -> Any:
        return jaxconv.conv(x, kernel, padding=2, groups=3, implementation=name)

    def pulled(name: str | None) -> Any:
        y = jnp.where(jnp.isnan(conv(x, DIRECT)), jnp.nan, 1.0).astype("f4")
        return jax.vjp(lambda x: conv(x, name), jnp.zeros_like(x))[1](y)[0]

    def channels(v: Any) -> list[int]:
        return [int(c) for c in np.flatnonzero(np.isnan(v).any((0, 2)))]

    assert channels(conv(x, DIRECT)) == [3, 4, 5]
    assert channels(jax.vmap(lambda x: conv(x, DIRECT))(x)) == [3, 4, 5]
    assert channels(pulled(DIRECT)) == [2, 3]
    assert channels(conv(x, "grouped")) == [*range(9)]
    assert channels(pulled("grouped")) == [*range(6)]


@jaxconv.onednn("forbid")
def test_explain_tells_what_spreads() -> None:
    shapes = [jax.ShapeDtypeStruct(v, "float32") for v in ((2, 9, 108), (4, 12, 81))]

    def explained(name: str | None, platform: str = "cpu") -> str:
        options = {"groups": 9, "implementation": name, "layout": "channels_last"}
        return jaxconv.explain(jaxconv.conv, *shapes, platform=platform, **options)

    said = (
        "NaN and infinity spread from an image into the 3 groups of its block, as NaN"
    )
    assert f"{said}; implementation='direct' avoids it" in explained(None)
    assert "lowering 'separate'" in explained(DIRECT)
    assert "infinity spread" not in explained(DIRECT)
    assert "infinity spread" not in explained(None, "cuda")


def test_page_lists_every_lowering_that_spreads() -> None:
    page = (ROOT / "docs" / "numerics.md").read_text(encoding="utf-8")
    section = page.split("## NaN and infinity")[1].split("\n## ")[0]
    told = {line.split("`")[1] for line in section.splitlines() if line[:3] == "| `"}
    found = {
        name
        for name, role in PAIRS
        for case in CASES
        if LOWERINGS[name].refuse(described(case, role, np.float32)) is None
        and _plan.spreads(
            LOWERINGS[name], described(case, role, np.float32), Place("cpu")
        )
        is not None
    }
    assert told == found
