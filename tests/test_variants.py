"""Depthwise, pointwise and separable convolution against the definition."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxconv
import oracle
from cases import arrange, over_layouts, random
from oracle import Window, close

Rng = np.random.Generator
SPACE, WINDOW, STRIDE, DILATION, LOW = (9, 7), (3, 2), (2, 1), (1, 3), (2, 1)
OPTIONS = {"stride": STRIDE, "dilation": DILATION, "padding": LOW}
OUTPUTS = tuple(map(oracle.windows, SPACE, WINDOW, STRIDE, DILATION, LOW, LOW))
SLIDING = Window(SPACE, WINDOW, OUTPUTS, STRIDE, DILATION, LOW)


def channel_by_channel(x: np.ndarray, w: np.ndarray, mode: str = "zeros") -> np.ndarray:
    """Every channel as an image of its own, with its m kernels."""
    m = w.shape[0] // x.shape[1]
    results = [
        oracle.contract(
            "output", x[:, [c]], w[c * m : (c + 1) * m], SLIDING, 1, mode
        )
        for c in range(x.shape[1])
    ]  # fmt: skip
    return np.concatenate(results, axis=1)


def moved(layout: str, x: np.ndarray, *kernels: np.ndarray) -> list[jax.Array]:
    arrays = [arrange(x, "input", layout)]
    arrays += [arrange(w, "kernel", layout) for w in kernels]
    return [jnp.asarray(v) for v in arrays]


@over_layouts
@pytest.mark.parametrize("m", [1, 2])
@pytest.mark.parametrize("mode", ["zeros", "circular"])
def test_depthwise_keeps_channels_apart(
    layout: str, m: int, mode: str, rng: Rng
) -> None:
    x, w = random(rng, (3, 4, *SPACE)), random(rng, (4 * m, 1, *WINDOW))
    b = random(rng, (4 * m,))
    arrays = moved(layout, x, w)
    y = jaxconv.depthwise_conv(
        *arrays, jnp.asarray(b), layout=layout, padding_mode=mode, **OPTIONS
    )
    want = channel_by_channel(x, w, mode) + b[:, None, None]
    close(y, arrange(want, "input", layout), 6, np.float64)


@over_layouts
@pytest.mark.parametrize("groups", [1, 2])
def test_pointwise_mixes_channels_at_a_position(
    layout: str, groups: int, rng: Rng
) -> None:
    x, w = random(rng, (3, 4, 5, 6)), random(rng, (8, 4 // groups, 1, 1))
    b = random(rng, (8,))
    y = jaxconv.pointwise_conv(
        *moved(layout, x, w),
        jnp.asarray(b),
        stride=(2, 4),
        groups=groups,
        layout=layout,
    )
    seen = x[:, :, ::2, ::4].reshape(3, groups, 4 // groups, 3, 2)
    split = w.reshape(groups, 8 // groups, 4 // groups)
    want = np.einsum("ngchw,goc->ngohw", seen, split).reshape(3, 8, 3, 2)
    close(y, arrange(want + b[:, None, None], "input", layout), 4, np.float64)


@over_layouts
@pytest.mark.parametrize("mode", ["zeros", "replicate"])
def test_separable_is_depthwise_then_pointwise(
    layout: str, mode: str, rng: Rng
) -> None:
    x, first = random(rng, (2, 3, *SPACE)), random(rng, (6, 1, *WINDOW))
    second, b = random(rng, (5, 6, 1, 1)), random(rng, (5,))
    y = jaxconv.separable_conv(
        *moved(layout, x, first, second),
        jnp.asarray(b),
        layout=layout,
        padding_mode=mode,
        **OPTIONS,
    )
    middle = channel_by_channel(x, first, mode)
    want = np.einsum("nchw,oc->nohw", middle, second[..., 0, 0]) + b[:, None, None]
    close(y, arrange(want, "input", layout), 50, np.float64)


def test_separable_is_one_convolution_with_the_product_kernel(rng: Rng) -> None:
    x = jnp.asarray(random(rng, (2, 3, *SPACE)))
    first, second = random(rng, (3, 1, *WINDOW)), random(rng, (5, 3, 1, 1))
    product = jnp.asarray(second * first[None, :, 0])
    y = jaxconv.separable_conv(x, jnp.asarray(first), jnp.asarray(second), **OPTIONS)
    close(y, np.asarray(jaxconv.conv(x, product, **OPTIONS)), 50, np.float64)


@pytest.mark.parametrize("dims", [1, 3])
def test_other_dimensions_and_no_batch(dims: int, rng: Rng) -> None:
    space = (7, 5, 6)[:dims]
    x = jnp.asarray(random(rng, (3, *space)))
    first = jnp.asarray(random(rng, (6, 1, *(2, 3, 1)[:dims])))
    second = jnp.asarray(random(rng, (4, 6, *(1,) * dims)))
    y = jaxconv.separable_conv(x, first, second, stride=2)
    middle = jaxconv.conv(x, first, stride=2, groups=3)
    close(y, np.asarray(jaxconv.conv(middle, second)), 50, np.float64)
    assert y.ndim == dims + 1


def test_gradients_are_those_of_conv(rng: Rng) -> None:
    arrays = [
        jnp.asarray(random(rng, shape))
        for shape in ((2, 3, 7), (6, 1, 3), (4, 6, 1), (4,))
    ]

    def separable(x: Any, first: Any, second: Any, b: Any) -> Any:
        return jnp.sin(jaxconv.separable_conv(x, first, second, b, padding=1)).sum()

    def by_conv(x: Any, first: Any, second: Any, b: Any) -> Any:
        middle = jaxconv.conv(x, first, padding=1, groups=3)
        return jnp.sin(jaxconv.conv(middle, second, b)).sum()

    found, want = (
        jax.jit(jax.grad(f, (0, 1, 2, 3)))(*arrays) for f in (separable, by_conv)
    )
    for a, b in zip(found, want, strict=True):
        close(a, np.asarray(b), 100, np.float64)


@over_layouts
def test_options_reach_both_steps(layout: str, rng: Rng) -> None:
    shapes = (2, 3, 9, 7), (3, 1, 2, 2), (4, 3, 1, 1)
    drawn = moved(layout, *(random(rng, shape) for shape in shapes))
    x, first, second = (v.astype(jnp.bfloat16) for v in drawn)
    y = jaxconv.depthwise_conv(
        x, first, layout=layout, preferred_element_type=np.float32
    )
    assert y.dtype == np.float32
    options = {"layout": layout, "implementation": "matrix"}
    y = jaxconv.separable_conv(x, first, second, **options)
    text = str(
        jax.make_jaxpr(lambda *v: jaxconv.separable_conv(*v, **options))(
            x, first, second
        )
    )
    assert y.dtype == jnp.bfloat16
    assert text.count("lowering='matrix'") == 2


@over_layouts
def test_wrong_kernels_are_refused(layout: str, rng: Rng) -> None:
    def refused(function: Any, shape: tuple[int, ...], *more: Any) -> None:
        x, w = moved(layout, random(rng, (2, 3, 7, 6)), random(rng, shape))
        with pytest.raises(ValueError, match="kernel"):
            function(x, w, *more, layout=layout)

    refused(jaxconv.depthwise_conv, (6, 3, 2, 4))
    refused(jaxconv.depthwise_conv, (4, 1, 2, 5))
    refused(jaxconv.pointwise_conv, (5, 3, 1, 2))
    refused(jaxconv.pointwise_conv, (5, 3, 2, 1))
    _, second = moved(layout, random(rng, (1, 1, 1, 1)), random(rng, (5, 4, 1, 1)))
    refused(jaxconv.separable_conv, (3, 1, 2, 4), second)


def test_separable_keeps_a_preferred_type(rng: Rng) -> None:
    """The second step must take what the first returns."""
    x = jnp.asarray(random(rng, (2, 3, 7))).astype(jnp.bfloat16)
    first = jnp.asarray(random(rng, (3, 1, 2))).astype(jnp.bfloat16)
    second = jnp.asarray(random(rng, (4, 3, 1))).astype(jnp.bfloat16)
    y = jaxconv.separable_conv(x, first, second, preferred_element_type=np.float32)
    assert y.dtype == np.float32
    wide = jaxconv.separable_conv(*(v.astype(np.float32) for v in (x, first, second)))
    close(y, np.asarray(wide), 50, np.float32)


def test_separable_takes_narrow_integers(rng: Rng) -> None:
    x, first, second = (
        random(rng, shape, np.int8) for shape in ((2, 3, 7), (3, 1, 2), (4, 3, 1))
    )
    y = jaxconv.separable_conv(*map(jnp.asarray, (x, first, second)))
    wide = [jnp.asarray(v.astype(np.int32)) for v in (x, first, second)]
    np.testing.assert_array_equal(y, jaxconv.separable_conv(*wide))
