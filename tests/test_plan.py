"""The plan: which lowering runs a case, that it did run, and that it may be chosen."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxconv
from benchmarks.peers import jaxconv_cell
from benchmarks.table import KNOWN
from benchmarks.workloads import Workload
from cases import LAYOUTS, ROLES, Case, over_cases, over_roles
from jaxconv._core import spec as _spec
from jaxconv._core.contract import contract
from jaxconv._core.spec import OPERANDS
from jaxconv._inspect.walk import contractions
from jaxconv._lowerings import LOWERINGS
from jaxconv._lowerings.base import Lowering
from jaxconv._lowerings.cpu import narrow
from jaxconv._lowerings.general import planes as _planes
from jaxconv._plan import choose as _plan
from jaxconv._plan.names import admissible
from jaxconv._plan.place import Place
from programs import CANONICAL, LOOPS, convolutions, labels, scopes

# The plan of every CPU; `test_onednn` has that of those where oneDNN is known.
pytestmark = pytest.mark.usefixtures("without_onednn")


ELSEWHERE = {
    "cuda": ("cudnn", "product", "xla"),
    "rocm": ("cudnn", "product", "xla"),
    "tpu": ("lines", "mxu", "stretch", "xla"),
    "default": ("xla",),
}


class Planned(NamedTuple):
    """A public call, and the lowering that a CPU gets for each role of its gradient."""

    call: Callable[..., jax.Array]
    x: tuple[int, ...]
    kernel: tuple[int, ...]
    options: dict[str, Any]
    expected: tuple[str, str, str]  # by role: output, input, kernel
    dtype: str = "float32"

    @property
    def shapes(self) -> list[jax.ShapeDtypeStruct]:
        return [jax.ShapeDtypeStruct(v, self.dtype) for v in (self.x, self.kernel)]

    def run(self, x: Any, kernel: Any) -> jax.Array:
        return self.call(x, kernel, **self.options)

    def step(self, x: Any, kernel: Any) -> Any:
        def loss(x: Any, kernel: Any) -> jax.Array:
            y = self.run(x, kernel)
            return (y * y).sum()

        return jax.grad(loss, (0, 1))(x, kernel)

    def role(self, role: str) -> _spec.Case:
        found = [f.case for f in contractions(self.step, *self.shapes)]
        assert len(found) == 3
        (case,) = (case for case in found if case.role == role)
        return case


conv, conv_transpose = jaxconv.conv, jaxconv.conv_transpose
PLANNED = {
    "large kernel": Planned(
        *(conv, (1, 4, 200, 210), (4, 1, 63, 62)),
        *({"padding": 31, "groups": 4}, ("fft",) * 3),
    ),
    "depthwise": Planned(
        *(conv, (2, 6, 9, 8), (6, 1, 3, 2), {"groups": 6, "padding": 1}),
        ("narrow", "narrow", "shift"),
    ),
    "depthwise, channels last": Planned(
        *(conv, (2, 9, 8, 6), (3, 2, 1, 6)),
        {"groups": 6, "padding": 1, "layout": "channels_last"},
        ("shift",) * 3,
    ),
    "depthwise with a stride": Planned(
        *(conv_transpose, (2, 7, 8, 10), (3, 4, 1, 10)),
        *({"groups": 5, "stride": 2, "layout": "channels_last"}, ("shift",) * 3),
    ),
    "depthwise of small images": Planned(
        *(conv, (2, 6, 7, 8), (6, 1, 5, 6), {"groups": 6, "padding": 2}),
        ("narrow", "narrow", "fft"),
    ),
    "long filters": Planned(
        *(conv, (2, 1, 300), (4, 1, 51), {}), ("xla", "fft", "xla")
    ),
    "groups in no small block": Planned(
        *(conv, (9, 133, 18, 17), (152, 7, 3, 2), {"groups": 19}),
        ("narrow", "narrow", "separate"),
    ),
    "many groups, channels last": Planned(
        *(conv, (2, 9, 8, 216), (3, 2, 12, 162)),
        *({"groups": 18, "layout": "channels_last"}, ("grouped",) * 3),
    ),
    "groups of lines": Planned(
        *(conv, (2, 16, 190), (64, 4, 41), {"groups": 4, "stride": 4}),
        ("separate", "separate", "rows"),
    ),
    "groups of lines under long kernels": Planned(
        *(conv, (1, 36, 150), (34, 18, 128), {"groups": 2}), ("xla", "xla", "fft")
    ),
    "groups with a stride": Planned(
        *(conv, (2, 32, 9, 8), (30, 16, 3, 2), {"groups": 2, "stride": 2}),
        ("separate",) * 3,
    ),
    "points": Planned(conv, (2, 16, 6, 5), (24, 16, 1, 1), {}, ("product",) * 3),
    "patches": Planned(
        *(conv, (3, 16, 12, 15), (18, 8, 4, 5)),
        *({"stride": (4, 5), "groups": 2}, ("product",) * 3),
    ),
    "strided points": Planned(
        *(conv, (2, 16, 7, 9), (24, 16, 1, 1)),
        *({"stride": 2}, ("product",) * 3),
    ),
    "points with few columns": Planned(
        *(conv, (2, 20, 21, 64), (1, 1, 64, 12), {"layout": "channels_last"}),
        ("product", "product", "einsum"),
    ),
    "one position": Planned(conv, (2, 3, 4, 5), (7, 3, 4, 5), {}, ("product",) * 3),
    "one channel in": Planned(
        *(conv, (2, 1, 9, 8), (12, 1, 3, 2), {}),
        ("narrow", "overlap_add", "xla"),
    ),
    "few channels in": Planned(
        *(conv, (2, 4, 9, 8), (36, 4, 3, 3), {"padding": 1}),
        ("xla", "overlap_add", "xla"),
    ),
    "one channel in, few out": Planned(
        *(conv, (8, 1, 99, 98), (2, 1, 5, 6), {}), ("shift", "shift", "xla")
    ),
    "narrow": Planned(
        *(conv, (2, 3, 110, 120), (2, 3, 9, 11), {"padding": 4}), ("fft",) * 3
    ),
    "few positions": Planned(
        *(conv, (2, 128, 7, 8), (130, 128, 3, 3), {"stride": 2, "padding": 1}),
        ("xla", "xla", "taps"),
    ),
    "grouped": Planned(
        *(conv, (2, 70, 9, 8), (66, 35, 3, 2), {"groups": 2}),
        ("separate",) * 3,
    ),
    "few channels in a group": Planned(
        conv, (2, 12, 9, 18), (6, 4, 3, 2), {"groups": 3}, ("narrow",) * 3
    ),
    "few channels": Planned(
        *(conv_transpose, (2, 10, 7, 6), (10, 3, 3, 3)),
        *({"stride": 2}, ("xla", "overlap_add", "xla")),
    ),
    "full phases": Planned(
        *(conv_transpose, (2, 20, 9, 8), (20, 18, 4, 4)),
        *({"stride": 2, "padding": 1}, ("xla", "polyphase", "xla")),
    ),
    "deep bfloat16": Planned(
        *(conv, (1, 128, 4, 5), (136, 128, 3, 3), {}),
        *(("taps", "taps", "xla"), "bfloat16"),
    ),
    "large bfloat16": Planned(
        *(conv, (1, 192, 40, 41), (200, 192, 3, 3), {}),
        *(("taps",) * 3, "bfloat16"),
    ),
    "line": Planned(
        *(conv, (2, 6, 19), (7, 6, 5), {"padding": 2}), ("rows", "rows", "xla")
    ),
    "line of one channel": Planned(
        *(conv, (2, 1, 40), (7, 1, 5), {"padding": 2}),
        ("narrow", "narrow", "narrow"),
    ),
    "strided line": Planned(
        *(conv, (2, 6, 19), (7, 6, 5)),
        *({"stride": 3}, ("rows", "overlap_add", "xla")),
    ),
    "volume": Planned(
        conv, (2, 15, 6, 7, 8), (14, 15, 2, 3, 3), {"padding": 1}, ("slices",) * 3
    ),
    "volume of few channels": Planned(
        *(conv, (2, 5, 6, 7, 8), (4, 5, 2, 3, 3), {"padding": 1}),
        ("narrow", "narrow", "slices"),
    ),
    "one volume": Planned(
        *(conv, (2, 1, 9, 7, 8), (1, 1, 2, 3, 3), {"padding": 1}),
        ("narrow", "narrow", "shift"),
    ),
    "deep and small": Planned(
        *(conv, (2, 256, 7, 4), (260, 256, 3, 3), {"padding": 1}),
        ("xla", "overlap_add", "xla"),
    ),
    "strided gradient": Planned(
        *(conv, (2, 36, 27, 28), (48, 36, 3, 2), {"stride": 2}),
        ("xla", "polyphase", "taps"),
    ),
    "few channels out": Planned(
        *(conv, (2, 20, 8, 9), (5, 20, 3, 5)),
        *({"padding": 2}, ("xla", "xla", "exchange")),
    ),
    "many images": Planned(
        *(conv, (12, 48, 30, 40), (56, 48, 3, 5)),
        *({"padding": (1, 2)}, ("xla", "xla", "chunks")),
    ),
    "plane": Planned(conv, (2, 16, 8, 9), (18, 16, 3, 2), {}, ("xla",) * 3),
}

over_planned = pytest.mark.parametrize("planned", PLANNED.values(), ids=PLANNED)


# Which one ran ------------------------------------------------------------------------


@over_planned
def test_the_expected_lowerings_are_planned_and_run(planned: Planned) -> None:
    """The value and both gradients, by the names they leave in the lowered program."""
    forward = "output" if planned.call is conv else "input"
    wanted = {
        role: {
            f"{case.role}.{choice.lowering.name}"
            for case, choice in _plan.chain(planned.role(role), Place("cpu"))
        }
        for role in ROLES
    }
    for role, expected in zip(ROLES, planned.expected, strict=True):
        choice = _plan.choose(planned.role(role), Place("cpu"))
        assert choice.lowering.name == expected
        assert f"{role}.{expected}" in wanted[role]
        assert expected == "xla" or not choice.reason.startswith("no rule applies")
    value = jax.jit(planned.run).lower(*planned.shapes)
    assert scopes(value.as_text(debug_info=True)) == wanted[forward]
    step = jax.jit(planned.step).lower(*planned.shapes)
    assert scopes(step.as_text(debug_info=True)) == set().union(*wanted.values())


def test_every_rule_is_among_them() -> None:
    chosen = {name for planned in PLANNED.values() for name in planned.expected}
    rules = {rule.name for rule in _plan.RULES if "cpu" in rule.platforms}
    # "separate" is for calls that ask for "direct": see test_nan.
    assert chosen | {"onednn", "separate"} == rules | {"xla"}


def test_names_survive_compilation() -> None:
    planned = PLANNED["plane"]
    compiled = jax.jit(planned.step).lower(*planned.shapes).compile()
    assert scopes(compiled.as_text()) == {"output.xla", "input.xla", "kernel.xla"}


# What each of them is -----------------------------------------------------------------


def hlo(case: _spec.Case, loop: str | None = None) -> jax.stages.Lowered:
    """The contraction's program, alone or in a loop over two first operands."""
    first, second = (case.spec.shape(v, case.sizes) for v in OPERANDS[case.role])

    def run(a: Any, b: Any) -> Any:
        def one(a: Any, b: Any) -> jax.Array:
            return contract(a, b, case.spec)

        return one(a, b) if loop is None else LOOPS[loop](one, a, b)

    lead = () if loop is None else (2,)
    shapes = [jax.ShapeDtypeStruct(v, case.dtype) for v in ((*lead, *first), second)]
    return jax.jit(run).lower(*shapes)


def windows(text: str) -> list[tuple[int, ...]]:
    """Of each convolution, how many taps it has along each spatial axis."""
    found = [re.search(r"window={size=(\S+?)[ }]", v) for v in convolutions(text)]
    return [tuple(map(int, match[1].split("x"))) for match in found if match]


def dots(text: str) -> int:
    return len(re.findall(r" dot\(", text))


def is_shift(case: _spec.Case, text: str) -> None:
    assert not convolutions(text)
    if case.role != "kernel":  # which adds up by products with ones
        assert dots(text) == 0
        apart = case.role == "input" and max(case.geometry.stride) == 1
        many = case.sizes.o if apart else 1  # each of a channel's kernels by itself
        assert len(re.findall(r" multiply\(", text)) == case.geometry.taps * many


def is_product(case: _spec.Case, text: str) -> None:
    """One for each group, or channels first one for each image, of all groups."""
    assert not convolutions(text)
    first = case.spec.layout == "channels_first"
    few = case.role == "kernel" and case.geometry.positions < _planes.LEAST
    assert dots(text) == (1 if first and not few else case.groups)


def is_narrow(case: _spec.Case, text: str) -> None:
    assert not convolutions(text)
    assert dots(text) == (case.geometry.taps if case.role == "kernel" else 0)
    assert len(re.findall(r" multiply\(", text)) == narrow.terms(case)


def is_grouped(case: _spec.Case, text: str) -> None:
    assert convolutions(text) or innermost(case) != "xla"
    assert "group_count" not in text


def is_overlap_add(case: _spec.Case, text: str) -> None:
    assert not convolutions(text)
    assert dots(text) == 1


def is_polyphase(case: _spec.Case, text: str) -> None:
    width = [-(-axis.span // axis.s) for axis in case.geometry.axes]
    assert set(windows(text)) <= {tuple(width)}  # one, or one for each block
    assert windows(text) or innermost(case) != "xla"
    assert not re.search(r"[lr]hs_dilate|stride=", "".join(convolutions(text)))


def is_taps(case: _spec.Case, text: str) -> None:
    assert not convolutions(text)
    large = math.prod(case.spec.space(case.role)) > 1000
    looped = case.dtype.itemsize < 4 and (case.role == "kernel" or large)
    assert (" while(" in text) == looped
    assert dots(text) == (1 if looped else case.geometry.taps)


def innermost(case: _spec.Case) -> str:
    """The lowering that is left when all inner cases are planned."""
    *_, (_, choice) = _plan.chain(case, Place("cpu"))
    return choice.lowering.name


def is_rows(case: _spec.Case, text: str) -> None:
    if innermost(case) != "xla":
        assert not convolutions(text)
        return
    ((height, width),) = set(windows(text))  # one, or one for each group
    g = case.geometry
    assert (height, width) == (1, *(g.output if case.role == "kernel" else g.kernel))


def is_slices(case: _spec.Case, text: str) -> None:
    if innermost(case) != "xla":
        assert not convolutions(text)
        return
    depth, *plane = case.geometry.kernel
    expected = case.geometry.output[1:] if case.role == "kernel" else tuple(plane)
    assert windows(text) == [expected] * depth


def is_exchange(case: _spec.Case, text: str) -> None:
    """The window is x, where that of the usual kernel gradient is y."""
    assert windows(text) == [case.geometry.input] != [case.geometry.output]


def is_chunks(case: _spec.Case, text: str) -> None:
    """A loop over parts of four images, and all of them whole."""
    assert " while(" in text
    assert windows(text) == [case.geometry.output]
    assert f"f32[{case.sizes.c},30,40,4]" in text


def is_xla(case: _spec.Case, text: str) -> None:
    g = case.geometry
    assert windows(text) == [g.output if case.role == "kernel" else g.kernel]


def is_fft(case: _spec.Case, text: str) -> None:
    assert " fft(" in text
    assert " convolution(" not in text


IS = {
    "fft": is_fft,
    **{"shift": is_shift, "product": is_product, "grouped": is_grouped},
    **{"overlap_add": is_overlap_add, "polyphase": is_polyphase, "taps": is_taps},
    **{"rows": is_rows, "slices": is_slices, "exchange": is_exchange, "xla": is_xla},
    **{"chunks": is_chunks, "narrow": is_narrow, "separate": is_grouped},
    "einsum": is_product,
}


@over_planned
@over_roles
def test_a_lowering_is_what_its_name_says(planned: Planned, role: str) -> None:
    name = planned.expected[ROLES.index(role)]
    case = planned.role(role)
    IS[name](case, hlo(case).as_text(dialect="hlo"))


@over_planned
@over_roles
def test_loops_hold_only_the_fast_order(planned: Planned, role: str) -> None:
    """XLA puts convolutions into this order outside of loops only."""
    lowered = hlo(planned.role(role), "scan")
    assert labels(lowered.as_text(dialect="hlo")) <= {*CANONICAL.values()}
    assert labels(lowered.compile().as_text()) <= {*CANONICAL.values()}


# The rules ----------------------------------------------------------------------------


def test_rules_name_lowerings_and_stand_beside_numbers() -> None:
    for rule in _plan.RULES:
        assert rule.name in LOWERINGS
        assert not LOWERINGS[rule.name].by_hand
        assert set(rule.platforms) <= {"cpu", *ELSEWHERE}
        before_and_after = re.findall(r"\b\d[\d.e]*\b", rule.reason)
        assert len(before_and_after) >= 2, rule.reason


def described(case: Case, role: str, layout: str, dtype: Any) -> _spec.Case:
    spec = case.spec(role, layout, dtype)
    sizes = _spec.Sizes(case.n, case.c, case.o)
    return _spec.Case(spec, sizes, np.dtype(dtype))


def check_choice(case: _spec.Case) -> None:
    choice = _plan.choose(case, Place("cpu"))
    lowering, name = choice.lowering, choice.lowering.name
    assert choice == _plan.choose(case, Place("cpu"))
    assert choice.reason
    assert case.role in lowering.roles
    assert lowering.refuse(case) is None
    assert not lowering.by_hand
    most = max(5 * case.operand_bytes, 2**20)
    assert name == "xla" or _plan.scratch(lowering, case, Place("cpu")) <= most
    assert name in _plan.candidates(case, Place("cpu"))
    assert name in admissible(case)
    for platform, names in ELSEWHERE.items():
        assert _plan.choose(case, Place(platform)).lowering.name in names


@over_cases()
@over_roles
def test_properties_over_the_table(case: Case, role: str) -> None:
    for dtype in (np.float32, np.float64, jnp.bfloat16, np.int32, np.complex64):
        chosen = set()
        for layout in LAYOUTS:
            asked = described(case, role, layout, dtype)
            check_choice(asked)
            chosen.add(_plan.choose(asked, Place("cpu")).lowering.name)
        assert len(chosen - {"narrow"}) <= 1  # which is for channels first


@pytest.mark.parametrize("workload", KNOWN, ids=[w.name for w in KNOWN])
def test_properties_over_the_benchmarks(workload: Workload) -> None:
    shapes = [jax.ShapeDtypeStruct(v, workload.dtype) for v in workload.shapes.values()]
    roles = set()
    for role in ("forward", "input", "kernel"):
        for found in contractions(jaxconv_cell(workload, role), *shapes):
            roles.add(found.case.role)
            check_choice(found.case)
    assert roles == set(ROLES)


# Refusals -----------------------------------------------------------------------------


class Refused(NamedTuple):
    """A public call that a lowering cannot run, and what it says."""

    name: str
    says: str
    call: Callable[..., jax.Array]
    x: tuple[int, ...]
    kernel: tuple[int, ...]
    options: dict[str, Any]
    dtype: str = "float32"


PLANE = ((2, 6, 8, 9), (4, 6, 3, 2))
GROUPED = ((2, 6, 8, 9), (6, 3, 3, 2), {"groups": 2})
TURNED = ((2, 4, 8, 9), (4, 6, 3, 2))
REFUSED = (
    Refused("product", "windows that neither overlap nor read", conv, *PLANE, {}),
    Refused(
        *("product", "at most 8 groups, not 9"),
        *(conv, (2, 18, 7, 8), (9, 2, 1, 1), {"groups": 9}),
    ),
    Refused("shift", "one input channel per group, not 6", conv, *PLANE, {}),
    Refused(
        *("shift", "with a stride it takes at most 512 taps, not 513"),
        *(conv_transpose, (2, 3, 4), (3, 1, 513), {"groups": 3, "stride": 2}),
    ),
    *(
        Refused(name, "there is only one group", conv, *PLANE, {})
        for name in ("grouped", "separate", "batched")
        if name in LOWERINGS
    ),
    Refused(
        *("narrow", "it writes out at most 256 products, not 294"),
        *(conv, (2, 14, 8, 9), (10, 7, 7, 6), {"groups": 2}),
    ),
    Refused("polyphase", "there is only one phase", conv_transpose, *TURNED, {}),
    Refused("overlap_add", "it does not take groups (2)", conv_transpose, *GROUPED),
    Refused("rows", "it needs one spatial dimension, not 2", conv, *PLANE, {}),
    Refused("slices", "at least three spatial dimensions", conv, *PLANE, {}),
    Refused(
        *("slices", "stride 1 in all dimensions but the last two", conv_transpose),
        *((2, 4, 3, 5, 6), (4, 6, 3, 2, 1), {"stride": (2, 1, 1)}),
    ),
    Refused("taps", "it does not take groups (2)", conv, *GROUPED),
    Refused("taps", "needs stride 1", conv_transpose, *TURNED, {"stride": 2}),
    Refused("fft", "at most 3 spatial", conv, (1, 2, *(3,) * 4), (3, 2, *(2,) * 4), {}),
    Refused(
        *("onednn", "oneDNN takes at most 3 spatial axes, not 4"),
        *(conv, (1, 2, *(3,) * 4), (3, 2, *(2,) * 4), {}),
    ),
    Refused("matrix", "GiB", conv, (1, 64, 97, 99), (32, 64, 3, 2), {}),
    Refused("chunks", "does not compute the role 'output'", conv, *PLANE, {}),
    Refused("exchange", "does not compute the role 'output'", conv, *PLANE, {}),
    Refused("stretch", "does not compute the role 'output'", conv, *PLANE, {}),
    Refused(
        *("lines", "it writes out at most 256 products, not 289"),
        *(conv, (1, 3, 18, 19), (2, 3, 17, 17), {}),
    ),
    Refused(
        *("lines", "the input role needs stride 1", conv_transpose),
        *((2, 4, 9), (4, 6, 3), {"stride": 2}),
    ),
    *(
        Refused(
            *(name, "gives the products of int32 no transpose", conv_transpose),
            *(*TURNED, {}, "int32"),
        )
        for name in ("transpose", "vjp")
    ),
)


@pytest.mark.parametrize("refused", REFUSED, ids=lambda v: f"{v.name}: {v.says}")
def test_a_refusal_reaches_the_user(refused: Refused) -> None:
    x, kernel = (
        jax.ShapeDtypeStruct(v, refused.dtype) for v in (refused.x, refused.kernel)
    )

    def run(x: Any, kernel: Any, **options: Any) -> jax.Array:
        return refused.call(x, kernel, **refused.options, **options)

    with pytest.raises(ValueError, match=re.escape(refused.says)) as caught:
        jax.eval_shape(lambda x, k: run(x, k, implementation=refused.name), x, kernel)
    assert f"implementation={refused.name!r}" in str(caught.value)
    jax.eval_shape(run, x, kernel)  # without a name it runs


def test_every_lowering_that_can_refuse_is_among_them() -> None:
    picky = {
        name for name, low in LOWERINGS.items() if low.refuse is not Lowering.refuse
    }
    assert picky == {refused.name for refused in REFUSED}


def test_a_derivative_that_its_lowering_refuses_is_planned(
    rng: np.random.Generator,
) -> None:
    """taps runs the strided output role, and not its gradient with respect to x."""
    x = jnp.asarray(rng.standard_normal((2, 6, 8, 9)), jnp.float32)
    kernel = jnp.asarray(rng.standard_normal((4, 6, 3, 2)), jnp.float32)

    def loss(x: Any, kernel: Any) -> jax.Array:
        y = conv(x, kernel, stride=2, implementation="taps")
        return (y * y).sum()

    ran = scopes(
        jax.jit(jax.grad(loss, (0, 1))).lower(x, kernel).as_text(debug_info=True)
    )
    assert {"output.taps", "kernel.taps"} <= ran
    (gradient,) = ran - {"output.taps", "kernel.taps"}
    role, name = gradient.split(".")
    assert role == "input"
    assert name != "taps"
