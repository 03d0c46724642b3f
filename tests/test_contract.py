"""The primitive: its values against the oracle, and the rules that close its family."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from cases import (
    CASES,
    Case,
    arrange,
    contract_all,
    named,
    over_cases,
    over_layouts,
    over_roles,
)
from jaxconv._core.contract import contract
from jaxconv._core.spec import GROUPED, LETTERS, OPERANDS, Spec
from oracle import close

few = named("line shifted causal", "everything", "depthwise with multiplier")
one = named("everything")[0]


class Cell(NamedTuple):
    """One contraction: operands that come channels first, the layout, and the type."""

    case: Case
    role: str
    layout: str
    a: Any
    b: Any
    dtype: Any

    def run(self, a: Any, b: Any) -> jax.Array:
        """The primitive, of the operands in the layout."""
        return contract(a, b, self.case.spec(self.role, self.layout, self.dtype))

    @property
    def operands(self) -> list[Any]:
        pairs = zip(OPERANDS[self.role], (self.a, self.b), strict=True)
        return [arrange(jnp.asarray(v), operand, self.layout) for operand, v in pairs]


def run(*cells: Cell) -> list[jax.Array]:
    """All of them in one program, which compiles sooner."""

    @jax.jit
    def every(pairs: Any) -> Any:
        return [cell.run(*pair) for cell, pair in zip(cells, pairs, strict=True)]

    return every([cell.operands for cell in cells])


def equations(jaxpr: Any) -> Iterator[Any]:
    """All equations, those of inner jaxprs too."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.tree.leaves(
            equation.params, is_leaf=lambda v: hasattr(v, "eqns")
        ):
            if hasattr(inner, "jaxpr"):
                yield from equations(inner.jaxpr)
            elif hasattr(inner, "eqns"):
                yield from equations(inner)


def roles_of(fun: Any, *args: Any) -> list[str]:
    """The roles that a function binds, and no convolution of lax beside them."""
    found = list(equations(jax.make_jaxpr(fun)(*args).jaxpr))
    names = [equation.primitive.name for equation in found]
    assert "conv_general_dilated" not in names
    return [
        e.params["spec"].role for e in found if e.primitive.name == "jaxconv_contract"
    ]


# Values -------------------------------------------------------------------------------


@over_layouts
@over_roles
def test_values(role: str, layout: str, rng: np.random.Generator) -> None:
    """By the lowerings that the plan chooses."""
    contract_all(CASES, role, layout, rng)


@over_roles
def test_values_of_other_types(role: str, rng: np.random.Generator) -> None:
    dtypes = (np.complex128, np.complex64, np.float32, np.int32, np.int64)
    cells = [
        Cell(case, role, "channels_first", *case.operands(role, rng, dtype), dtype)
        for case, dtype in itertools.product(few, dtypes)
    ]
    for cell, out in zip(cells, run(*cells), strict=True):
        assert out.dtype == cell.dtype
        exact = cell.case.expected(role, cell.a, cell.b)
        close(out, exact, cell.case.terms(role), cell.dtype)


@over_roles
def test_narrow_integers_do_not_wrap(role: str, rng: np.random.Generator) -> None:
    cells, exact = [], []
    for dtype in (np.int8, np.uint8, np.int16):
        top = np.iinfo(dtype).max
        high = min(top, 3000)  # whose squares, added up, fit into 32 bits
        shapes = map(one.shape, OPERANDS[role])
        pair = [rng.integers(high // 2, high, shape, endpoint=True) for shape in shapes]
        wide = np.promote_types(dtype, np.int32)
        narrow = (v.astype(dtype) for v in pair)
        cells.append(Cell(one, role, "channels_last", *narrow, wide))
        exact.append(one.expected(role, *(v.astype(np.int64) for v in pair)))
        assert exact[-1].max() > top
    for cell, out, wanted in zip(cells, run(*cells), exact, strict=True):
        assert out.dtype == cell.dtype
        wanted = arrange(wanted, role, "channels_last")
        close(out, wanted, one.terms(role), cell.dtype)


# 16-bit floats ------------------------------------------------------------------------

HALVES = (jnp.bfloat16, np.float16)
halves = pytest.mark.parametrize("half", HALVES)


@over_roles
def test_halves_accumulate_in_float32(role: str, rng: np.random.Generator) -> None:
    """Rounded once, at the end: within half a unit in the last place and float32's."""
    cases = named("everything", "many channels", "depthwise", "volume")
    cells = [
        Cell(case, role, "channels_first", *case.operands(role, rng, half), half)
        for case, half in itertools.product(cases, HALVES)
    ]
    for (case, _, _, a, b, half), out in zip(cells, run(*cells), strict=True):
        assert out.dtype == half
        exact = case.expected(role, a.astype(np.float64), b.astype(np.float64))
        summed = case.terms(role) ** 0.5 * np.abs(exact).max()
        error = np.abs(np.asarray(out).astype(np.float64) - exact)
        unit = float(ml_dtypes.finfo(half).eps)
        allowed = 0.5 * unit * np.abs(exact) + 8 * np.finfo(np.float32).eps * summed
        assert np.all(error <= allowed), (case.name, half)


@over_roles
def test_halves_return_float32_where_preferred(
    role: str, rng: np.random.Generator
) -> None:
    cells = [
        Cell(one, role, "channels_first", *one.operands(role, rng, half), np.float32)
        for half in HALVES
    ]
    for cell, out in zip(cells, run(*cells), strict=True):
        assert out.dtype == np.float32
        wide = (v.astype(np.float64) for v in (cell.a, cell.b))
        close(out, one.expected(role, *wide), one.terms(role), np.float32)


def test_float16_sums_do_not_overflow(rng: np.random.Generator) -> None:
    """Half of the products are near 4e4, half near -4e4: partial sums pass 65504."""
    case = Case("sum", one.window._replace(low=(0, 0), dilation=(1, 1)), 2, 1, 64, 3)
    x = rng.uniform(190, 200, case.shape("input")).astype(np.float16)
    w = rng.uniform(190, 200, case.shape("kernel")).astype(np.float16)
    w[:, 32:] = -w[:, :32]
    x[:, 32:] = x[:, :32] + rng.uniform(0, 0.5, x[:, 32:].shape).astype(np.float16)
    (out,) = run(Cell(case, "output", "channels_first", x, w, np.float16))
    exact = case.expected("output", x.astype(np.float64), w.astype(np.float64))
    assert np.abs(exact).max() < 65504
    sums = 4e4 * case.terms("output") ** 0.5 * 4 * np.finfo(np.float32).eps
    error = np.abs(np.asarray(out).astype(np.float64) - exact)
    assert np.all(error <= 2**-11 * np.abs(exact) + sums)


@halves
def test_gradients_of_halves_with_a_float32_result(
    half: Any, rng: np.random.Generator
) -> None:
    """A 16-bit operand meets a float32 cotangent; its gradient has its own type."""
    x, w = map(jnp.asarray, one.operands("output", rng, half))
    y = jnp.asarray(one.draw("output", rng, np.float32))
    spec = one.spec("output", dtype=np.float32)
    _, pullback = jax.vjp(lambda x, w: contract(x, w, spec), x, w)
    dx, dw = pullback(y)
    assert (dx.dtype, dw.dtype) == (half, half)
    wide = {"input": x, "kernel": w, "output": y}
    wide = {name: np.asarray(v).astype(np.float64) for name, v in wide.items()}
    for role, gradient in (("input", dx), ("kernel", dw)):
        first, second = OPERANDS[role]
        exact = one.expected(role, wide[first], wide[second])
        close(gradient, exact, 1, half)


# Closure ------------------------------------------------------------------------------


@over_layouts
@over_roles
def test_transposes_permute_roles(
    role: str, layout: str, rng: np.random.Generator
) -> None:
    """Leaving operand i open binds exactly the role named like that operand."""
    case = named("grouped strided")[0]
    a, b = (
        jnp.asarray(arrange(v, operand, layout))
        for v, operand in zip(case.operands(role, rng), OPERANDS[role], strict=True)
    )
    spec = case.spec(role, layout)
    ct = jnp.asarray(arrange(case.draw(role, rng), role, layout))
    for position, wanted in enumerate(OPERANDS[role]):
        linear = partial(_with, a, b, spec, position)
        transposed = jax.linear_transpose(linear, (a, b)[position])
        assert roles_of(transposed, ct) == [wanted]
        known = {role: ct, **dict(zip(OPERANDS[role], (a, b), strict=True))}
        first, second = (channels_first(known[v], v, layout) for v in OPERANDS[wanted])
        expected = arrange(case.expected(wanted, first, second), wanted, layout)
        close(transposed(ct)[0], expected, case.terms(wanted), np.float64)


def _with(a: Any, b: Any, spec: Spec, position: int, v: Any) -> jax.Array:
    return contract(v, b, spec) if position == 0 else contract(a, v, spec)


def channels_first(v: Any, operand: str, layout: str) -> np.ndarray:
    v = np.asarray(v)
    if layout == "channels_first":
        return v
    space = tuple(range(v.ndim - 2))
    if operand == "kernel":
        return v.transpose(v.ndim - 1, v.ndim - 2, *space)
    return np.moveaxis(v, -1, 1)


def test_gradients_hold_only_the_primitive(rng: np.random.Generator) -> None:
    x, w = map(jnp.asarray, one.operands("output", rng))

    def loss(x: jax.Array, w: jax.Array) -> jax.Array:
        return (contract(x, w, one.spec("output")) ** 3).sum()

    gradient = jax.grad(loss, (0, 1))
    assert sorted(roles_of(gradient, x, w)) == ["input", "kernel", "output"]

    def second(x: jax.Array, w: jax.Array) -> Any:
        return jax.grad(lambda x, w: sum((g**2).sum() for g in gradient(x, w)), (0, 1))(
            x, w
        )

    assert set(roles_of(second, x, w)) == {"output", "input", "kernel"}


@over_roles
@over_cases(named("line shifted causal", "everything", "cropped strided", "volume"))
def test_gradients_against_the_oracle(
    case: Case, role: str, rng: np.random.Generator
) -> None:
    a, b = case.operands(role, rng)
    ct = case.draw(role, rng)
    spec = case.spec(role)
    _, pullback = jax.vjp(
        lambda a, b: contract(a, b, spec), jnp.asarray(a), jnp.asarray(b)
    )
    known = {role: ct, **dict(zip(OPERANDS[role], (a, b), strict=True))}
    for wanted, gradient in zip(OPERANDS[role], pullback(jnp.asarray(ct)), strict=True):
        first, second = (known[v] for v in OPERANDS[wanted])
        close(
            gradient,
            case.expected(wanted, first, second),
            case.terms(wanted),
            np.float64,
        )


def lax_conv(case: Case) -> Any:
    spec = case.spec("output")
    g = spec.geometry
    return lambda x, w: jax.lax.conv_general_dilated(
        x, w, g.stride, tuple(zip(g.low, g.high, strict=True)),
        rhs_dilation=g.dilation, feature_group_count=case.groups,
    )  # fmt: skip


@over_cases(named("strided", "everything", "depthwise with multiplier"))
def test_higher_derivatives_equal_those_of_lax(
    case: Case, rng: np.random.Generator
) -> None:
    """Directional derivatives of order 2 and 3, reverse over reverse over reverse."""
    x, w = map(jnp.asarray, case.operands("output", rng))
    u, v = map(jnp.asarray, case.operands("output", rng))

    def derivatives(conv: Any) -> Any:
        def loss(x: jax.Array, w: jax.Array) -> jax.Array:
            return jnp.sin(conv(x, w)).sum()

        def along(fun: Any) -> Any:
            def slope(x: jax.Array, w: jax.Array) -> jax.Array:
                gx, gw = jax.grad(fun, (0, 1))(x, w)
                return (gx * u).sum() + (gw * v).sum()

            return slope

        second = jax.grad(along(loss), (0, 1))
        third = jax.grad(along(along(loss)), (0, 1))
        return jax.jit(lambda x, w: (second(x, w), third(x, w)))(x, w)

    spec = case.spec("output")
    ours = derivatives(lambda x, w: contract(x, w, spec))
    theirs = derivatives(lax_conv(case))
    for actual, desired in zip(
        jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True
    ):
        assert np.abs(desired).max() > 1
        close(actual, desired, 100 * case.terms("kernel"), np.float64)


# Batching -----------------------------------------------------------------------------

AXES = [(0, None), (3, None), (None, 0), (None, -1), (0, 0), (2, 1), (-1, 3)]


def batch(v: np.ndarray, size: int, axis: int | None, rng: np.random.Generator) -> Any:
    if axis is None:
        return jnp.asarray(v)
    return jnp.asarray(np.moveaxis(rng.standard_normal((size, *v.shape)), 0, axis))


@over_layouts
@over_roles
def test_batching(role: str, layout: str, rng: np.random.Generator) -> None:
    case = named("grouped strided")[0]
    spec = case.spec(role, layout)
    each = [
        [
            batch(arrange(v, operand, layout), 3, axis, rng)
            for v, operand, axis in zip(
                case.operands(role, rng), OPERANDS[role], axes, strict=True
            )
        ]
        for axes in AXES
    ]

    @jax.jit
    def mapped(each: Any) -> Any:
        pairs = zip(each, AXES, strict=True)
        return [jax.vmap(partial(contract, spec=spec), axes)(*v) for v, axes in pairs]

    assert roles_of(mapped, each) == [role] * len(AXES)
    for pair, axes, out in zip(each, AXES, mapped(each), strict=True):
        loop = [contract(*_pick(pair, axes, index), spec) for index in range(3)]
        assert np.abs(loop[0] - loop[1]).max() > 0.1
        close(out, np.stack(loop), 9 * case.terms(role), np.float64)


NESTS = [
    ((0, None), (None, 0)),
    ((None, 0), (0, None)),
    ((0, 0), (0, None)),
    ((1, None), (0, 0)),
    ((0, 0), (1, 2)),
    ((None, 0), (0, 1)),
]


@over_roles
def test_nested_batching(role: str, rng: np.random.Generator) -> None:
    """Sizes 2 outside and 3 inside; the loop takes the axes off in the same order."""
    case = named("everything")[0]
    spec = case.spec(role)
    each = []
    for outer, inner in NESTS:
        pair = []
        for v, first, second in zip(
            case.operands(role, rng), outer, inner, strict=True
        ):
            once = batch(v, 3, second, rng)
            pair.append(batch(np.asarray(once), 2, first, rng))
        each.append(pair)

    @jax.jit
    def mapped(each: Any) -> Any:
        return [
            jax.vmap(jax.vmap(partial(contract, spec=spec), inner), outer)(*pair)
            for pair, (outer, inner) in zip(each, NESTS, strict=True)
        ]

    assert roles_of(mapped, each) == [role] * len(NESTS)
    for pair, (outer, inner), out in zip(each, NESTS, mapped(each), strict=True):
        picked = [
            _pick(_pick(pair, outer, i), inner, j) for i in range(2) for j in range(3)
        ]
        loop = np.stack([contract(*v, spec) for v in picked])
        loop = loop.reshape(2, 3, *loop.shape[1:])
        close(out, loop, 9 * case.terms(role), np.float64)


def _pick(operands: Any, axes: Any, index: int) -> Any:
    return [
        v if axis is None else jnp.asarray(np.take(np.asarray(v), index, axis))
        for v, axis in zip(operands, axes, strict=True)
    ]


# Edges --------------------------------------------------------------------------------


@over_layouts
@over_roles
def test_operands_of_size_zero(
    role: str, layout: str, rng: np.random.Generator
) -> None:
    """A sum over nothing is zero, a result without elements has its shape."""
    none = one._replace(window=one.window._replace(output=(0, 3)))
    cases = [*(one._replace(**{letter: 0}) for letter in "nco"), none]
    cells = [
        Cell(case, role, layout, *case.operands(role, rng), np.float64)
        for case in cases
    ]
    for (case, *_, a, b, _), out in zip(cells, run(*cells), strict=True):
        expected = arrange(case.expected(role, a, b), role, layout)
        assert not expected.any()
        close(out, expected, 1, np.float64)


@over_cases(named("zero batch"))
def test_gradients_of_a_zero_batch(case: Case, rng: np.random.Generator) -> None:
    x, w = map(jnp.asarray, case.operands("output", rng))
    spec = case.spec("output")
    loss = lambda x, w: contract(x, w, spec).sum()  # noqa: E731
    dx, dw = jax.grad(loss, (0, 1))(x, w)
    assert dx.shape == x.shape
    close(dw, np.zeros(w.shape), 1, np.float64)


@over_layouts
@over_roles
def test_letters_of_a_spec(role: str, layout: str) -> None:
    """Where the operands keep n, c and o, against shapes written out."""
    spec = one.spec(role, layout)
    shape = np.empty(one.shape(role), np.bool)
    shape = arrange(shape, role, layout).shape
    sizes = {"n": one.n, "c": one.c, "o": one.o}
    sizes[GROUPED[role]] *= one.groups
    assert [shape[spec.axis(role, letter)] for letter in LETTERS[role]] == [
        sizes[letter] for letter in LETTERS[role]
    ]
    operands = [
        arrange(np.empty(one.shape(v)), v, layout).shape for v in OPERANDS[role]
    ]
    assert spec.result_shape(*operands) == shape


def test_every_case_is_named_once() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
