"""Samples at whole positions on every border: values and gradients are torchvision's.

There interpolation has a kink, and the gradient with respect to the offset is the slope
towards the axis' end, at exactly -1 too, where the sample itself is zero.  That is what
torchvision's backward pass does, which asks no position whether it is inside, and what
`grid_sample` does, with which DCNv3 and Deformable DETR define their samples.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import oracle
from deform_cases import LINE, PLANE, VOLUME, Case
from jaxconv._deform import deform_aggregate, deform_attention_sample, deform_conv
from oracle import close

FIRST = Case("first", 2, 4, 3, 1, 2, (4, 8), (3, 3), (1, 1), (1, 1), (1, 1))
over_cases = pytest.mark.parametrize(
    "case", [FIRST, PLANE, LINE, VOLUME], ids=lambda case: case.name
)


def whole(case: Case, rng: np.random.Generator, reach: int) -> dict[str, Any]:
    """Operands whose samples all lie at whole positions, up to ``reach`` further on."""
    v = case.operands(rng)
    v["offset"] = rng.integers(-reach, reach + 1, v["offset"].shape).astype(float)
    return v


@over_cases
@pytest.mark.parametrize("reach", [0, 4])
@pytest.mark.parametrize("masked", [False, True])
def test_gradients_at_whole_positions(
    case: Case, reach: int, masked: bool, rng: np.random.Generator
) -> None:
    v = whole(case, rng, reach)
    y = rng.standard_normal((case.n, case.outputs, *case.out))
    mask = v["mask"] if masked else None
    run = partial(deform_conv, **case.options)

    @jax.jit
    def both(x: Any, offset: Any, kernel: Any, mask: Any) -> Any:
        def loss(v: Any) -> jax.Array:
            return (run(v[0], v[1], v[2], mask=v[3]) * y).sum()

        return jax.value_and_grad(loss)((x, offset, kernel, mask))

    operands = v["x"], v["offset"], v["kernel"], mask
    value, slopes = both(*operands)
    expected = oracle.deform_conv(*operands, **case.steps)
    np.testing.assert_allclose(value, (expected * y).sum(), rtol=1e-11)
    wanted = oracle.deform_gradients(*operands, y, **case.steps)
    for name, slope in zip(("x", "offset", "kernel", "mask"), slopes, strict=True):
        if slope is not None:
            close(slope, wanted[name], case.terms, np.float64)


def test_a_fresh_layer_learns_from_its_border_taps(rng: np.random.Generator) -> None:
    """Offsets of zero and padding of one, the state in which such networks begin."""
    x = rng.standard_normal((1, 1, 4, 8))
    kernel = rng.standard_normal((1, 1, 3, 3))
    zero = jnp.zeros((1, 18, 4, 8))
    slope = jax.grad(lambda o: deform_conv(x, o, kernel, padding=1).sum())(zero)
    rows = np.asarray(slope).reshape(3, 3, 2, 4, 8)  # dy of the first tap, first row
    wanted = kernel[0, 0, 0, 0] * np.append(0.0, x[0, 0, 0, :-1])
    np.testing.assert_allclose(rows[0, 0, 0, 0], wanted, rtol=1e-12)


def test_forward_mode_takes_the_same_side(rng: np.random.Generator) -> None:
    v = whole(FIRST, rng, 2)
    line = rng.standard_normal(v["offset"].shape)

    def run(offset: Any) -> jax.Array:
        return deform_conv(v["x"], offset, v["kernel"], padding=1)

    ahead = jax.jvp(run, (v["offset"],), (line,))[1]
    back = jax.linear_transpose(lambda t: jax.jvp(run, (v["offset"],), (t,))[1], line)
    y = rng.standard_normal(ahead.shape)
    wanted = oracle.deform_gradients(
        v["x"], v["offset"], v["kernel"], None, y, **FIRST.steps
    )
    close(back(jnp.asarray(y))[0], wanted["offset"], FIRST.terms, np.float64)
    np.testing.assert_allclose((ahead * y).sum(), (wanted["offset"] * line).sum())


# PyTorch's grid_sample, the definition of the others ----------------------------------

LEVELS = ((4, 8), (2, 1), (8, 2))  # powers of two: exact when divided by


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch", reason="PyTorch, a witness, is not here")


def sampled(torch: Any, maps: Any, places: Any) -> Any:
    """(m, c, h, w) read at (m, q, k, 2), x before y, in pixels: (m, c, q, k)."""
    sizes = torch.tensor(maps.shape[:1:-1])
    grid = (2 * places + 1) / sizes - 1
    return torch.nn.functional.grid_sample(maps, grid, align_corners=False)


def test_attention_is_grid_samples_at_whole_positions(
    torch: Any, rng: np.random.Generator
) -> None:
    n, q, heads, points, c = 2, 5, 3, 4, 6
    pixels = sum(h * w for h, w in LEVELS)
    values = rng.standard_normal((n, pixels, heads, c))
    weights = rng.standard_normal((n, q, heads, len(LEVELS), points))
    sizes = np.array([level[::-1] for level in LEVELS])[:, None]
    whole = rng.integers(-2, sizes + 2, (n, q, heads, len(LEVELS), points, 2))
    locations = (whole + 0.5) / sizes
    y = rng.standard_normal((n, q, heads * c))

    given = [torch.tensor(v, requires_grad=True) for v in (values, locations, weights)]
    start, total = 0, 0
    for number, (h, w) in enumerate(LEVELS):
        maps = given[0][:, start : start + h * w].permute(0, 2, 3, 1)
        places = given[1][..., number, :, :] * torch.tensor([w, h]) - 0.5
        read = sampled(
            torch,
            maps.reshape(n * heads, c, h, w),
            places.transpose(1, 2).flatten(0, 1),
        )
        shares = given[2][..., number, :].transpose(1, 2).flatten(0, 1)[:, None]
        total = total + (read * shares).sum(-1)
        start += h * w
    total = total.reshape(n, heads * c, q).transpose(1, 2)
    (total * torch.tensor(y)).sum().backward()

    def loss(v: Any) -> jax.Array:
        return (deform_attention_sample(v[0], LEVELS, v[1], v[2]) * y).sum()

    value, slopes = jax.jit(jax.value_and_grad(loss))((values, locations, weights))
    np.testing.assert_allclose(value, (total.detach().numpy() * y).sum(), rtol=1e-11)
    for slope, v in zip(slopes, given, strict=True):
        close(slope, v.grad.numpy(), 100, np.float64)


def test_aggregation_is_grid_samples_at_whole_positions(
    torch: Any,
    rng: np.random.Generator,
) -> None:
    n, groups, c, (h, w) = 2, 2, 3, (4, 8)
    offset = rng.integers(-3, 4, (n, h, w, groups * 18)).astype(float)
    operands = [
        rng.standard_normal((n, h, w, groups * c)),
        offset,
        rng.standard_normal((n, h, w, groups * 9)),
    ]
    y = rng.standard_normal((n, h, w, groups * c))

    x, moves, shares = (torch.tensor(v, requires_grad=True) for v in operands)
    taps = torch.tensor([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)])  # x, y
    base = torch.tensor([[(j, i) for j in range(w)] for i in range(h)])
    places = base[:, :, None, None] + taps + moves.reshape(n, h, w, groups, 9, 2)
    places = places.permute(0, 3, 1, 2, 4, 5).reshape(n * groups, h * w, 9, 2)
    maps = x.reshape(n, h, w, groups, c).permute(0, 3, 4, 1, 2)
    read = sampled(torch, maps.reshape(n * groups, c, h, w), places)
    factor = shares.reshape(n, h * w, groups, 9).transpose(1, 2)
    total = (read * factor.reshape(n * groups, 1, h * w, 9)).sum(-1)
    total = total.reshape(n, groups * c, h, w).permute(0, 2, 3, 1)
    (total * torch.tensor(y)).sum().backward()

    def loss(v: Any) -> jax.Array:
        z = deform_aggregate(*v, 3, padding=1, layout="channels_last")
        return (z * y).sum()

    value, slopes = jax.jit(jax.value_and_grad(loss))(tuple(operands))
    np.testing.assert_allclose(value, (total.detach().numpy() * y).sum(), rtol=1e-11)
    for slope, v in zip(slopes, (x, moves, shares), strict=True):
        close(slope, v.grad.numpy(), 100, np.float64)
