"""Claim 4.07 on `deform_conv` itself: special offsets, and learning them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from methods import same

import jaxconv
from jaxconv._deform import deform_conv

TAPS = np.array(list(np.ndindex(3, 3))) - 1.0  # row and column from the centre
SIZE = (7, 8)


def everywhere(rows: np.ndarray) -> np.ndarray:
    """One offset (row, column) per tap, the same at every position of every image."""
    return np.broadcast_to(rows.reshape(1, -1, 1, 1), (3, rows.size, *SIZE))


@pytest.fixture
def operands(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.standard_normal((3, 2, *SIZE)), rng.standard_normal((4, 2, 3, 3))


@pytest.mark.parametrize("factor", [2, 3])
def test_offsets_that_scale_the_window_are_dilation(factor: int, operands: Any) -> None:
    x, w = operands
    y = deform_conv(x, everywhere((factor - 1) * TAPS), w, padding=1)
    same(y, jaxconv.conv(x, w, padding=factor, dilation=factor))


def test_offsets_that_turn_the_window_turn_the_kernel(operands: Any) -> None:
    x, w = operands
    turned = np.stack([TAPS[:, 1], -TAPS[:, 0]], axis=1)  # each tap a quarter further
    y = deform_conv(x, everywhere(turned - TAPS), w, padding=1)
    same(y, jaxconv.conv(x, np.rot90(w, -1, (2, 3)).copy(), padding=1))


def test_offsets_from_a_conv_are_learnt_with_the_kernel(
    operands: Any, rng: np.random.Generator
) -> None:
    """A network finds offsets and kernel that another one of its kind has."""
    x, w = operands
    window = {"stride": 2, "padding": 1}

    def layer(v: dict[str, Any]) -> jax.Array:
        offset = jaxconv.conv(x, v["where"], v["shift"], **window)
        return deform_conv(x, offset, v["kernel"], **window)

    shapes = {"where": (18, 2, 3, 3), "shift": (18,)}
    wanted = {k: 0.2 * rng.standard_normal(s) for k, s in shapes.items()}
    wanted["kernel"] = w
    v = {k: a + 0.05 * rng.standard_normal(a.shape) for k, a in wanted.items()}
    y = layer(wanted)
    assert y.shape == jaxconv.conv(x, w, **window).shape

    def loss(v: dict[str, Any]) -> jax.Array:
        return jnp.square(layer(v) - y).mean()

    step = jax.jit(jax.value_and_grad(loss))
    first, slopes = step(v)
    for slope in slopes.values():  # every number is learnt
        assert np.count_nonzero(slope) == slope.size
    value = first
    for _ in range(60):
        value, slopes = step(v)
        v = jax.tree.map(lambda a, g: a - 0.05 * g, v, slopes)
    assert value < first / 3
    alone, _ = step({**v, "where": 0 * v["where"], "shift": 0 * v["shift"]})
    assert value < alone / 3
