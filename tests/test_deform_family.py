"""Aggregation (DCNv3, DCNv4) and multi-scale sampling (Deformable DETR)."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import oracle
from deform_cases import LINE, PLANE, VOLUME, Case, last
from jaxconv._deform import deform_aggregate, deform_attention_sample
from oracle import close

over_cases = pytest.mark.parametrize(
    "case",
    [
        PLANE._replace(dilation=(1, 2)),
        LINE,
        VOLUME._replace(kernel=(2, 2, 3)),  # more terms than are written out
    ],
    ids=lambda case: case.name,
)


def operands(case: Case, rng: np.random.Generator, taps: int) -> list[np.ndarray]:
    """x, offset and weights, channels first."""
    d, g = len(case.size), case.offset_groups
    offset = rng.standard_normal((case.n, d * g * taps, *case.out))
    return [
        rng.standard_normal((case.n, case.inputs, *case.size)),
        np.round(offset) + rng.uniform(0.1, 0.4, offset.shape),
        rng.standard_normal((case.n, g * taps, *case.out)),
    ]


def normalised(weights: np.ndarray, groups: int) -> np.ndarray:
    n, c, *space = weights.shape
    parts = np.exp(weights.reshape(n, groups, c // groups, *space))
    return (parts / parts.sum(2, keepdims=True)).reshape(weights.shape)


@over_cases
@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_aggregation_is_the_oracles(
    case: Case, softmax: bool, layout: str, rng: np.random.Generator
) -> None:
    v = operands(case, rng, case.taps)
    shares = normalised(v[2], case.offset_groups) if softmax else v[2]
    wanted = oracle.aggregate(v[0], v[1], shares, case.kernel, 1.5, False, **case.steps)
    arranged = v if layout == "channels_first" else [last(a) for a in v]
    options: dict[str, Any] = case.options | {"softmax": softmax, "layout": layout}
    run = jax.jit(
        partial(deform_aggregate, kernel_size=case.kernel, offset_scale=1.5, **options)
    )
    y = np.asarray(run(*arranged))
    y = y if layout == "channels_first" else np.moveaxis(y, -1, 1)
    close(y, wanted, case.taps, np.float64)


def test_without_the_center(rng: np.random.Generator) -> None:
    case = PLANE._replace(kernel=(3, 5), low=(2, 2), dilation=(1, 1), size=(6, 7))
    v = operands(case, rng, case.taps - 1)
    wanted = oracle.aggregate(*v, case.kernel, 1.0, True, **case.steps)
    y = deform_aggregate(*v, case.kernel, remove_center=True, **case.options)
    close(y, wanted, case.taps, np.float64)


@pytest.mark.parametrize(("taps", "order"), [(2, 1), (11, 2)])
def test_aggregation_gradients(taps: int, order: int, rng: np.random.Generator) -> None:
    """11 terms are more than are written out."""
    case = LINE._replace(n=1, kernel=(taps,), size=(taps + 3,), dilation=(1,))
    v = operands(case, rng, case.taps)
    run = partial(
        deform_aggregate, kernel_size=case.kernel, softmax=True, **case.options
    )
    check_grads(
        jax.jit(lambda *v: jnp.sin(run(*v))),
        v,
        order,
        modes=["rev"],
        atol=1e-5,
        rtol=1e-5,
    )


LEVELS = ((5, 4), (2, 3), (1, 2))
SIZES = {"n": 2, "q": 4, "heads": 3, "points": 5, "channels": 6}


def queries(rng: np.random.Generator) -> list[np.ndarray]:
    n, q, heads, points, channels = SIZES.values()
    pixels = sum(h * w for h, w in LEVELS)
    return [
        rng.standard_normal((n, pixels, heads, channels)),
        rng.uniform(-0.3, 1.3, (n, q, heads, len(LEVELS), points, 2)),
        rng.standard_normal((n, q, heads, len(LEVELS), points)),
    ]


def attend(values: Any, locations: Any, weights: Any) -> jax.Array:
    return deform_attention_sample(values, LEVELS, locations, weights)


def test_attention_is_the_oracles(rng: np.random.Generator) -> None:
    v = queries(rng)
    wanted = oracle.attention(v[0], LEVELS, v[1], v[2])
    close(jax.jit(attend)(*v), wanted, 15, np.float64)
    close(jax.jit(attend)(*(a[1] for a in v)), wanted[1], 15, np.float64)
    short = [jnp.asarray(a, jnp.bfloat16) for a in v]
    exact = [np.asarray(a, np.float64) for a in short]
    y = jax.jit(attend)(*short)
    assert y.dtype == jnp.bfloat16
    wanted = oracle.attention(exact[0], LEVELS, exact[1], exact[2])
    error = np.abs(np.asarray(y, np.float64) - wanted).max() / np.abs(wanted).max()
    assert error < 1e-2


def test_attention_in_one_and_three_dimensions(rng: np.random.Generator) -> None:
    for levels in [((7,), (4,)), ((2, 3, 4), (3, 1, 2))]:
        d, pixels = len(levels[0]), int(sum(np.prod(s) for s in levels))
        v = [
            rng.standard_normal((2, pixels, 3, 5)),
            rng.uniform(-0.3, 1.3, (2, 4, 3, 2, 6, d)),
            rng.standard_normal((2, 4, 3, 2, 6)),
        ]
        wanted = oracle.attention(v[0], levels, v[1], v[2])
        run = jax.jit(deform_attention_sample, static_argnums=1)
        close(run(v[0], levels, v[1], v[2]), wanted, 12, np.float64)


def test_attention_gradients(rng: np.random.Generator) -> None:
    v = [a[:1] for a in queries(rng)]
    loss = jax.jit(lambda *v: jnp.sin(attend(*v)))
    check_grads(loss, v, 1, atol=1e-4, rtol=1e-4, eps=1e-6)


def test_a_location_that_is_not_a_number_contributes_nothing(
    rng: np.random.Generator,
) -> None:
    v = queries(rng)
    v[1][rng.random(v[1].shape) < 0.2] = np.nan
    wanted = oracle.attention(v[0], LEVELS, v[1], v[2])
    assert np.isfinite(wanted).all()
    close(jax.jit(attend)(*v), wanted, 15, np.float64)
