"""What docs/frameworks.md remarks below its tables, each held against the library."""

from __future__ import annotations

import importlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxconv
from frameworks import build, images, table

TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}
# Input and kernel size, stride, dilation.
LINES = [(7, 2, 1, 1), (8, 3, 2, 2), (7, 2, 2, 1), (8, 2, 3, 1), (7, 3, 3, 2)]
over_lines = pytest.mark.parametrize(("i", "k", "s", "d"), LINES)


pytestmark = pytest.mark.usefixtures("as_users_have_it")


def line(rng: np.random.Generator, *shape: int) -> jax.Array:
    return jnp.asarray(rng.standard_normal(shape), jnp.float32)


@over_lines
def test_same_and_its_sizes(i, k, s, d, rng):
    x, kernel, span = line(rng, 1, 2, i), line(rng, 3, 2, k), d * (k - 1) + 1
    total = max((-(-i // s) - 1) * s + span - i, 0)
    for word, low in (("SAME", total // 2), ("SAME_LOWER", -(-total // 2))):
        y = jaxconv.conv(x, kernel, stride=s, dilation=d, padding=word)
        assert y.shape[-1] == -(-i // s)
        pads = [(low, total - low)]
        explicit = jaxconv.conv(x, kernel, stride=s, dilation=d, padding=pads)
        np.testing.assert_allclose(y, explicit, **TOLERANCE)
        wanted = jax.lax.conv_general_dilated(x, kernel, (s,), word, rhs_dilation=(d,))
        np.testing.assert_allclose(y, wanted, **TOLERANCE)
    y = jaxconv.conv(x, kernel, stride=s, dilation=d, padding=[(1, 2)])
    assert y.shape[-1] == (i + 3 - span) // s + 1


def test_same_is_not_torchvisions_padding(rng):
    x, kernel = line(rng, 1, 3, 224, 224), line(rng, 2, 3, 7, 7)
    same = jaxconv.conv(x, kernel, stride=2, padding="SAME")
    uneven = jaxconv.conv(x, kernel, stride=2, padding=[(2, 3)] * 2)
    even = jaxconv.conv(x, kernel, stride=2, padding=3)
    np.testing.assert_allclose(same, uneven, rtol=0, atol=1e-4)
    assert same.shape == even.shape
    assert np.abs(np.asarray(same - even)).max() > 1


def test_pytorchs_same_is_ours(rng):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    x, kernel = line(rng, 2, 3, 9), line(rng, 4, 3, 4)
    wanted = torch.nn.functional.conv1d(
        *(torch.from_numpy(np.array(v)) for v in (x, kernel)), padding="same"
    )
    y = jaxconv.conv(x, kernel, padding="same")
    np.testing.assert_allclose(y, wanted.numpy(), **TOLERANCE)
    with pytest.raises(ValueError, match="stride"):
        torch.nn.Conv1d(3, 4, 4, stride=2, padding="same")


def test_causal(rng):
    x = line(rng, 2, 9, 3)
    layers = {}
    if nnx := _optional("flax.nnx"):
        layer = nnx.Conv(
            3, 5, (4,), padding="CAUSAL", kernel_dilation=2, rngs=nnx.Rngs(0)
        )
        layers["flax"] = layer, layer.kernel[...], layer.bias[...]
    if keras := _optional("keras"):
        layer = keras.layers.Conv1D(5, 4, padding="causal", dilation_rate=2)
        layer.build(x.shape)
        layers["keras"] = layer, *(weight.value for weight in layer.weights)
    if not layers:
        pytest.skip("neither flax nor keras is installed")
    for layer, *weights in layers.values():
        y = jaxconv.conv(
            *(x, *weights), padding="causal", dilation=2, layout="channels_last"
        )
        np.testing.assert_allclose(y, layer(x), **TOLERANCE)


def _optional(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return None


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_padding_modes_have_the_same_names(mode, rng):
    rows = {row.library: row for row in table("Convolution")}
    for library, word in (("torch", mode), ("equinox", mode.upper())):
        row = rows[library]
        if _optional(library) is None:
            continue
        layer = build(row, rng, 1, padding=(2, 1), padding_mode=word)
        x, image = images(row, rng)
        options = {"padding": (2, 1), "padding_mode": mode}
        y = jaxconv.conv(image, layer.kernel, layer.bias, **options)
        np.testing.assert_allclose(y, layer.call(x), **TOLERANCE)


@over_lines
def test_sizes_of_transposed_convolutions(i, k, s, d, rng):
    x, kernel, span = line(rng, 1, i, 2), line(rng, k, 2, 3), d * (k - 1) + 1
    ours = jnp.flip(kernel, 0).swapaxes(-1, -2)
    options = {"stride": s, "dilation": d, "layout": "channels_last"}

    def lax(padding: Any, **more: Any) -> jax.Array:
        return jax.lax.conv_transpose(
            x, kernel, (s,), padding, rhs_dilation=(d,), **more
        )

    same = jaxconv.conv_transpose(x, ours, padding="SAME", **options)
    assert same.shape[1] == i * s
    np.testing.assert_allclose(same, lax("SAME"), **TOLERANCE)
    valid = jaxconv.conv_transpose(x, ours, padding="VALID", **options)
    assert valid.shape[1] == (i - 1) * s + span
    assert lax("VALID").shape[1] == (i - 1) * s + max(s, span) >= i * s
    cut = jaxconv.conv_transpose(x, ours, padding=[(1, 0)], **options)
    assert cut.shape[1] == (i - 1) * s + span - 1
    np.testing.assert_allclose(
        cut, lax([(1, 0)], use_consistent_padding=True), **TOLERANCE
    )
    a, b = 1, span + 1
    assert lax([(a, b)]).shape[1] == (i - 1) * s - span + 2 + a + b


@pytest.mark.parametrize("stride", [2, 3])
def test_equinox_same_with_more_output_is_less(stride):
    eqx = pytest.importorskip("equinox", reason="equinox is not installed")
    layer = eqx.nn.ConvTranspose1d(
        2, 3, 4, stride=stride, padding="SAME", output_padding=1, key=jax.random.key(0)
    )
    assert layer(jnp.ones((2, 7))).shape == (3, 7 * stride - 1)


@pytest.mark.parametrize("span", [3, 4])
@pytest.mark.parametrize("more", [0, 1])
def test_keras_more_output(span, more, rng):
    keras = pytest.importorskip("keras", reason="keras is not installed")
    x, s = line(rng, 2, 7, 3), 2
    for word in ("same", "valid"):
        layer = keras.layers.Conv1DTranspose(
            *(5, span, s), padding=word, output_padding=more
        )
        wanted = layer(x)
        kernel, _ = (weight.value for weight in layer.weights)
        zeros = span + span % 2 - 2 + more
        front = min(-(-zeros // 2), span - 1)
        pads = [(span - 1 - front, span - 1 - (zeros - front))]
        options = {"padding": pads}
        if word == "valid":
            options = {"padding": 0, "output_padding": more}
        else:
            assert wanted.shape[1] == 6 * s + span % 2 + more
        y = jaxconv.conv_transpose(
            x, kernel, stride=s, layout="channels_last", **options
        )
        np.testing.assert_allclose(y, wanted, **TOLERANCE)


@pytest.mark.parametrize("size", [13, 14])
def test_haiku_output_shape_is_output_size(size, rng):
    hk = pytest.importorskip("haiku", reason="haiku is not installed")
    x = line(rng, 2, 7, 3)
    model = hk.without_apply_rng(
        hk.transform(lambda x: hk.Conv1DTranspose(5, 4, 2, output_shape=size)(x))
    )
    params = model.init(jax.random.key(0), x)
    kernel = jnp.flip(params["conv1_d_transpose"]["w"], 0)
    y = jaxconv.conv_transpose(
        *(x, kernel),
        stride=2,
        padding="SAME",
        output_size=size,
        layout="channels_last",
    )
    np.testing.assert_allclose(y, model.apply(params, x), **TOLERANCE)
