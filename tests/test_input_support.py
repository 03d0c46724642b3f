"""input_support: exact dependence, and the limits that its page states."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxconv
from jaxconv._inspect.support.support import input_support

Rng = np.random.Generator


def random(rng: Rng, *shape: int) -> jax.Array:
    return jnp.asarray(rng.normal(size=shape), jnp.float32)


def places(mask: np.ndarray) -> list[Any]:
    found = mask.nonzero()[-1] if mask.ndim == 1 else np.argwhere(mask)
    return found.tolist()


# Smooth functions, where the gradient is not zero by accident: both methods must agree,
# and with finite differences of every input.
SMOOTH: dict[str, Callable[[Any, Any], Any]] = {
    "conv": lambda x, w: jaxconv.conv(x, w, padding=1),
    "dilated": lambda x, w: jaxconv.conv(x, w, dilation=(2, 3), stride=2, padding=2),
    "depthwise": lambda x, w: jaxconv.conv(x, w[:, :1], groups=4, padding=1),
    "grouped": lambda x, w: jaxconv.conv(x, w[:, :2], groups=2),
    "transposed": lambda x, w: jaxconv.conv_transpose(x, w, stride=3, padding=1),
    "circular": lambda x, w: jaxconv.conv(x, w, padding=1, padding_mode="circular"),
    "lax": lambda x, w: lax.conv_general_dilated(
        x, w, (2, 1), [(3, 0), (0, 2)], rhs_dilation=(1, 2), lhs_dilation=(2, 1)
    ),
    "residual": lambda x, w: x + jnp.tanh(jaxconv.conv(x, w, padding=1)),
    "normalised": lambda x, w: jaxconv.conv(x, w)
    / (1 + (x**2).mean((2, 3), keepdims=True)),
    "softmax": lambda x, w: jax.nn.softmax(jaxconv.conv(x, w), axis=1),
    "scan": lambda x, w: lax.scan(
        lambda y, row: (jnp.sin(jaxconv.conv(y, w, padding=1)) * row.sum(), y[:, 0]),
        x, x.transpose(2, 0, 1, 3)[:2],
    )[1],
    "loop": lambda x, w: lax.fori_loop(
        0, 2, lambda _, y: jnp.sin(jaxconv.conv(y, w, padding=1)), x
    ),
    "moved": lambda x, w: jnp.roll(x, 2, axis=2)[:, ::-1, 1::2].at[:, 1, :2].set(0.5),
    "added": lambda x, w: jnp.zeros((1, 4, 9, 7), jnp.float32)
    .at[:, :, jnp.array([1, 1, 4])]
    .add(x[:, :, :3]),
    "taken": lambda x, w: x[:, jnp.array([3, 0]), 1:4] * x[:, :2, 2:5],
    "joined": lambda x, w: jnp.concatenate(
        [x[:, :, :2, :5], jaxconv.conv(x, w)], axis=2
    ),
    "matrix": lambda x, w: jnp.einsum(
        "nchw,hk->nckw", x, jnp.triu(w[0, 0].repeat(3, 0)[:6])
    ),
    "cumulative": lambda x, w: jnp.cumsum(x, axis=2)
    + lax.cumlogsumexp(x, axis=3, reverse=True),
    "spectrum": lambda x, w: jnp.abs(jnp.fft.rfft(x, axis=-1)),
    "switch": lambda x, w: lax.switch(
        1, [lambda x: x, lambda x: jaxconv.conv(x, w, padding=1)], x
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SMOOTH)
def test_both_methods_agree_on_smooth_functions(name: str, rng: Rng) -> None:
    x, w = random(rng, 1, 4, 6, 7), random(rng, 4, 4, 3, 3) * 0.2

    def fn(x: Any) -> Any:
        return SMOOTH[name](x, w)

    shape = jax.eval_shape(fn, x).shape
    for _ in range(3):
        index = tuple(int(rng.integers(n)) for n in shape)
        by_structure = input_support(fn, x, index)
        by_gradient = input_support(fn, x, index, method="gradient")
        assert by_structure.shape == x.shape
        assert by_structure.dtype == bool
        np.testing.assert_array_equal(by_structure, by_gradient)


def test_holes_of_a_dilated_kernel() -> None:
    kernel = jnp.asarray([[[1.0, -2.0, 0.5]]], jnp.float32)
    x = jax.ShapeDtypeStruct((1, 12), jnp.float32)

    def fn(x: Any) -> Any:
        return jaxconv.conv(jaxconv.conv(x, kernel, dilation=4), kernel)

    found = input_support(fn, x, (0, 1))[0]
    assert places(found) == [1, 2, 3, 5, 6, 7, 9, 10, 11]


def test_zero_weights_and_constant_masks_cut(rng: Rng) -> None:
    """PixelCNN's masked kernel: what lies behind is not seen."""
    mask = np.ones((1, 1, 3, 3), np.float32)
    mask[..., 1, 1:] = mask[..., 2, :] = 0
    kernel = jnp.asarray(rng.uniform(1, 2, mask.shape), jnp.float32) * mask

    def fn(x: Any) -> Any:
        y = jaxconv.conv(x, kernel, padding=1)
        return jnp.where(jnp.arange(5) > 0, y, 0.0)

    x = jax.ShapeDtypeStruct((1, 6, 5), jnp.float32)
    found = places(input_support(fn, x, (0, 3, 2)))
    assert found == [[0, 2, 1], [0, 2, 2], [0, 2, 3], [0, 3, 1]]
    assert not input_support(fn, x, (0, 3, 0)).any()


@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        (lambda x: x * jnp.asarray([2, 0, 0, 1], x.dtype) + x[::-1], [2]),
        (lambda x: x.at[1].set(7.0) + x[0], [0]),
        (lambda x: x.at[1].add(x[3]), [1, 3]),
        (lambda x: lax.dynamic_update_slice(x, x[2:3], (1,)), [2]),
        (lambda x: lax.scan(lambda s, v: (v, s), x[0], x)[1], [0]),
        (lambda x: lax.scan(lambda s, v: (v, s), x[0], x, reverse=True)[1], [2]),
        (lambda x: lax.scan(lambda s, v: (s + v, s + v), x[0], x[::-1])[1], [0, 2, 3]),
    ],
)  # fmt: skip
def test_exactly_these(fn: Any, expected: Any) -> None:
    """Of four elements, those that number 1 of the result depends on."""
    x = jnp.asarray([3.0, 1.0, 4.0, 1.5], jnp.float32)
    assert places(input_support(fn, x, 1)) == expected
    assert places(input_support(fn, x, 1, method="gradient")) == expected


def test_a_closed_relu_hides_from_the_gradient_only() -> None:
    kernel = jnp.asarray([[[1.0, 1.0, 1.0]]], jnp.float32)
    x = jnp.asarray([[-1.0, -2.0, -3.0, 4.0, 5.0]], jnp.float32)

    def fn(x: Any) -> Any:
        return jax.nn.relu(jaxconv.conv(x, kernel))

    assert places(input_support(fn, x, (0, 0))[0]) == [0, 1, 2]
    assert not input_support(fn, x, (0, 0), method="gradient").any()


def test_a_maximum_has_one_gradient_and_sees_its_window(rng: Rng) -> None:
    def fn(x: Any) -> Any:
        return lax.reduce_window(x, -jnp.inf, lax.max, (3,), (2,), "VALID")

    x = random(rng, 9)
    assert places(input_support(fn, x, (1,))) == [2, 3, 4]
    (one,) = places(input_support(fn, x, 1, method="gradient"))
    assert one == 2 + int(jnp.argmax(x[2:5]))


@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        (lambda x: x.max(axis=1), [[1, 0], [1, 1], [1, 2]]),
        (lambda x: jnp.argmax(x, axis=1), [[1, 0], [1, 1], [1, 2]]),
        (lambda x: jnp.sort(x, axis=0)[:, 2], [[0, 2], [1, 2], [2, 2], [3, 2]]),
        (lambda x: jnp.round(x)[:, 0], [[1, 0]]),
        (lambda x: (x[:, 1] > 0).astype(jnp.int32), [[1, 1]]),
        (lambda x: lax.stop_gradient(x)[:, 1], [[1, 1]]),
        (lambda x: lax.cummax(x, axis=0)[:, 0], [[0, 0], [1, 0]]),
        (lambda x: lax.top_k(x, 2)[0][:, 1], [[1, 0], [1, 1], [1, 2]]),
        (lambda x: jnp.clip(x[:, 1], -1, x[0, 0]), [[0, 0], [1, 1]]),
        (lambda x: lax.cond(x[3, 2] > 0, lambda: x[:, 0], lambda: x[:, 1]),
         [[1, 0], [1, 1], [3, 2]]),
        (lambda x: lax.while_loop(
            lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * x[:, 0]), (0, x[:, 1])
         )[1], [[1, 0], [1, 1]]),
    ],
)  # fmt: skip
def test_what_has_no_gradient(fn: Any, expected: Any, rng: Rng) -> None:
    assert places(input_support(fn, random(rng, 4, 3), (1,))) == expected


def test_limits_that_the_page_states() -> None:
    """Cancelling paths, and factors that are computed and always zero."""
    x = jnp.arange(1.0, 4.0)
    assert places(input_support(lambda x: x - x, x, 1)) == [1]
    assert places(input_support(lambda x: x - x, x, 1, method="gradient")) == []

    def causal(x: Any) -> Any:
        scores = x[:, None] * x[None, :]
        hidden = jnp.triu(jnp.ones((3, 3), bool), 1)
        return jax.nn.softmax(jnp.where(hidden, -jnp.inf, scores)) @ x

    assert places(input_support(causal, x, 1)) == [0, 1, 2]
    assert places(input_support(causal, x, 1, method="gradient")) == [0, 1]


def test_unknown_operations_count_as_everything_and_say_so(rng: Rng) -> None:
    x = random(rng, 3, 3)

    def fn(x: Any) -> Any:
        return jnp.linalg.svd(x[:, :2], compute_uv=False)

    with pytest.warns(UserWarning, match="input_support does not know"):
        found = input_support(fn, x, 0)
    assert places(found) == [[r, c] for r in range(3) for c in range(2)]


def test_shapes_are_enough_and_types_do_not_matter() -> None:
    kernel = jnp.ones((2, 2, 3), jnp.bfloat16)
    x = jax.ShapeDtypeStruct((2, 6), jnp.bfloat16)
    found = input_support(lambda x: jaxconv.conv(x, kernel), x, (-1, -1))
    assert places(found[0]) == [3, 4, 5]
    whole = jax.ShapeDtypeStruct((5,), jnp.int32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert places(input_support(lambda x: x[::2] // 2, whole, 1)) == [2]


@pytest.mark.parametrize(
    ("index", "options", "error", "match"),
    [
        ((0,), {}, ValueError, r"index=\(0,\): has length 1, but the result has shape"),
        ((0, 9), {}, ValueError, "9 lies outside of the result's shape"),
        ((0, 1.5), {}, TypeError, r"1\.5 is not an int"),
        ((0, 0), {"method": "magic"}, ValueError, "method='magic': is not one of"),
    ],
)
def test_mistakes(index: Any, options: Any, error: Any, match: str) -> None:
    with pytest.raises(error, match=match):
        input_support(jnp.sin, jnp.zeros((2, 3)), index, **options)


def test_more_mistakes() -> None:
    with pytest.raises(TypeError, match="x is a list, not an array"):
        input_support(jnp.sin, [1.0], 0)
    with pytest.raises(TypeError, match="returns something else than one array"):
        input_support(lambda x: (x, x), jnp.zeros(3), 0)
    with pytest.raises(TypeError, match="has no derivative"):
        input_support(jnp.abs, jnp.zeros(3, jnp.int32), 0, method="gradient")
