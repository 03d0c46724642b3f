"""`conv_general_dilated` against nested loops and against lax, argument by argument."""

from __future__ import annotations

import inspect
import itertools
import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxconv
from jaxconv._core.contract import contract_p


class Call(NamedTuple):
    """A random call of lax, its operands in lax's default order."""

    lhs: np.ndarray
    rhs: np.ndarray
    options: dict[str, Any]


def loops(call: Call) -> np.ndarray:
    """XLA's definition of a convolution, out in the order (batch, features, *space)."""
    lhs, rhs, options = call
    fg, bg = options["feature_group_count"], options["batch_group_count"]
    sizes = zip(
        lhs.shape[2:],
        rhs.shape[2:],
        options["window_strides"],
        options["padding"],
        options["lhs_dilation"],
        options["rhs_dilation"],
        strict=True,
    )
    space = [
        ((i - 1) * ld + 1 + lo + hi - (k - 1) * rd - 1) // s + 1
        for i, k, s, (lo, hi), ld, rd in sizes
    ]
    batch, outputs, inputs = lhs.shape[0] // bg, rhs.shape[0], rhs.shape[1]
    out = np.zeros((batch, outputs, *map(int, np.maximum(space, 0))))
    for p, t in itertools.product(
        np.ndindex(*out.shape[2:]), np.ndindex(rhs.shape[2:])
    ):
        m = read_index(p, t, call)
        if m is None:
            continue
        for o in range(outputs):
            group = o * fg * bg // outputs
            b = slice(group * batch, (group + 1) * batch) if bg > 1 else slice(None)
            i = slice(group * inputs, (group + 1) * inputs) if fg > 1 else slice(None)
            out[(slice(None), o, *p)] += lhs[(b, i, *m)] @ rhs[(o, slice(None), *t)]
    return out


def read_index(
    p: tuple[int, ...], t: tuple[int, ...], call: Call
) -> tuple[int, ...] | None:
    """Which element of lhs position p reads through tap t, if it is one."""
    found: list[int] = []
    for axis, size in enumerate(call.lhs.shape[2:]):
        at = p[axis] * call.options["window_strides"][axis]
        at += t[axis] * call.options["rhs_dilation"][axis]
        at -= call.options["padding"][axis][0]
        m, between = divmod(at, call.options["lhs_dilation"][axis])
        if between or not 0 <= m < size:
            return None
        found.append(m)
    return tuple(found)


def random_call(rng: np.random.Generator, kind: str) -> Call:
    """Sizes, steps and groups at random; ``kind`` names what has steps of 1."""
    ndim = int(rng.integers(1, 4))

    def ints(low: int, high: int) -> tuple[int, ...]:
        return tuple(map(int, rng.integers(low, high, ndim)))

    ones = (1,) * ndim
    groups = int(rng.choice([1, 2, 3]))
    fg, bg = (groups, 1) if rng.random() < 0.5 else (1, groups)
    inputs, wide = int(rng.integers(1, 4)), 8 if kind == "kernel gradient" else 4
    lhs = (int(rng.integers(1, 3)) * bg, inputs * fg, *ints(4, 8))
    rhs = (int(rng.integers(1, 3)) * groups, inputs, *ints(1, wide))
    options = {
        "window_strides": ones if kind == "transposed" else ints(1, 4),
        "padding": tuple(zip(ints(-1, 4), ints(-2, 4), strict=True)),
        "lhs_dilation": ones if kind == "plain" else ints(1, 4),
        "rhs_dilation": ones if kind == "kernel gradient" else ints(1, 4),
        "feature_group_count": fg,
        "batch_group_count": bg,
    }
    return Call(rng.normal(size=lhs), rng.normal(size=rhs), options)


def permuted(rng: np.random.Generator, call: Call) -> tuple[Any, Any, Any]:
    """The operands in a random order of axes, and the numbers that say which."""
    specs = [tuple(map(int, rng.permutation(call.lhs.ndim))) for _ in range(3)]
    lhs, rhs = (
        jnp.asarray(v.transpose(np.argsort(spec)))
        for v, spec in zip(call[:2], specs, strict=False)
    )
    return lhs, rhs, lax.ConvDimensionNumbers(*specs)


def roles(fn: Any, *args: Any) -> list[str]:
    eqns = jax.make_jaxpr(fn)(*args).eqns
    return [e.params["spec"].role for e in eqns if e.primitive is contract_p]


@pytest.mark.parametrize("kind", ["plain", "transposed", "kernel gradient", "any"])
def test_every_argument_against_the_loops(rng: np.random.Generator, kind: str) -> None:
    read, calls, fns, pairs = 0, [], [], []
    for _ in range(16):
        call = random_call(rng, kind)
        lhs, rhs, numbers = permuted(rng, call)
        options = {**call.options, "dimension_numbers": numbers}
        fn = partial(jaxconv.conv_general_dilated, **options)
        found = roles(fn, lhs, rhs)
        read += len(found)
        if not found and min(map(min, options["padding"])) < 0:
            continue  # left to lax, which is wrong there in jaxlib 0.10
        calls.append((call, numbers))
        fns.append(fn)
        pairs.append((lhs, rhs))
    run = jax.jit(lambda pairs: [fn(*v) for fn, v in zip(fns, pairs, strict=True)])
    for (call, numbers), got in zip(calls, run(pairs), strict=True):
        np.testing.assert_allclose(
            np.asarray(got).transpose(numbers.out_spec),
            loops(call),
            rtol=1e-12,
            atol=1e-13 * math.prod(call.rhs.shape[1:]),
            err_msg=str((call.options, numbers)),
        )
    assert read >= (12 if kind in ("plain", "transposed") else 4)


@pytest.mark.parametrize("groups", ["feature", "batch"])
@pytest.mark.parametrize("dilated", [False, True])
def test_gradients_are_those_of_lax(
    rng: np.random.Generator, groups: str, dilated: bool
) -> None:
    lhs, rhs = rng.normal(size=(6, 6, 7, 5)), rng.normal(size=(9, 6, 3, 2))
    if groups == "feature":
        rhs = rhs[:, :2]
    options = {
        "window_strides": (1, 1) if dilated else (2, 1),
        "padding": ((2, 1), (1, 0)),
        "lhs_dilation": (2, 3) if dilated else (1, 1),
        "rhs_dilation": (1, 2),
        f"{groups}_group_count": 3,
    }

    def loss(fn: Any) -> Any:
        return jax.value_and_grad(lambda a, b: (fn(a, b, **options) ** 3).sum(), (0, 1))

    want = jax.jit(loss(lax.conv_general_dilated))(lhs, rhs)
    got = jax.jit(loss(jaxconv.conv_general_dilated))(lhs, rhs)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-9), got, want
    )


def test_lax_gradients_are_read_back_as_roles(rng: np.random.Generator) -> None:
    """The forms in which JAX differentiates: dilated lhs, large window, groups."""
    x, w = rng.normal(size=(2, 12, 9, 8)), rng.normal(size=(8, 3, 3, 2))
    options = {"window_strides": (2, 3), "padding": "SAME", "feature_group_count": 4}

    def loss(x: Any, w: Any) -> Any:
        return lax.conv_general_dilated(x, w, **options).sum()

    jaxpr = jax.make_jaxpr(jax.grad(loss, (0, 1)))(x, w)
    calls = [e for e in jaxpr.eqns if e.primitive is lax.conv_general_dilated_p]
    assert len(calls) == 3
    found: list[str] = []
    for eqn in calls:
        operands = [jnp.asarray(rng.normal(size=v.aval.shape)) for v in eqn.invars]
        want = lax.conv_general_dilated(*operands, **eqn.params)
        got = jaxconv.conv_general_dilated(*operands, **eqn.params)
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-11)
        fn = partial(jaxconv.conv_general_dilated, **eqn.params)
        found += roles(fn, *operands)
    assert sorted(found) == ["input", "kernel", "output"]


@pytest.mark.parametrize("padding", ["SAME", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize(
    "numbers",
    [
        None,
        ("NHWC", "HWIO", "NHWC"),
        ("NCHW", "HWIO", "NHWC"),
        lax.ConvDimensionNumbers((1, 0, 2, 3), (3, 0, 2, 1), (2, 1, 3, 0)),
    ],
)
def test_words_and_dimension_numbers(
    rng: np.random.Generator, padding: str, numbers: Any
) -> None:
    specs = lax.conv_dimension_numbers((2, 3, 8, 7), (4, 3, 2, 3), numbers)
    lhs = rng.normal(size=(2, 3, 8, 7)).transpose(np.argsort(specs.lhs_spec))
    rhs = rng.normal(size=(4, 3, 2, 3)).transpose(np.argsort(specs.rhs_spec))
    args = (lhs, rhs, (2, 1), padding)
    want = lax.conv_general_dilated(*args, dimension_numbers=numbers)
    got = jaxconv.conv_general_dilated(*args, dimension_numbers=numbers)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("dtype", "preferred"),
    [
        ("float32", None),
        ("float32", "float64"),
        ("bfloat16", None),
        ("bfloat16", "float32"),
        ("float16", None),
        ("int8", None),
        ("int8", "int32"),
        ("complex64", None),
    ],
)
def test_types_are_those_of_lax(
    rng: np.random.Generator, dtype: str, preferred: str | None
) -> None:
    lhs = jnp.asarray(rng.normal(size=(2, 3, 9)) * 4).astype(dtype)
    rhs = jnp.asarray(rng.normal(size=(5, 3, 4)) * 4).astype(dtype)
    want = lax.conv_general_dilated(
        lhs, rhs, (1,), "SAME", preferred_element_type=preferred
    )
    got = jaxconv.conv_general_dilated(
        lhs, rhs, (1,), "SAME", preferred_element_type=preferred
    )
    assert got.dtype == want.dtype
    np.testing.assert_allclose(
        got.astype(np.complex128),
        want.astype(np.complex128),
        rtol=0.05 if dtype.endswith("16") else 1e-5,
        atol=0.5 if dtype.endswith("16") else 1e-4,
    )


def test_what_is_no_role_and_what_is_empty_goes_to_lax(
    rng: np.random.Generator,
) -> None:
    def steps(lhs: Any, rhs: Any) -> Any:
        return jaxconv.conv_general_dilated(lhs, rhs, (2,), ((0, 0),), (3,), (2,))

    lhs, rhs = rng.normal(size=(2, 3, 9)), rng.normal(size=(4, 3, 5))
    assert roles(steps, lhs, rhs) == []
    want = lax.conv_general_dilated(lhs, rhs, (2,), ((0, 0),), (3,), (2,))
    np.testing.assert_array_equal(steps(lhs, rhs), want)
    assert steps(lhs[:0], rhs).shape == (0, *want.shape[1:])
    empty = jaxconv.conv_general_dilated(rhs, lhs, (1,), "VALID")  # it does not fit
    assert empty.shape == (4, 2, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"window_strides": (1,)},
        {"padding": ((1, 1), 1)},
        {"padding": ((1, 1),)},
        {"rhs_dilation": (1, 0)},
        {"feature_group_count": 2},
        {"batch_group_count": 3},
        {"dimension_numbers": ("NHWC", "HWIO")},
        {"rhs": jnp.ones((4, 3, 2, 3), jnp.int32)},
        {"rhs": jnp.ones((4, 3, 2))},
    ],
)
def test_errors_are_those_of_lax(change: dict[str, Any]) -> None:
    call: dict[str, Any] = {
        "lhs": jnp.ones((2, 3, 8, 7)),
        "rhs": jnp.ones((4, 3, 2, 3)),
        "window_strides": (1, 1),
        "padding": "SAME",
        **change,
    }
    with pytest.raises((ValueError, TypeError)) as want:
        lax.conv_general_dilated(**call)
    with pytest.raises(type(want.value)) as got:
        jaxconv.conv_general_dilated(**call)
    assert str(got.value) == str(want.value)


def test_signature_is_that_of_lax() -> None:
    ours, theirs = map(
        inspect.signature, (jaxconv.conv_general_dilated, lax.conv_general_dilated)
    )
    assert list(ours.parameters) == list(theirs.parameters)
    defaults = [p.default for p in theirs.parameters.values()]
    assert [p.default for p in ours.parameters.values()] == defaults


def test_between_equals_rhs_is_the_kernel(rng: np.random.Generator) -> None:
    """An image as small as its kernel: the batch stays the batch."""
    lhs, rhs = rng.normal(size=(2, 6, 4, 4)), rng.normal(size=(5, 6, 4, 4))

    def fn(lhs: Any, rhs: Any) -> Any:
        pads = ((2, 2), (2, 2))
        return jaxconv.conv_general_dilated(lhs, rhs, (1, 1), pads, (2, 2))

    (eqn,) = [e for e in jax.make_jaxpr(fn)(lhs, rhs).eqns if e.primitive is contract_p]
    assert eqn.params["spec"].role == "input"
    assert eqn.outvars[0].aval.shape == (2, 8, 8, 5)


def test_a_turned_kernel_is_not_turned_twice(rng: np.random.Generator) -> None:
    """lax's window of a dilated lhs is the kernel turned around, and so is xla's."""
    y, kernel = rng.normal(size=(2, 70, 4, 5)), rng.normal(size=(21, 70, 3, 3))

    def fn(y: Any, kernel: Any) -> Any:
        pads = ((1, 1), (0, 0))
        return jaxconv.conv_general_dilated(y, kernel, (1, 1), pads, (2, 2))

    lowered = jax.jit(fn).lower(y, kernel)
    assert "jaxconv.input.xla" in lowered.as_text(debug_info=True)
    assert " reverse(" not in lowered.compile().as_text()


def test_no_data_moves_for_the_usual_layouts(rng: np.random.Generator) -> None:
    """Channels last or first, forward and gradient, depthwise too: no transpose."""
    for last in (True, False):
        x, w = (2, 9, 8, 6), (3, 3, 1, 6)
        shapes = (x, w) if last else ((2, 6, 9, 8), (6, 1, 3, 3))
        numbers = ("NHWC", "HWIO", "NHWC") if last else ("NCHW", "OIHW", "NCHW")
        loss = partial(_depthwise_loss, numbers)
        step = jaxconv.accelerate(jax.grad(loss, (0, 1)))
        jaxpr = jax.make_jaxpr(step)(*(rng.normal(size=shape) for shape in shapes))
        assert sum(e.primitive is contract_p for e in jaxpr.eqns) >= 2
        transposes = [e for e in jaxpr.eqns if e.primitive.name == "transpose"]
        large = [e for e in transposes if e.invars[0].aval.size >= 2 * 5 * 4 * 6]
        assert all(map(_only_ones_move, large))


def _depthwise_loss(numbers: Any, x: Any, w: Any) -> Any:
    y = lax.conv_general_dilated(
        x, w, (2, 2), "SAME", dimension_numbers=numbers, feature_group_count=6
    )
    return y.sum()


def _only_ones_move(eqn: Any) -> bool:
    shape, order = eqn.invars[0].aval.shape, eqn.params["permutation"]
    kept = [axis for axis in order if shape[axis] > 1]
    return kept == sorted(kept)
