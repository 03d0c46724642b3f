"""`keras.applications` without pretrained weights, on the JAX backend."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")  # read when keras is imported

import jax
import keras
import numpy as np

from benchmarks.models import Model, cross_entropy, fill, labels, normal


def build(*, name: str, batch: int, image: int, classes: int, **options: Any) -> Model:
    with keras.StatelessScope(initialize_variables=False):
        network = getattr(keras.applications, name)(
            weights=None,
            input_shape=(image, image, 3),
            classes=classes,
            classifier_activation=None,
            **options,
        )
    for variable in network.variables:  # its own initializer is compiled, in seconds
        variable._initializer = lambda shape, dtype: np.zeros(shape, dtype)
    with keras.StatelessScope():  # on leaving it Keras makes what is not made yet
        pass
    params, state = fill(
        [
            [jax.ShapeDtypeStruct(v.shape, v.dtype) for v in variables]
            for variables in (
                network.trainable_variables,
                network.non_trainable_variables,
            )
        ]
    )
    data = 50 * normal((batch, image, image, 3), 1), labels(batch, classes)

    def predict(variables: Any, batch: Any) -> Any:
        logits, _ = network.stateless_call(*variables, batch[0], training=False)
        return logits

    def loss(params: Any, state: Any, batch: Any) -> Any:
        logits, state = network.stateless_call(params, state, batch[0], training=True)
        return cross_entropy(logits, batch[1]), state

    return Model((params, state), data, predict, loss)
