"""Whole models of other libraries, accelerated: the same values, no convolution left.

The models are those of the benchmarks, at a size that suits a test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

import jaxconv
from benchmarks.models import MODELS, Model, build, training_step

Function = Callable[[Any, Any], Any]
# Rounding through a whole network: relative to the norm of the leaf, and a little of
# that of all leaves, as some gradients are exactly zero but for rounding.  Batch
# normalisation of few pixels magnifies it in gradients.
PREDICTION, GRADIENT, OF_ALL = 1e-5, 2e-3, 1e-3


pytestmark = pytest.mark.usefixtures("as_users_have_it")


def load(name: str) -> Model:
    library = MODELS[name].library
    pytest.importorskip(library, reason=f"{library} is not installed")
    return build(name, small=True)


def count(jaxpr: Any) -> Counter[str]:
    """How often each primitive stands in a jaxpr."""
    found: Counter[str] = Counter()
    for eqn in jaxpr.eqns:
        found[eqn.primitive.name] += 1
        for child in jaxprs_in_params(eqn.params):
            found += count(child)
    return found


def trace(model: Model, fn: Function) -> tuple[Any, int, int]:
    """The traced function, and its convolutions: lax's and jaxconv's."""
    traced = jax.jit(fn).trace(model.variables, model.batch)
    found = count(traced.jaxpr.jaxpr)
    return traced, found["conv_general_dilated"], found["jaxconv_contract"]


def run(model: Model, traced: Any) -> Any:
    return traced.lower().compile()(model.variables, model.batch)


def both(model: Model, loss: Any = None) -> Function:
    """A prediction and a training step in one program, which compiles only once."""
    step = training_step(loss or model.loss)

    def fn(variables: Any, batch: Any) -> Any:
        (params, state), value = step(variables, batch)
        gradients = jax.tree.map(jnp.subtract, variables[0], params)
        return model.predict(variables, batch), value, state, gradients

    return fn


def check(got: Any, wanted: Any, tolerance: float) -> None:
    """Each leaf by its norm."""
    pairs = [
        (np.asarray(a, np.float64), np.asarray(b, np.float64))
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True)
    ]
    total = np.sqrt(sum((b**2).sum() for _, b in pairs))
    for a, b in pairs:
        assert a.shape == b.shape
        scale = np.linalg.norm(b) + OF_ALL * total
        assert np.linalg.norm(a - b) <= tolerance * scale


def check_all(got: Any, wanted: Any) -> None:
    """What `both` returns."""
    for i, tolerance in enumerate((PREDICTION, PREDICTION, PREDICTION, GRADIENT)):
        check(got[i], wanted[i], tolerance)


# Every model is rewritten in full -----------------------------------------------------

QUICK = [name for name, entry in MODELS.items() if entry.library != "keras"]


def accelerated(model: Model) -> dict[str, Any]:
    """A prediction and a training step, accelerated in three ways, traced."""
    ways = {
        "all of it": trace(model, jaxconv.accelerate(both(model))),
        "the loss, and then its gradient": trace(
            model, both(model, jaxconv.accelerate(model.loss))
        ),
    }
    with jaxconv.accelerate():
        ways["whatever is traced inside"] = trace(model, both(model))
    return ways


@pytest.mark.parametrize("name", QUICK)
def test_predictions_gradients_and_state(name):
    model = load(name)
    plain, before, none = trace(model, both(model))
    assert before > 10
    assert none == 0
    wanted = run(model, plain)
    for way, (fast, left, contractions) in accelerated(model).items():
        # The prediction beside an accelerated loss is as it was.
        predicting = trace(model, model.predict)[1] if "loss" in way else 0
        assert (left, contractions) == (predicting, before - predicting), way
        if way == "all of it" or name == "U-Net":  # one model runs in every way
            check_all(run(model, fast), wanted)
    assert trace(model, both(model))[1:] == (before, 0)


# Those of Keras take longer to compile, so each goes one way.
def test_keras_training_step():
    model = load("MobileNetV2")
    plain, before, _ = trace(model, both(model))
    fast, left, contractions = trace(model, jaxconv.accelerate(both(model)))
    assert (left, contractions) == (0, before)
    check_all(run(model, fast), run(model, plain))


@pytest.mark.parametrize("name", ["EfficientNetB0", "ConvNeXtTiny"])
def test_keras_predictions(name):
    model = load(name)
    if name == "EfficientNetB0":  # one is enough to run
        plain, before, _ = trace(model, model.predict)
        fast, left, contractions = trace(model, jaxconv.accelerate(model.predict))
        assert (left, contractions) == (0, before)
        check(run(model, fast), run(model, plain), PREDICTION)
    _, before, _ = trace(model, both(model))
    _, left, contractions = trace(model, jaxconv.accelerate(both(model)))
    assert (left, contractions) == (0, before)


def test_keras_fit_inside_the_context_manager(monkeypatch, rng):
    """`fit` compiles a training step of its own."""
    keras = pytest.importorskip("keras", reason="keras is not installed")
    x = rng.standard_normal((12, 9, 8, 3)).astype(np.float32)
    y = rng.integers(0, 5, 12).astype(np.int32)
    network = keras.Sequential(
        [
            keras.layers.Conv2D(6, 3, strides=2, activation="relu"),
            keras.layers.DepthwiseConv2D(2, padding="same"),
            keras.layers.Conv2DTranspose(4, 3, strides=2),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(5),
        ]
    )
    network.build(x.shape)

    def weights() -> list[np.ndarray]:
        return [np.array(variable.value) for variable in network.weights]

    first, calls = weights(), []
    replaced = jaxconv._adopt.accelerate.convolve

    def counted(*operands: Any, **params: Any) -> Any:
        calls.append(params)
        return replaced(*operands, **params)

    monkeypatch.setattr(jaxconv._adopt.accelerate, "convolve", counted)

    def fit() -> list[np.ndarray]:
        network.set_weights(first)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        network.compile(keras.optimizers.SGD(0.1), loss)
        network.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
        return weights()

    wanted = fit()
    assert not calls
    with jaxconv.accelerate():
        got = fit()
    kinds = {(call["feature_group_count"], call["lhs_dilation"]) for call in calls}
    assert kinds == {(1, (1, 1)), (6, (1, 1)), (1, (2, 2))}  # each of the layers
    assert np.abs(wanted[0] - first[0]).max() > 1e-3
    check(got, wanted, PREDICTION)
