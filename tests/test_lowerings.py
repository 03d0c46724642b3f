"""Every lowering, for every role it has, on every case that it does not refuse.

New lowerings join by being listed in ``LOWERINGS``.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cases import (
    CASES,
    Case,
    arrange,
    contract_all,
    described,
    named,
    over_cases,
    over_roles,
)
from jaxconv._core.contract import contract
from jaxconv._core.geometry import Geometry
from jaxconv._core.spec import OPERANDS, Layout, Sizes, Spec
from jaxconv._lowerings import LOWERINGS
from jaxconv._plan import choose as _plan
from jaxconv._plan.place import Place
from oracle import close
from programs import CANONICAL, LOOPS, convolutions, labels

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


def together(
    cases: Sequence[Case], dtype: Any, pairs: Sequence[tuple[str, str]] = PAIRS
) -> list[Any]:
    """All accepted cases of a lowering and role at once, to be compiled as one."""
    every = (
        (
            name,
            role,
            [
                case
                for case in cases
                if LOWERINGS[name].refuse(described(case, role, dtype)) is None
            ],
        )
        for name, role in pairs
    )
    return [pytest.param(*v, id="-".join(v[:2])) for v in every if v[2]]


@pytest.mark.parametrize(("name", "role", "cases"), together(CASES, np.float64))
def test_values(
    name: str, role: str, cases: Sequence[Case], rng: np.random.Generator
) -> None:
    contract_all(cases, role, "channels_last", rng, name)


@pytest.mark.parametrize(
    ("name", "role", "cases"), together(named(*THOROUGH), np.float32)
)
def test_gradients_and_loops(
    name: str, role: str, cases: Sequence[Case], rng: np.random.Generator
) -> None:
    """In float32, under jit and inside scan: value and both gradients."""
    specs = [case.spec(role, "channels_last", np.float32, name) for case in cases]
    drawn = [
        (*case.operands(role, rng, np.float32), case.draw(role, rng, np.float32))
        for case in cases
    ]
    scales = (1.0, -2.0)

    def pull(arrays: Any, scale: Any) -> Any:
        found = []
        for spec, (a, b, ct) in zip(specs, arrays, strict=True):
            out, pullback = jax.vjp(partial(contract, spec=spec), scale * a, b)
            found.append((out, *pullback(ct)))
        return found

    @jax.jit
    def everything(arrays: Any) -> Any:
        def step(carry: Any, scale: Any) -> Any:
            return carry, pull(arrays, scale)

        looped = jax.lax.scan(step, 0, jnp.asarray(scales, np.float32))[1]
        return pull(arrays, np.float32(1)), looped

    last = [
        (*_last(role, a, b), arrange(ct, role, "channels_last")) for a, b, ct in drawn
    ]
    for case, arrays, plain, looped in zip(
        cases, drawn, *everything(last), strict=True
    ):
        known = dict(zip((*OPERANDS[role], role), arrays, strict=True))
        known = {operand: v.astype(np.float64) for operand, v in known.items()}
        for place, wanted in enumerate((role, *OPERANDS[role])):
            exact = case.expected(wanted, *(known[v] for v in OPERANDS[wanted]))
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


# Every role in every loop, and with every case.
LOOPED = ("line", "strided", "many channels", "volume strided")
IN_LOOPS = [
    (role, name, [*LOOPS][(i + j) % 3])
    for i, role in enumerate(OPERANDS)
    for j, name in enumerate(LOOPED)
]


@pytest.mark.parametrize(("role", "name", "loop"), IN_LOOPS)
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


def lowered(
    cases: Sequence[Case], role: str, dtypes: Sequence[Any], layout: str, name: str
) -> str:
    """One program of all cases in all types, as XLA gets it."""
    pairs, specs = [], []
    for case, dtype in itertools.product(cases, dtypes):
        spec = case.spec(role, layout, dtype, name)
        sizes = Sizes(case.n, case.c, case.o)
        shapes = (spec.shape(v, sizes) for v in spec.operands)
        pairs.append([jax.ShapeDtypeStruct(shape, dtype) for shape in shapes])
        specs.append(spec)

    def every(pairs: Any) -> Any:
        each = zip(pairs, specs, strict=True)
        return [contract(a, b, spec) for (a, b), spec in each]

    return jax.jit(every).lower(pairs).as_text(dialect="hlo")


@pytest.mark.parametrize(
    ("name", "role", "cases"),
    [
        *together(CASES, np.float32, [("xla", role) for role in OPERANDS]),
        *together(named(*BEYOND), np.float32, OTHERS),
    ],
)
def test_no_negative_padding(name: str, role: str, cases: Sequence[Case]) -> None:
    """Not in a convolution; elsewhere not low together with zeros in between."""
    hlo = lowered(cases, role, [np.float32], "channels_first", name)
    found = convolutions(hlo)
    assert not [line for line in found if re.search(r"pad=\S*-", line)]
    assert not re.search(r"padding=\S*-\d+_-?\d+_[1-9]", hlo)
    if name == "xla":
        nothing = ("only padding", "past the input")  # is read
        assert len(found) == sum(v.n > 0 and v.name not in nothing for v in cases)


# For devices that take 16-bit floats and add them up in float32 themselves.
NATIVE = ("cudnn", "mxu", "stretch")


@pytest.mark.parametrize(
    ("name", "role", "cases"),
    together(
        named("plane", "depthwise"),
        jnp.bfloat16,
        [(name, role) for name, role in PAIRS if name not in NATIVE],
    ),
)
def test_halves_are_added_up_in_float32(
    name: str, role: str, cases: Sequence[Case]
) -> None:
    """XLA on a CPU does so unasked, other devices do not: hence what it is asked."""
    kinds = ["convolution", "dot", "reduce", "select-and-scatter", "fft"]
    if name != "matrix":  # adds in building its matrix, where a place has one weight
        kinds += ["add", "scatter"]
    sums = rf"= (\w+)\[\S* (?:{'|'.join(kinds)})\("
    halves = (jnp.bfloat16, np.float16)
    found = re.findall(sums, lowered(cases, role, halves, "channels_last", name))
    assert len(found) >= 2 * len(cases)
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
    spec = Spec(role, geometry, groups, Layout("channels_last"), np.dtype("float64"))
    sizes = Sizes(2, c, o)
    a, b = (rng.normal(size=spec.shape(name, sizes)) for name in spec.operands)
    found = contract(a, b, dataclasses.replace(spec, lowering="fft"))
    expected = contract(a, b, dataclasses.replace(spec, lowering="xla"))
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * scale)
