"""summarize on models of the JAX libraries, against counts by hand."""

from __future__ import annotations

import os
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from jaxconv import ReceptiveField
from jaxconv._inspect.summary import summarize

# One model in every library: 3x3 stride 2 "same" to 8 features, batch norm in use,
# ReLU, max pool of 2, 3x3 dilated by 2 depthwise "same", ReLU, transposed 4x4 stride 2.
IMAGE = (2, 20, 16, 4)
FIELDS = [
    ReceptiveField(3, 2, 0),  # "same" at stride 2 pads at the high end of even sizes
    ReceptiveField(21, 4, -8),  # 5 + 4*4, one pooled unit is 5 wide
]
PARAMETERS = [3 * 3 * 4 * 8 + 8, 3 * 3 * 8 + 8, 4 * 4 * 8 * 3 + 3]
WORK = [
    2 * 10 * 8 * 9 * 4 * 8,
    2 * 5 * 4 * 9 * 8,
    2 * 5 * 4 * 16 * 8 * 3,
]
x = jax.ShapeDtypeStruct(IMAGE, jnp.float32)


@pytest.fixture(autouse=True)
def settings_of_users() -> Any:
    """The libraries rely on implicit promotion of types and ranks."""
    with (
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        jax.enable_x64(False),
    ):
        yield


def check(summary: Any, names: list[str]) -> None:
    assert summary.unknown == ()
    assert [layer.name for layer in summary.layers] == names
    assert len(summary.inputs) == 1
    (name,) = summary.inputs
    assert [layer.parameters for layer in summary.layers] == PARAMETERS
    assert [layer.multiply_adds for layer in summary.layers] == WORK
    assert summary.totals.parameters == sum(PARAMETERS)
    assert summary.layers[1].groups == 8
    assert summary.layers[1].dilation == (2, 2)
    assert summary.layers[2].kind == "transposed"
    found = [layer.receptive_field[name][0] for layer in summary.layers]
    assert found[:2] == FIELDS
    size, stride, _ = found[2]
    assert (size, stride) == (25, 2)


def test_flax_nnx() -> None:
    nnx = pytest.importorskip("flax.nnx", reason="flax is not installed")

    class Model(nnx.Module):
        def __init__(self, rngs: Any) -> None:
            self.first = nnx.Conv(4, 8, (3, 3), strides=2, rngs=rngs)
            self.norm = nnx.BatchNorm(8, use_running_average=True, rngs=rngs)
            self.second = nnx.Conv(
                8, 8, (3, 3), kernel_dilation=2, feature_group_count=8, rngs=rngs
            )
            self.last = nnx.ConvTranspose(8, 3, (4, 4), strides=(2, 2), rngs=rngs)

        def __call__(self, x: Any) -> Any:
            x = nnx.relu(self.norm(self.first(x)))
            x = nnx.relu(self.second(nnx.max_pool(x, (2, 2), (2, 2))))
            return self.last(x)

    model = Model(nnx.Rngs(0))
    names = ["first", "second", "last"]
    found = summarize(model, x)
    check(found, names)
    check(summarize(lambda x: model(x), x), names)
    graph, state = nnx.split(model)
    check(summarize(lambda state, x: nnx.merge(graph, state)(x), state, x), names)
    t, leaves = found.totals, jax.tree.leaves(nnx.state(model))
    assert t.parameters + t.parameters_elsewhere == sum(leaf.size for leaf in leaves)
    assert found.others == {"mean": 8, "var": 8, "scale": 8, "bias": 8}


def test_flax_linen() -> None:
    nn = pytest.importorskip("flax.linen", reason="flax is not installed")

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x: Any) -> Any:
            x = nn.Conv(8, (3, 3), strides=2)(x)
            x = nn.relu(nn.BatchNorm(use_running_average=True)(x))
            x = nn.max_pool(x, (2, 2), (2, 2))
            x = nn.Conv(8, (3, 3), kernel_dilation=2, feature_group_count=8)(x)
            return nn.ConvTranspose(3, (4, 4), strides=(2, 2))(nn.relu(x))

    model = Model()
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    summary = summarize(model.apply, variables, x)
    names = ["Conv_0", "Conv_1", "ConvTranspose_0"]
    check(summary, names)
    grad = jax.grad(lambda v, x: model.apply(v, x).sum())
    back = summarize(grad, variables, x)
    assert {layer.name for layer in back.layers} == set(names)


def test_haiku() -> None:
    hk = pytest.importorskip("haiku", reason="dm-haiku is not installed")

    def forward(x: Any, is_training: bool) -> Any:
        x = hk.Conv2D(8, 3, stride=2)(x)
        x = jax.nn.relu(hk.BatchNorm(True, True, 0.9)(x, is_training=is_training))
        x = hk.max_pool(x, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        x = hk.DepthwiseConv2D(1, 3, rate=2)(x)
        return hk.Conv2DTranspose(3, 4, stride=2)(jax.nn.relu(x))

    model = hk.without_apply_rng(hk.transform_with_state(forward))
    key = jax.random.key(0)
    params, state = jax.eval_shape(lambda x: model.init(key, x, True), x)
    names = ["conv2_d", "depthwise_conv2_d", "conv2_d_transpose"]
    fn = lambda p, s, x: model.apply(p, s, x, False)[0]  # noqa: E731
    check(summarize(fn, params, state, x), names)
    training = summarize(
        lambda p, s, x: model.apply(p, s, x, True)[0], params, state, x
    )
    first, second, _ = (layer.receptive_field["x"][0] for layer in training.layers)
    assert first == FIELDS[0]
    assert second == ReceptiveField(20, 0, 0)  # through the batch's statistics


def test_equinox() -> None:
    eqx = pytest.importorskip("equinox", reason="equinox is not installed")
    keys = jax.random.split(jax.random.key(0), 3)
    model = [
        eqx.nn.Conv2d(4, 8, 3, stride=2, padding=((0, 1), (0, 1)), key=keys[0]),
        jax.nn.relu,
        eqx.nn.MaxPool2d(2, 2),
        eqx.nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8, key=keys[1]),
        jax.nn.relu,
        eqx.nn.ConvTranspose2d(8, 3, 4, stride=2, padding=1, key=keys[2]),
    ]

    def fn(model: Any, x: Any) -> Any:
        def one(x: Any) -> Any:
            for layer in model:
                x = layer(x)
            return x

        return jax.vmap(one)(x.transpose(0, 3, 1, 2))

    check(summarize(fn, model, x), ["model[0]", "model[3]", "model[5]"])


def test_equinox_modules_and_what_is_made_of_them() -> None:
    eqx = pytest.importorskip("equinox", reason="equinox is not installed")
    keys = jax.random.split(jax.random.key(0), 2)
    model = eqx.nn.Sequential(
        [
            eqx.nn.Conv2d(4, 6, 3, key=keys[0]),
            eqx.nn.Lambda(jnp.ravel),
            eqx.nn.Linear(6 * 5 * 7, 3, key=keys[1]),
        ]
    )
    image = jax.ShapeDtypeStruct((4, 7, 9), jnp.float32)
    batch = jax.ShapeDtypeStruct((2, 4, 7, 9), jnp.float32)
    leaves = jax.tree.leaves(eqx.filter(model, eqx.is_array))
    for fn, given in (
        (model, image),
        (jax.vmap(model), batch),
        (eqx.filter_jit(model), image),
    ):
        summary = summarize(fn, given)
        assert [layer.name for layer in summary.layers] == ["layers[0]"]
        assert [(p.name, p.kind) for p in summary.products] == [("layers[2]", "dense")]
        t = summary.totals
        assert t.parameters + t.parameters_products == sum(v.size for v in leaves)
        assert t.parameters_elsewhere == t.parameters_products
        assert t.parameters_unused == 0


def test_keras() -> None:
    if os.environ.get("KERAS_BACKEND") != "jax":
        pytest.skip("needs KERAS_BACKEND=jax")
    keras = pytest.importorskip("keras", reason="keras is not installed")
    keras.utils.clear_session()  # counts the layers from the first again
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input(IMAGE[1:]),
            layers.Conv2D(8, 3, strides=2, padding="same"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(2),
            layers.DepthwiseConv2D(3, dilation_rate=2, padding="same"),
            layers.ReLU(),
            layers.Conv2DTranspose(3, 4, strides=2, padding="same"),
        ]
    )
    summary = summarize(model, x)
    check(summary, ["conv2d", "depthwise_conv2d", "conv2d_transpose"])
    t = summary.totals
    assert t.parameters + t.parameters_elsewhere == model.count_params()
