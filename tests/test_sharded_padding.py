"""Padding modes on sharded operands: XLA's partitioner never sees their slices."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.jet import jet
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jaxconv

MODES = ("reflect", "replicate", "circular")
OPS = (jaxconv.conv, jaxconv.conv_transpose)
CUTS = {"batch": P("a"), "channels": P(None, "a"), "space": P(None, None, "a")}


def close(got: Any, expected: Any) -> None:
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-10)


def call(op: Callable[..., Any], mode: str) -> Callable[..., Any]:
    return partial(op, stride=2, padding=[(1, 2)], padding_mode=mode)


def both_ways(fn: Callable[..., Any], x: Any, kernel: Any, y: Any) -> Any:
    value, pull = jax.vjp(fn, x, kernel)
    return value, pull(y)


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("op", OPS, ids=["conv", "conv_transpose"])
def test_values_and_gradients(
    op: Callable[..., Any], mode: str, kind: AxisType, rng: np.random.Generator
) -> None:
    mesh = jax.make_mesh((4,), ("a",), (kind,), devices=jax.devices()[:4])
    x, kernel = rng.normal(size=(4, 8, 12, 7)), rng.normal(size=(8, 8, 2, 3))
    fn = partial(op, stride=2, padding=[(1, 2), (3, 0)], padding_mode=mode)
    y = rng.normal(size=jax.eval_shape(fn, x, kernel).shape)
    expected = jax.jit(partial(both_ways, fn))(x, kernel, y)
    for cut in CUTS.values():
        with jax.set_mesh(mesh):
            held = jax.device_put(x, NamedSharding(mesh, cut))
            value, pull = jax.vjp(jax.jit(fn), held, kernel)
            got = value, pull(jax.device_put(y, value.sharding))
        jax.tree.map(close, got, expected)


def test_only_padded_axes_are_made_whole() -> None:
    mesh = jax.make_mesh((4,), ("a",), (AxisType.Auto,), devices=jax.devices()[:4])
    fn = jax.jit(call(jaxconv.conv, "reflect"))
    held = NamedSharding(mesh, CUTS["batch"])
    x = jax.ShapeDtypeStruct((8, 3, 16), np.float32, sharding=held)
    kernel = jax.ShapeDtypeStruct((5, 3, 4), np.float32)
    text = fn.lower(x, kernel).compile().as_text()
    assert not any(word in text for word in ("all-gather", "all-to-all", "permute"))


@pytest.mark.parametrize("op", OPS, ids=["conv", "conv_transpose"])
def test_vmap_and_taylor_series(
    op: Callable[..., Any], rng: np.random.Generator
) -> None:
    fn = call(op, "circular")
    x, kernel = (jnp.asarray(rng.normal(size=s)) for s in ((3, 2, 4, 9), (4, 4, 3)))
    each = [np.asarray(fn(v, kernel)) for v in x]
    close(jax.vmap(fn, (0, None))(x, kernel), np.stack(each))
    mapped = jax.vmap(fn, (2, None), 1)(jnp.moveaxis(x, 0, 2), kernel)
    close(mapped, np.stack(each, axis=1))
    one, other = x[0], x[1]
    value, (first, second) = jet(
        lambda t: fn(t * t, kernel), (one,), ((other, jnp.zeros_like(other)),)
    )
    derivatives = [lambda t: fn((one + t * other) ** 2, kernel)]
    for _ in range(2):
        derivatives.append(jax.jacfwd(derivatives[-1]))
    for got, derivative in zip((value, first, second), derivatives, strict=True):
        close(got, derivative(0.0))


def test_it_is_linear_and_its_own_transpose(rng: np.random.Generator) -> None:
    fn = partial(
        jaxconv.conv, kernel=np.ones((1, 1, 1)), padding=2, padding_mode="reflect"
    )
    x, y = rng.normal(size=(1, 1, 7)), rng.normal(size=(1, 1, 11))
    (back,) = jax.linear_transpose(fn, x)(y)
    assert math.isclose(float((fn(x) * y).sum()), float((x * back).sum()))
