"""N4: the common convolutions."""

from __future__ import annotations

import inspect
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from methods import differ, pytorch, same, shape, undo

import jaxconv


def test_n4_01_size_with_the_floor() -> None:
    for i, k, s, p in ((7, 3, 1, 0), (7, 3, 2, 1), (8, 3, 2, 1), (12, 5, 4, 1)):
        exact = (i + 2 * p - k) / s + 1
        out = shape(jaxconv.conv, (3, i), (2, 3, k), stride=s, padding=p)
        assert out == (2, math.floor(exact))
        assert exact.is_integer() == ((i + 2 * p - k) % s == 0)


LAYERS = ((3, 2, 1), (2, 3, 1), (3, 1, 2), (4, 1, 1))  # kernel, stride, dilation


def seen(layers: Any, rng: np.random.Generator) -> int:
    """How many inputs the first output of a stack depends on, holes included."""
    kernels = [rng.standard_normal((1, 1, k)) for k, _, _ in layers]

    def stack(x: jax.Array) -> jax.Array:
        for w, (_, s, d) in zip(kernels, layers, strict=True):
            x = jaxconv.conv(x, w, stride=s, dilation=d)
        return x[0, 0]

    gradient = jax.grad(stack)(rng.standard_normal((1, 60)))
    return int(np.flatnonzero(gradient)[-1]) + 1


def test_n4_02_erratum_strides_of_the_layers_before(rng: np.random.Generator) -> None:
    printed = corrected = jump = 1
    for n, (k, s, d) in enumerate(LAYERS, start=1):
        printed += (k - 1) * s
        corrected += d * (k - 1) * jump
        jump *= s
        layers = [{"kernel": k, "stride": s, "dilation": d} for k, s, d in LAYERS[:n]]
        found = jaxconv.receptive_field(layers)
        assert found == (corrected, jump, 0)
        assert found.size == seen(LAYERS[:n], rng) != printed


def test_n4_03_itself_a_conv_that_restores_the_shape(rng: np.random.Generator) -> None:
    x, w = rng.standard_normal((2, 8)), rng.standard_normal((3, 2, 3))
    y = np.asarray(jaxconv.conv(x, w, padding=1))
    back = undo(y, w, padding=1)
    assert back.shape == x.shape
    assert differ(back, x)
    turned = w[:, :, ::-1].swapaxes(0, 1)
    same(back, jaxconv.conv(y, turned, padding=1))


def test_n4_04_dilated_kernel(rng: np.random.Generator) -> None:
    x, w = rng.standard_normal((2, 8, 9)), rng.standard_normal((4, 2, 3, 3))
    filled = np.zeros((4, 2, 5, 5))
    filled[:, :, ::2, ::2] = w
    assert np.count_nonzero(filled[0, 0]) == 9
    given: dict[str, Any] = {"stride": 2, "padding": 1}
    y = np.asarray(jaxconv.conv(x, w, dilation=2, **given))
    same(y, jaxconv.conv(x, filled, **given))
    same(undo(y, w, dilation=2, **given), undo(y, filled, **given))


def test_n4_04_dilated_at_the_same_cost() -> None:
    image, kernel = (2, 8, 9), (4, 2, 3, 3)
    dense = jaxconv.cost(image, kernel, padding=1)
    dilated = jaxconv.cost(image, kernel, padding=2, dilation=2)
    assert dilated.output_shape == dense.output_shape
    assert dilated.parameters == dense.parameters
    assert dilated.multiply_adds == dense.multiply_adds


def test_n4_04_dilation_replaces_downsampling(rng: np.random.Generator) -> None:
    """The same values at every second place, and results between them as well."""
    x, first = rng.standard_normal((1, 17)), rng.standard_normal((2, 1, 3))
    second = rng.standard_normal((1, 2, 3))
    coarse = jaxconv.conv(jaxconv.conv(x, first, stride=2), second)
    fine = jaxconv.conv(jaxconv.conv(x, first), second, dilation=2)
    same(fine[:, ::2], coarse)
    sparse = jaxconv.receptive_field([{"kernel": 3, "stride": 2}, {"kernel": 3}])
    dense = jaxconv.receptive_field([{"kernel": 3}, {"kernel": 3, "dilation": 2}])
    assert sparse.size == dense.size == 7
    assert (sparse.stride, dense.stride) == (2, 1)


def test_n4_05_grouped(rng: np.random.Generator) -> None:
    h, w, c1, c2, g = 3, 2, 6, 4, 2
    x, kernel = (
        rng.standard_normal((c1, 5, 7)),
        rng.standard_normal((c2, c1 // g, h, w)),
    )
    parameters = jaxconv.cost(x.shape, kernel.shape, groups=g).parameters
    assert parameters == kernel.size == h * w * c1 * c2 // g
    halves = zip(np.split(x, g), np.split(kernel, g), strict=True)
    y = np.concatenate([jaxconv.conv(*half) for half in halves])
    same(jaxconv.conv(x, kernel, groups=g), y)


def test_n4_06_depthwise_never_mixes_and_pointwise_does(
    rng: np.random.Generator,
) -> None:
    x, depthwise = rng.standard_normal((3, 5)), rng.standard_normal((3, 1, 3))
    pointwise = rng.standard_normal((4, 3, 1))

    def mixes(fun: Any) -> np.ndarray:
        return np.asarray(jax.jacobian(fun)(x) != 0).any((1, 3))

    alone = mixes(lambda x: jaxconv.depthwise_conv(x, depthwise, padding=1))
    np.testing.assert_array_equal(alone, np.eye(3) != 0)  # as many channels as before
    assert mixes(lambda x: jaxconv.pointwise_conv(x, pointwise)).all()
    both = mixes(lambda x: jaxconv.separable_conv(x, depthwise, pointwise, padding=1))
    assert both.shape == (4, 3)
    assert both.all()


def test_n4_06_depthsep_module_in_pytorch(rng: np.random.Generator) -> None:
    torch = pytorch()
    x, bias = rng.standard_normal((2, 4, 6, 7)), rng.standard_normal(5)
    depthwise, pointwise = (
        rng.standard_normal((4, 1, 3, 3)),
        rng.standard_normal((5, 4, 1, 1)),
    )
    module = torch.nn.Sequential(
        torch.nn.Conv2d(4, 4, 3, stride=1, padding=1, groups=4, bias=False),
        torch.nn.Conv2d(4, 5, 1),
    ).double()
    weights = {"0.weight": depthwise, "1.weight": pointwise, "1.bias": bias}
    module.load_state_dict({name: torch.tensor(v) for name, v in weights.items()})
    expected = module(torch.tensor(x)).detach().numpy()
    same(jaxconv.separable_conv(x, depthwise, pointwise, bias, padding=1), expected)


# Deformable convolution: bilinear samples at p*s + t*d - lo + offset ------------------


def deform(
    x: Any, offset: Any, w: Any, *, stride: int = 1, padding: int = 0, dilation: int = 1
) -> jax.Array:
    """One image (C, H, W); offset (2N, H', W'), row and column of a tap in turn."""
    o, c, *window = w.shape
    _, *size = offset.shape
    taps = np.indices(window).reshape(2, -1, 1, 1) * dilation
    places = np.indices(size).reshape(2, 1, *size) * stride - padding
    moved = offset.reshape(-1, 2, *size).swapaxes(0, 1)
    at = list((taps + places).astype(np.float64) + moved)

    def sample(channel: jax.Array) -> jax.Array:
        return jax.scipy.ndimage.map_coordinates(channel, at, order=1, mode="constant")

    samples = jax.vmap(sample)(jnp.asarray(x))
    return jnp.einsum("cthw,oct->ohw", samples, w.reshape(o, c, -1))


def grid(rows: Any, size: tuple[int, int]) -> np.ndarray:
    """The same offset (row, column) per tap of a 3x3 kernel at every position."""
    values = np.asarray(rows, np.float64).reshape(-1, 1, 1)
    return np.broadcast_to(values, (len(values), *size))


TAPS = np.array(list(np.ndindex(3, 3))) - 1  # row and column from the centre


def test_n4_07_zero_offsets_are_plain_conv(rng: np.random.Generator) -> None:
    x, w = rng.standard_normal((2, 7, 8)), rng.standard_normal((4, 2, 3, 2))
    given: dict[str, Any] = {"stride": 2, "padding": 1, "dilation": 1}
    y = jaxconv.conv(x, w, **given)
    offset = np.zeros((2 * 3 * 2, *y.shape[1:]))
    same(jax.jit(lambda *v: deform(*v, **given))(x, offset, w), y)


@pytest.mark.parametrize("factor", [2, 3])
def test_n4_07_scaled_kernels_are_a_special_case(
    factor: int, rng: np.random.Generator
) -> None:
    x, w = rng.standard_normal((2, 7, 8)), rng.standard_normal((4, 2, 3, 3))
    offset = grid((factor - 1) * TAPS.ravel(), (7, 8))
    y = jaxconv.conv(x, w, padding=factor, dilation=factor)
    same(jax.jit(lambda *v: deform(*v, padding=1))(x, offset, w), y)


def test_n4_07_rotated_kernels_are_a_special_case(rng: np.random.Generator) -> None:
    x, w = rng.standard_normal((2, 7, 8)), rng.standard_normal((4, 2, 3, 3))
    turned = np.stack([TAPS[:, 1], -TAPS[:, 0]], axis=1)  # each tap a quarter further
    offset = grid((turned - TAPS).ravel(), (7, 8))
    expected = jaxconv.conv(x, np.rot90(w, -1, (2, 3)).copy(), padding=1)
    same(jax.jit(lambda *v: deform(*v, padding=1))(x, offset, w), expected)


def test_n4_07_samples_between_pixels(rng: np.random.Generator) -> None:
    """A fraction f of the way to the next pixel: (1-f) of one and f of the other."""
    x, w = rng.standard_normal((1, 5, 6)), np.array([[[[1.0]]]])
    offset = grid([0.25, -0.5], (3, 4))
    y = jax.jit(lambda *v: deform(*v, padding=-1))(x, offset, w)
    rows = 0.75 * x[0, 1:4] + 0.25 * x[0, 2:5]
    same(y[0], 0.5 * rows[:, 1:5] + 0.5 * rows[:, 0:4])


def test_n4_07_both_kernels_are_learnt_together(rng: np.random.Generator) -> None:
    given: dict[str, Any] = {"stride": 2, "padding": 1}
    x, w = rng.standard_normal((2, 7, 8)), rng.standard_normal((3, 2, 3, 2))
    taps = 3 * 2
    for_offset = 0.3 * rng.standard_normal((2 * taps, 2, 3, 2))
    offset = jaxconv.conv(x, for_offset, **given)
    y = shape(jaxconv.conv, x.shape, w.shape, **given)
    assert offset.shape == (2 * taps, *y[1:])  # two per tap, at every output

    @jax.jit
    def loss(kernels: Any) -> jax.Array:
        for_offset, w = kernels
        offset = jaxconv.conv(x, for_offset, **given)
        return jnp.square(deform(x, offset, w, **given) - 1).mean()

    kernels = (for_offset, w)
    gradients = jax.jit(jax.grad(loss))(kernels)
    for which, gradient in enumerate(gradients):
        assert np.count_nonzero(gradient) == gradient.size
        step = [np.zeros_like(v) for v in kernels]
        step[which] = 1e-6 * rng.standard_normal(gradient.shape)
        ahead = loss(tuple(v + dv for v, dv in zip(kernels, step, strict=True)))
        behind = loss(tuple(v - dv for v, dv in zip(kernels, step, strict=True)))
        slope = float((gradient * step[which]).sum())
        np.testing.assert_allclose((ahead - behind) / 2, slope, rtol=1e-5)
    moved = tuple(v - 1e-3 * dv for v, dv in zip(kernels, gradients, strict=True))
    assert loss(moved) < loss(kernels)


# PyTorch's signatures -----------------------------------------------------------------


def test_n4_08_arguments_of_pytorch() -> None:
    torch = pytorch()
    convolution = (
        "in_channels out_channels kernel_size stride padding dilation groups bias"
    )
    found = list(inspect.signature(torch.nn.Conv2d).parameters)
    assert found[:8] == convolution.split()
    transposed = list(inspect.signature(torch.nn.ConvTranspose2d).parameters)
    assert set(transposed) - set(found) == {"output_padding"}
    ours = inspect.signature(jaxconv.conv).parameters
    assert set(found[3:9]) <= set(ours)  # by the same names
    assert set(transposed[3:10]) <= set(
        inspect.signature(jaxconv.conv_transpose).parameters
    )
    for name in ("stride", "padding", "dilation", "groups"):
        theirs = inspect.signature(torch.nn.Conv2d).parameters[name].default
        assert ours[name].default == theirs


def test_n4_08_layers_of_pytorch(rng: np.random.Generator) -> None:
    torch = pytorch()
    x = rng.standard_normal((2, 4, 9, 8))
    layer = torch.nn.Conv2d(4, 6, (3, 2), 2, 1, (1, 2), 2, True).double()
    back = torch.nn.ConvTranspose2d(6, 4, (3, 2), 2, 1, 1, 2, True, (1, 2)).double()
    y = layer(torch.tensor(x)).detach()
    weights = {name: v.detach().numpy() for name, v in layer.named_parameters()}
    given: dict[str, Any] = {"stride": 2, "padding": 1, "dilation": (1, 2), "groups": 2}
    same(jaxconv.conv(x, weights["weight"], weights["bias"], **given), y.numpy())
    weights = {name: v.detach().numpy() for name, v in back.named_parameters()}
    z = undo(y.numpy(), weights["weight"], weights["bias"], output_padding=1, **given)
    same(z, back(y).detach().numpy())
