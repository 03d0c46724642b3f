"""What lowerings need beside operands and result, as XLA's buffers say, and the limit.

The layout is channels last, so that nothing is there for a transpose into it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxconv
import oracle
from cases import ROLES, Case, over_cases, over_roles
from jaxconv._core import spec as _spec
from jaxconv._core.contract import contract
from jaxconv._core.spec import OPERANDS
from jaxconv._inspect.walk import contractions
from jaxconv._lowerings import LOWERINGS
from jaxconv._lowerings.base import Lowering
from jaxconv._plan import choose as _plan
from jaxconv._plan.place import Place

CONSTANTS = 2**16  # bytes for tables, alignment and small buffers
Ints = tuple[int, ...]


def middle(
    name: str,
    channels: tuple[int, int, int, int],
    input: Ints,
    kernel: Ints,
    padding: tuple[Ints, Ints] | None = None,
    stride: Ints | None = None,
    dilation: Ints | None = None,
) -> Case:
    """Operands of 0.1 to 4 MB, so that a copy of one is far more than the constants."""
    one, none = (1,) * len(kernel), (0,) * len(kernel)
    (low, high), stride, dilation = padding or (none, none), stride or one, dilation
    dilation = dilation or one
    output = tuple(map(oracle.windows, input, kernel, stride, dilation, low, high))
    window = oracle.Window(input, kernel, output, stride, dilation, low)
    return Case(name, window, *channels)


LINE = middle("line", (5, 1, 48, 40), (700,), (5,), ((2,), (2,)))
LINES = (
    LINE,
    middle("strided line", (3, 1, 64, 56), (900,), (8,), ((3,), (1,)), (4,)),
)
GROUPED_LINE = middle(
    "grouped line", (4, 3, 20, 16), (1000,), (5,), ((1,), (3,)), None, (2,)
)
PLANE = middle("plane", (3, 1, 40, 32), (56, 52), (3, 5), ((1, 2), (1, 2)))
STRIDED = middle("strided", (4, 1, 24, 40), (61, 58), (4, 3), ((1, 1), (1, 0)), (2, 3))
DILATED = middle(
    *("dilated", (3, 1, 40, 32), (56, 52), (3, 3)),
    *(((4, 2), (4, 2)), None, (4, 2)),
)
POINTS = (
    middle("points", (3, 1, 80, 24), (50, 46), (1, 1)),
    middle("strided points", (3, 1, 80, 64), (50, 46), (1, 1), None, (2, 3)),
)
PATCHES = middle("grouped patches", (4, 2, 12, 40), (64, 60), (4, 5), None, (4, 5))
GROUPED = (
    middle("grouped", (3, 6, 9, 8), (48, 44), (3, 2), ((1, 1), (1, 0))),
    middle(
        *("grouped strided", (3, 16, 4, 6), (62, 44), (3, 4)),
        *(((1, 1), (1, 0)), (2, 3)),
    ),
)
DEPTHWISE = (
    middle("depthwise", (3, 96, 1, 1), (46, 42), (3, 4), ((1, 2), (1, 1))),
    middle(
        *("depthwise strided", (3, 40, 1, 2), (56, 62), (5, 4)),
        *(((1, 2), (1, 1)), (2, 3)),
    ),
)
# Small, for lowerings by hand: the matrix of this one takes 36 MB, its columns 1.6.
BY_HAND = (
    middle("by hand", (2, 2, 5, 4), (23, 22), (3, 4), ((1, 2), (1, 1))),
    middle("by hand, strided", (2, 1, 8, 6), (23, 25), (3, 4), None, (2, 3)),
)
NARROW = middle("few channels out", (3, 1, 64, 5), (56, 52), (5, 6), ((2, 3), (2, 2)))
VOLUMES = (
    middle("volume", (2, 1, 12, 16), (20, 24, 22), (3, 2, 3), ((1, 0, 1), (1, 1, 1))),
    middle(
        *("strided volume", (2, 1, 16, 12), (21, 26, 28), (3, 2, 4)),
        *(((1, 0, 1), (1, 1, 1)), (2, 1, 3)),
    ),
)

FOR: dict[str, tuple[Case, ...]] = {
    "xla": (PLANE, STRIDED, *DEPTHWISE[:1]),
    "product": (*POINTS, PATCHES),
    "shift": DEPTHWISE,
    "grouped": (*GROUPED, GROUPED_LINE),
    "polyphase": (STRIDED, *LINES[1:], *VOLUMES[1:]),
    "overlap_add": (STRIDED, DILATED, *LINES[1:]),
    "rows": (*LINES, GROUPED_LINE),
    "slices": VOLUMES,
    "taps": (LINE, PLANE, STRIDED),
    "exchange": (LINE, DILATED, NARROW),
    "fft": (LINE, NARROW),
}
FOR |= {name: BY_HAND for name, lowering in LOWERINGS.items() if lowering.by_hand}
DISTINCT = tuple(dict.fromkeys(case for cases in FOR.values() for case in cases))


def asked(
    case: Case, role: str, name: str, layout: str = "channels_last"
) -> _spec.Case:
    spec = case.spec(role, layout, np.float32, name)
    return _spec.Case(spec, _spec.Sizes(case.n, case.c, case.o), np.dtype(np.float32))


def temporary(case: _spec.Case, fun: Callable[..., Any] | None = None) -> int:
    """Bytes that the compiled contraction needs beside operands and result."""
    first, second = (
        jax.ShapeDtypeStruct(case.spec.shape(operand, case.sizes), case.dtype)
        for operand in OPERANDS[case.role]
    )
    fun = fun or (lambda a, b: contract(a, b, case.spec))
    compiled = jax.jit(fun).lower(first, second)
    return compiled.compile().memory_analysis().temp_size_in_bytes


def middle_sized(name: str, role: str) -> list[Case]:
    """Those listed for a lowering, else the first three that it does not refuse."""
    refuse = LOWERINGS[name].refuse
    cases = FOR.get(name, DISTINCT)
    return [c for c in cases if refuse(asked(c, role, name)) is None][:3]


ACCEPTED = [
    pytest.param(asked(case, role, name), id=f"{name}-{role}-{case.name}")
    for name, lowering in LOWERINGS.items()
    for role in lowering.roles
    for case in middle_sized(name, role)
]


@pytest.mark.parametrize("case", ACCEPTED)
def test_scratch_bounds_what_is_allocated(case: _spec.Case) -> None:
    lowering = LOWERINGS[case.spec.lowering]
    assert temporary(case) <= scratch(lowering, case) + CONSTANTS


@pytest.mark.parametrize("role", ["output", "input"])
@pytest.mark.parametrize("name", ["shift", "narrow"])
def test_a_reduction_of_the_result_needs_little_more(name: str, role: str) -> None:
    """The sum stays a loop: XLA does not write each shifted image to memory for it."""
    case = asked(middle_sized(name, role)[0], role, name)
    space = case.spec.image_axes(role)[2:]

    def reduced(a: jax.Array, b: jax.Array) -> jax.Array:
        return jax.nn.relu(contract(a, b, case.spec)).max(space)

    bound = scratch(LOWERINGS[name], case) + case.bytes(role) + CONSTANTS
    assert temporary(case, reduced) <= bound


def test_every_lowering_and_role_is_measured() -> None:
    assert FOR.keys() <= LOWERINGS.keys()
    measured = {(p.values[0].spec.lowering, p.values[0].role) for p in ACCEPTED}
    assert measured == {
        (name, role) for name, v in LOWERINGS.items() for role in v.roles
    }


# The limit ----------------------------------------------------------------------------


def limit(case: _spec.Case) -> int:
    """The plan's: five times operands plus result; three megabytes are always free."""
    return max(5 * case.operand_bytes, 3 * 2**20)


def planned(case: _spec.Case) -> str:
    """The plan's choice on a CPU, whatever lowering the case was made for."""
    return _plan.choose(unnamed(case), Place("cpu")).lowering.name


def scratch(lowering: Lowering, case: _spec.Case) -> int:
    """What the lowering is said to need, with the inner cases that it is reduced to."""
    return _plan.scratch(lowering, case, Place("cpu"))


def unnamed(case: _spec.Case) -> _spec.Case:
    return case._replace(spec=replace(case.spec, lowering=None))


def few_channels(space: int, out: int = 64) -> _spec.Case:
    """Windows overlap so often that all of them side by side take 17 times x."""
    channels, padding = (1, 1, 3, out), ((3, 3), (3, 3))
    case = middle("stem", channels, (space, space), (7, 7), padding, (2, 2))
    return asked(case, "input", "overlap_add")


def test_the_plan_refuses_a_lowering_above_the_limit_and_falls_back() -> None:
    case = few_channels(224)
    rules = [rule for rule in _plan.RULES if rule.name == "overlap_add"]
    assert any(rule.applies(unnamed(case)) for rule in rules)
    assert LOWERINGS["overlap_add"].refuse(case) is None
    assert scratch(LOWERINGS["overlap_add"], case) > limit(case)
    assert planned(case) == "polyphase"
    assert "overlap_add" not in _plan.candidates(unnamed(case), Place("cpu"))
    assert _plan.choose(case, Place("cpu")).lowering.name == "overlap_add"  # asked for


def test_a_few_megabytes_are_free() -> None:
    case = few_channels(32, out=16)
    needs = scratch(LOWERINGS["overlap_add"], case)
    assert 5 * case.operand_bytes < needs <= 3 * 2**20
    assert planned(case) == "overlap_add"


@over_roles
@over_cases(DISTINCT)
def test_what_is_planned_keeps_to_the_limit(role: str, case: Case) -> None:
    about = asked(case, role, "xla")
    name = planned(about)
    assert name == "xla" or scratch(LOWERINGS[name], about) <= limit(about)
    for candidate in _plan.candidates(unnamed(about), Place("cpu")):
        lowering = LOWERINGS[candidate]
        assert candidate == "xla" or scratch(lowering, about) <= limit(about)
        assert not lowering.by_hand


def test_a_planned_gradient_step_allocates_no_more_than_its_bounds(
    rng: np.random.Generator,
) -> None:
    """Forward and both gradients together, channels last, through the public door."""

    def loss(x: Any, kernel: Any) -> Any:
        y = jaxconv.conv(x, kernel, padding=1, groups=48, layout="channels_last")
        return (y * y).sum()

    x = jnp.asarray(rng.standard_normal((3, 44, 52, 96)), jnp.float32)
    kernel = jnp.asarray(rng.standard_normal((3, 2, 2, 144)), jnp.float32)
    step = jax.grad(loss, (0, 1))
    found = [f.case for f in contractions(step, x, kernel)]
    assert sorted(case.role for case in found) == sorted(ROLES)
    needed = jax.jit(step).lower(x, kernel).compile().memory_analysis()
    bound = sum(scratch(LOWERINGS[planned(c)], c) for c in found)
    results = 2 * max(case.bytes("output") for case in found)  # y and its cotangent
    assert needed.temp_size_in_bytes <= bound + results + CONSTANTS
