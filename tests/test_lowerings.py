"""Every lowering, for every role it has, on every case that it does not refuse.

New lowerings join by being listed in ``LOWERINGS``.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cases import CASES, Case, arrange, named, over_cases, over_roles
from jaxconv._core import spec as _spec
from jaxconv._core.contract import contract
from jaxconv._core.geometry import Geometry
from jaxconv._core.spec import OPERANDS, Sizes, Spec
from jaxconv._lowerings import LOWERINGS
from jaxconv._plan import choose as _plan
from jaxconv._plan.place import Place
from oracle import close

PAIRS = [(name, role) for name, low in LOWERINGS.items() for role in low.roles]

# One of each kind: in these the gradients and the loops are compiled too.
THOROUGH = (
    "line shifted causal",
    "everything",
    "depthwise strided and dilated",
    "many channels",
    "volume strided",
)


# Whose low padding, or that of a derivative, is negative if one is not careful.
BEYOND = (
    "line shifted causal",
    "line kept zeros",
    "oversized low",
    "oversized low strided",
    "cropped strided",
)


def described(case: Case, role: str, dtype: Any, name: str | None = None) -> _spec.Case:
    """What a lowering is asked about."""
    spec = case.spec(role, "channels_last", dtype, name)
    sizes = _spec.Sizes(case.n, case.c, case.o)
    return _spec.Case(spec, sizes, np.dtype(dtype))


def accepted(
    cases: Sequence[Case], dtype: Any, pairs: Sequence[tuple[str, str]] = PAIRS
) -> list[Any]:
    return [
        pytest.param(name, role, case, id=f"{name}-{role}-{case.name}")
        for name, role in pairs
        for case in cases
        if LOWERINGS[name].refuse(described(case, role, dtype)) is None
    ]


def together(cases: Sequence[Case], dtype: Any) -> list[Any]:
    """All accepted cases of a lowering and role at once, to be compiled as one."""
    found: dict[tuple[str, str], list[Case]] = {}
    for name, role, case in (entry.values for entry in accepted(cases, dtype)):
        found.setdefault((name, role), []).append(case)
    return [
        pytest.param(*pair, cases, id="-".join(pair)) for pair, cases in found.items()
    ]


@pytest.mark.parametrize(("name", "role", "cases"), together(CASES, np.float64))
def test_values(
    name: str, role: str, cases: Sequence[Case], rng: np.random.Generator
) -> None:
    """In float64, where a wrong border cannot hide behind rounding."""
    operands = [case.operands(role, rng) for case in cases]
    specs = [case.spec(role, "channels_last", lowering=name) for case in cases]

    @jax.jit
    def every(pairs: Any) -> Any:
        each = zip(pairs, specs, strict=True)
        return [contract(a, b, spec) for (a, b), spec in each]

    results = every([_last(role, *pair) for pair in operands])
    wrong: dict[str, AssertionError] = {}
    for case, pair, out in zip(cases, operands, results, strict=True):
        exact = case.expected(role, *pair)
        try:
            close(_first(role, np.asarray(out)), exact, case.terms(role), np.float64)
        except AssertionError as error:
            wrong[case.name] = error
    assert not wrong, "\n".join(f"{name}: {e}" for name, e in wrong.items())


@pytest.mark.parametrize(
    ("name", "role", "case"), accepted(named(*THOROUGH), np.float32)
)
def test_gradients_and_loops(
    name: str, role: str, case: Case, rng: np.random.Generator
) -> None:
    """In float32, under jit and inside scan: value and both gradients."""
    spec = case.spec(role, "channels_last", np.float32, name)
    a, b = case.operands(role, rng, np.float32)
    ct = case.draw(role, rng, np.float32)
    scales = (1.0, -2.0)

    def pull(a: Any, b: Any, ct: Any) -> Any:
        out, pullback = jax.vjp(lambda a, b: contract(a, b, spec), a, b)
        return out, *pullback(ct)

    @jax.jit
    def everything(a: Any, b: Any, ct: Any) -> Any:
        def step(carry: Any, scale: Any) -> Any:
            return carry, pull(scale * a, b, ct)

        looped = jax.lax.scan(step, 0, jnp.asarray(scales, np.float32))[1]
        return pull(a, b, ct), looped

    arrays = (*_last(role, a, b), jnp.asarray(arrange(ct, role, "channels_last")))
    plain, looped = everything(*arrays)
    wide = dict(zip((*OPERANDS[role], role), (a, b, ct), strict=True))
    wide = {operand: v.astype(np.float64) for operand, v in wide.items()}
    for place, wanted in enumerate((role, *OPERANDS[role])):
        exact = case.expected(wanted, *(wide[v] for v in OPERANDS[wanted]))
        terms, moved = case.terms(wanted), wanted != OPERANDS[role][0]
        close(_first(wanted, plain[place]), exact, terms, np.float32)
        for out, scale in zip(looped[place], scales, strict=True):
            scaled = scale * exact if moved else exact
            close(_first(wanted, out), scaled, terms, np.float32)


def _last(role: str, *operands: np.ndarray) -> list[np.ndarray]:
    pairs = zip(operands, OPERANDS[role], strict=True)
    return [arrange(v, operand, "channels_last") for v, operand in pairs]


def _first(operand: str, v: jax.Array) -> np.ndarray:
    space = tuple(range(v.ndim - 2))
    last = (v.ndim - 1, v.ndim - 2)
    after = tuple(axis + 1 for axis in space)
    return np.transpose(
        v, (*last, *space) if operand == "kernel" else (0, last[0], *after)
    )


@over_cases()
@over_roles
def test_refusals_and_scratch(role: str, case: Case) -> None:
    for lowering in LOWERINGS.values():
        if role not in lowering.roles:
            continue
        asked = described(case, role, np.float32)
        reason = lowering.refuse(asked)
        assert reason is None or (isinstance(reason, str) and reason)
        if reason is not None:
            continue
        for batch in (case.n, 0):
            sizes = asked.sizes._replace(n=batch)
            scratch = _plan.scratch(lowering, asked._replace(sizes=sizes), Place("cpu"))
            assert isinstance(scratch, int)
            assert scratch >= 0


def test_names_and_roles() -> None:
    assert LOWERINGS["xla"].roles.keys() == {"output", "input", "kernel"}
    for name, lowering in LOWERINGS.items():
        assert lowering.name == name
        assert lowering.summary
        assert lowering.roles.keys() <= {"output", "input", "kernel"}


def test_xla_refuses_nothing() -> None:
    for case in CASES:
        for role in OPERANDS:
            assert LOWERINGS["xla"].refuse(described(case, role, np.float32)) is None


# What XLA is given --------------------------------------------------------------------

CANONICAL = {1: "b0f_0io->b0f", 2: "b01f_01io->b01f", 3: "b012f_012io->b012f"}

LOOPS = {
    "scan": lambda f, a, b: jax.lax.scan(lambda c, v: (c, f(v, b)), 0, a)[1],
    "map": lambda f, a, b: jax.lax.map(lambda v: f(v, b), a),
    "cond": lambda f, a, b: jax.lax.cond(
        a.sum() > 0, f, lambda v, b: -f(v, b), a[0], b
    ),
}


def convolutions(hlo: str) -> list[str]:
    return [line for line in hlo.splitlines() if " convolution(" in line]


def labels(hlo: str) -> set[str]:
    found = {re.search(r"dim_labels=([^\s,]+)", line) for line in convolutions(hlo)}
    return {match.group(1) for match in found if match}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("name", ["line", "strided", "many channels", "volume strided"])
@over_roles
def test_loops_hold_only_the_fast_order(
    role: str, name: str, loop: str, rng: np.random.Generator
) -> None:
    """XLA on a CPU puts convolutions into this order in the entry computation only."""
    case = named(name)[0]._replace(n=2, groups=1)
    spec = case.spec(role, "channels_first", np.float32, "xla")
    a, b = case.operands(role, rng, np.float32)
    looped = jax.jit(lambda a, b: LOOPS[loop](lambda a, b: contract(a, b, spec), a, b))
    lowered = looped.lower(jnp.stack([a, 2 * a]), jnp.asarray(b))
    assert labels(lowered.as_text(dialect="hlo")) == {CANONICAL[case.ndim]}
    assert labels(lowered.compile().as_text()) == {CANONICAL[case.ndim]}


OTHERS = [(name, role) for name, role in PAIRS if name != "xla"]


@pytest.mark.parametrize(
    ("name", "role", "case"),
    [
        *accepted(CASES, np.float32, [("xla", role) for role in OPERANDS]),
        *accepted(named(*BEYOND), np.float32, OTHERS),
    ],
)
def test_no_negative_padding(name: str, role: str, case: Case) -> None:
    """Not in a convolution; elsewhere not low together with zeros in between."""
    spec = case.spec(role, "channels_first", np.float32, name)
    shapes = [jax.ShapeDtypeStruct(case.shape(v), np.float32) for v in OPERANDS[role]]
    lowered = jax.jit(lambda a, b: contract(a, b, spec)).lower(*shapes)
    hlo = lowered.as_text(dialect="hlo")
    found = convolutions(hlo)
    assert not any(re.search(r"pad=\S*-", line) for line in found)
    assert not re.search(r"padding=\S*-\d+_-?\d+_[1-9]", hlo)
    if name == "xla":
        none_read = case.name in ("only padding", "past the input") or case.n == 0
        assert len(found) == (0 if none_read else 1)


# For devices that take 16-bit floats and add them up in float32 themselves.
NATIVE = ("cudnn", "mxu", "stretch")


@pytest.mark.parametrize("half", [jnp.bfloat16, np.float16])
@pytest.mark.parametrize(
    ("name", "role", "case"),
    accepted(
        named("plane", "depthwise"),
        jnp.bfloat16,
        [(name, role) for name, role in PAIRS if name not in NATIVE],
    ),
)
def test_halves_are_added_up_in_float32(
    name: str, role: str, case: Case, half: Any
) -> None:
    """XLA on a CPU does so unasked, other devices do not: hence what it is asked."""
    spec = case.spec(role, "channels_last", half, name)
    shapes = [
        arrange(np.empty(case.shape(v)), v, "channels_last").shape
        for v in OPERANDS[role]
    ]
    lowered = jax.jit(lambda a, b: contract(a, b, spec)).lower(
        *(jax.ShapeDtypeStruct(shape, half) for shape in shapes)
    )
    kinds = ["convolution", "dot", "reduce", "select-and-scatter", "fft"]
    if name != "matrix":  # adds in building its matrix, where a place has one weight
        kinds += ["add", "scatter"]
    sums = rf"= (\w+)\[\S* (?:{'|'.join(kinds)})\("
    found = re.findall(sums, lowered.as_text(dialect="hlo"))
    assert found
    assert not {"bf16", "f16"} & set(found)


@pytest.mark.parametrize(
    ("size", "k", "s", "d", "groups"),
    [(5000, 37, 3, 2, 1), (4097, 150, 1, 1, 3), (9001, 9, 11, 1, 2)],
    ids=str,
)
@pytest.mark.parametrize("role", OPERANDS)
def test_fft_in_blocks(role, size, k, s, d, groups, rng):
    """Lines of over a thousand elements are cut into overlapping blocks."""
    lo, c, o = 5, 2, 1
    output = (size + 2 * lo - d * (k - 1) - 1) // s + 1
    geometry = Geometry((size,), (k,), (output,), (s,), (d,), (lo,))
    spec = Spec(role, geometry, groups, "channels_last", np.dtype("float64"))
    sizes = Sizes(2, c, o)
    a, b = (rng.normal(size=spec.shape(name, sizes)) for name in spec.operands)
    found = contract(a, b, dataclasses.replace(spec, lowering="fft"))
    expected = contract(a, b, dataclasses.replace(spec, lowering="xla"))
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * scale)
