"""Deformable convolution: values, gradients, and what lies outside."""

from __future__ import annotations

import importlib
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import jaxconv
import oracle
from deform_cases import CASES, PLANE, VOLUME, Case, last
from jaxconv._deform import deform_conv, deform_conv_transpose
from oracle import close

IMPLEMENTATIONS = ("columns", "chunks")
over_cases = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
over_implementations = pytest.mark.parametrize("name", IMPLEMENTATIONS)


def call(v: dict[str, Any], case: Case, **options: Any) -> jax.Array:
    options = case.options | options
    run = jax.jit(partial(deform_conv, **options))
    return run(v["x"], v["offset"], v["kernel"], v["bias"], mask=v.get("mask"))


@jax.jit
def slopes(v: dict[str, Any]) -> dict[str, jax.Array]:
    return jax.grad(lambda v: jnp.sin(call(v, PLANE)).sum())(v)


# Values -------------------------------------------------------------------------------


@over_cases
@over_implementations
def test_values_are_the_oracles(
    case: Case, name: str, rng: np.random.Generator
) -> None:
    v = case.operands(rng)
    y = call(v, case, implementation=name)
    close(y, case.expected(v), case.terms, np.float64)
    moved = {key: last(value, key) for key, value in v.items()}
    y = call(moved, case, implementation=name, layout="channels_last")
    close(np.moveaxis(y, -1, 1), case.expected(v), case.terms, np.float64)


@over_cases
def test_no_mask_is_a_mask_of_ones(case: Case, rng: np.random.Generator) -> None:
    v = case.operands(rng)
    del v["mask"]
    y = call(v, case, memory_limit=1)  # one position at a time
    close(y, case.expected(v, masked=False), case.terms, np.float64)


@over_cases
def test_zero_offsets_are_conv(case: Case, rng: np.random.Generator) -> None:
    v = case.operands(rng)
    y = call(v | {"offset": 0 * v["offset"], "mask": None}, case)
    options = case.options | {"groups": case.groups}
    plain = jaxconv.conv(v["x"], v["kernel"], v["bias"], **options)
    close(y, np.asarray(plain), case.terms, np.float64)


def test_whole_offsets_are_a_shifted_conv(rng: np.random.Generator) -> None:
    """Offsets (1, -2) read one row further down and two columns further left."""
    v = PLANE.operands(rng)
    pairs = (PLANE.n, -1, 2, *PLANE.out)
    shift = np.array([1.0, -2.0]).reshape(1, 1, 2, 1, 1)
    offset = np.broadcast_to(shift, v["offset"].reshape(pairs).shape)
    y = call(v | {"offset": offset.reshape(v["offset"].shape), "mask": None}, PLANE)
    around = ((0, 0), (0, 0), (PLANE.low[0], PLANE.low[0] + 1), (PLANE.low[1] + 2, 0))
    options = PLANE.options | {"padding": 0, "groups": PLANE.groups}
    moved = np.pad(v["x"], around)[:, :, 1:, : PLANE.size[1]]
    plain = jaxconv.conv(moved, v["kernel"], v["bias"], **options)
    close(y, np.asarray(plain), PLANE.terms, np.float64)


# torchvision.ops.deform_conv2d 0.29.1 on PLANE's operands of seed 5: sums of y, and of
# the gradients of sum(sin(y)).
TORCHVISION = {
    "y": -4.587498899120109,
    "x": 4.469932314284629,
    "offset": 4.773350747025591,
    "kernel": -5.728116218930345,
    "bias": 8.16009492613383,
    "mask": -5.479712653162878,
}


def test_values_and_gradients_are_torchvisions() -> None:
    v = PLANE.operands(np.random.default_rng(5))
    found = sums(v)
    assert found.keys() == TORCHVISION.keys()
    for name, wanted in TORCHVISION.items():
        np.testing.assert_allclose(found[name], wanted, rtol=1e-10, err_msg=name)


def sums(v: dict[str, Any]) -> dict[str, float]:
    """Each array times cosines, added up: no two elements can be exchanged."""

    def total(a: Any) -> float:
        a = np.asarray(a).ravel()
        return float((a * np.cos(np.arange(a.size))).sum())

    y = call(v, PLANE)
    gradient = slopes(v)
    return {"y": total(y)} | {name: total(gradient[name]) for name in v}


def test_torchvision_agrees_here(rng: np.random.Generator) -> None:
    try:
        torch = importlib.import_module("torch")
        ops = importlib.import_module("torchvision.ops")
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"torchvision, a witness, is not usable here: {error}")
    v = PLANE.operands(rng)
    t = {name: torch.tensor(value, requires_grad=True) for name, value in v.items()}
    wanted = ops.deform_conv2d(
        t["x"], t["offset"], t["kernel"], t["bias"], mask=t["mask"], **PLANE.options
    )
    wanted.sin().sum().backward()
    close(call(v, PLANE), wanted.detach().numpy(), PLANE.terms, np.float64)
    found = slopes(v)
    for name, gradient in found.items():
        close(gradient, t[name].grad.numpy(), PLANE.terms, np.float64)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@over_implementations
def test_short_types(dtype: str, name: str, rng: np.random.Generator) -> None:
    v = PLANE.operands(rng, reach=0.7)
    short = {key: jnp.asarray(value, dtype) for key, value in v.items()}
    y = call(short, PLANE, implementation=name)
    assert y.dtype == dtype
    exact = {key: np.asarray(value, np.float64) for key, value in short.items()}
    wanted = PLANE.expected(exact)
    error = np.abs(np.asarray(y, np.float64) - wanted).max() / np.abs(wanted).max()
    assert error < {"float16": 2e-3, "bfloat16": 1e-2, "float32": 2e-6}[dtype]
    gradient = jax.jit(jax.grad(lambda v: call(v, PLANE).astype("float32").sum()))(
        short
    )
    assert {value.dtype.name for value in gradient.values()} == {dtype}


# Derivatives --------------------------------------------------------------------------


@over_cases
def test_derivatives_along_a_line(case: Case, rng: np.random.Generator) -> None:
    """Forward mode against differences, and reverse mode as its transpose."""
    v, line = case.operands(rng), case.operands(rng)
    run = jax.jit(partial(call, case=case))
    y, ahead = jax.jit(partial(jax.jvp, run))((v,), (line,))
    step = jax.tree.map(lambda a: 1e-6 * a, line)
    high, low = (run({k: v[k] + sign * step[k] for k in v}) for sign in (1, -1))
    np.testing.assert_allclose(ahead, (high - low) / 2e-6, rtol=1e-6, atol=1e-6)
    weights = rng.standard_normal(y.shape)
    gradient = jax.jit(jax.grad(lambda v: (run(v) * weights).sum()))(v)
    back = sum(float((gradient[k] * line[k]).sum()) for k in v)
    np.testing.assert_allclose(back, float((ahead * weights).sum()), rtol=1e-11)


def test_second_gradients_are_right(rng: np.random.Generator) -> None:
    case = PLANE._replace(n=1, inputs=3, outputs=1, groups=1, offset_groups=3)
    v = case.operands(rng)
    options = {"implementation": "chunks", "memory_limit": 600}
    loss = jax.jit(lambda v: jnp.sin(call(v, case, **options)))
    check_grads(loss, (v,), 2, modes=["rev"], atol=1e-5, rtol=1e-5)


def test_gradients_are_those_of_either_implementation(
    rng: np.random.Generator,
) -> None:
    v = VOLUME.operands(rng)
    found = [
        jax.grad(lambda v, n=n: jnp.sin(call(v, VOLUME, implementation=n)).sum())(v)
        for n in IMPLEMENTATIONS
    ]
    for name in v:
        close(found[0][name], np.asarray(found[1][name]), VOLUME.terms, np.float64)


def at(offset: Any, x: Any) -> jax.Array:
    """One channel of x, read at 0, 1, ... plus offset."""
    one = jnp.ones((1, 1, 1), x.dtype)
    return deform_conv(x[None], offset[None], one)[0]


def test_whole_offsets_have_the_right_hand_difference_as_gradient(
    rng: np.random.Generator,
) -> None:
    x = rng.standard_normal(6)
    slope = jax.vmap(jax.grad(lambda o, p: at(jnp.full(6, o), x)[p]), (None, 0))
    found = slope(0.0, jnp.arange(6))
    np.testing.assert_allclose(found, np.diff(np.append(x, 0.0)))


# Outside ------------------------------------------------------------------------------


def test_less_than_a_pixel_outside_counts_in_part() -> None:
    x = jnp.array([8.0, 1.0, 1.0, 4.0])
    y = at(jnp.array([-0.25, -1.75, 1.5, 0.75]), x)
    np.testing.assert_array_equal(y, [6.0, 2.0, 2.0, 1.0])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30, -1e30, 3e9, -7.0, 7.0])
def test_nowhere_contributes_nothing(bad: float, rng: np.random.Generator) -> None:
    v = PLANE.operands(rng)
    hit = rng.random(v["offset"].shape) < 0.2
    v["offset"] = np.where(hit, bad, v["offset"])
    wanted = PLANE.expected(v)
    assert np.isfinite(wanted).all()
    close(call(v, PLANE), wanted, PLANE.terms, np.float64)
    gradient = slopes(v)
    assert all(np.isfinite(value).all() for value in gradient.values())
    assert np.count_nonzero(np.asarray(gradient["offset"])[hit]) == 0


def test_what_no_sample_reads_does_not_matter() -> None:
    """Not even if it is not a number, and a sample that lies nowhere reads nothing."""
    x = jnp.array([np.nan, 1.0, 2.0, np.inf])
    y = at(jnp.array([np.nan, 0.25, -9.0, 9.0]), x)
    np.testing.assert_array_equal(y, [0.0, 1.25, 0.0, 0.0])
    tangent = jax.jvp(lambda o: at(o, x), (jnp.full(4, 9.0),), (jnp.ones(4),))[1]
    np.testing.assert_array_equal(tangent, np.zeros(4))


def test_a_mask_or_pixel_that_is_not_a_number_shows(rng: np.random.Generator) -> None:
    v = PLANE.operands(rng, reach=0.0)
    for name in ("x", "mask"):
        changed = v[name].copy()
        changed[0, 0, 1, 1] = np.nan
        y = np.asarray(call(v | {name: changed}, PLANE))
        assert np.isnan(y[0]).any()
        assert np.isfinite(y[1:]).all()


# The transposed one -------------------------------------------------------------------


@over_cases
@over_implementations
def test_transposed_values_are_the_oracles(
    case: Case, name: str, rng: np.random.Generator
) -> None:
    v = case.operands(rng)
    y = rng.standard_normal((case.n, case.outputs, *case.out))
    bias = rng.standard_normal(case.inputs)
    wanted = oracle.deform_conv_transpose(
        y, v["offset"], v["kernel"], v["mask"], case.size, case.groups, **case.steps
    ) + bias.reshape(-1, *(1,) * len(case.size))
    options: dict[str, Any] = {"groups": case.groups, "output_size": case.size}
    options |= case.options | {"implementation": name}
    run = jax.jit(partial(deform_conv_transpose, **options))
    z = run(y, v["offset"], v["kernel"], bias, mask=v["mask"])
    close(z, wanted, case.terms, np.float64)


def test_transposed_gradients(rng: np.random.Generator) -> None:
    """<conv(x), y> = <x, conv_transpose(y)>, and so are its gradients equal."""
    v = PLANE.operands(rng)
    y = rng.standard_normal((PLANE.n, PLANE.outputs, *PLANE.out))
    x, bias = v.pop("x"), v.pop("bias")

    def there(v: dict[str, Any]) -> jax.Array:
        return (call(v | {"x": x, "bias": 0 * bias}, PLANE) * y).sum()

    def back(v: dict[str, Any]) -> jax.Array:
        options: dict[str, Any] = PLANE.options | {"groups": 2, "output_size": (5, 4)}
        z = deform_conv_transpose(
            y, v["offset"], v["kernel"], mask=v["mask"], **options
        )
        return (z * x).sum()

    (one, wanted), (other, found) = (
        jax.jit(jax.value_and_grad(f))(v) for f in (there, back)
    )
    np.testing.assert_allclose(other, one, rtol=1e-12)
    for name in v:
        close(found[name], np.asarray(wanted[name]), PLANE.terms, np.float64)
