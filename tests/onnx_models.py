"""Converts models to ONNX by way of `to_lax`, and runs them: errors as JSON.

A process of its own, as the converter replaces functions of JAX while it reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
from jax2onnx import to_onnx

import jaxconv

RNG = np.random.default_rng(0)


def array(*shape: int) -> Any:
    return jnp.asarray(RNG.normal(size=shape), np.float32)


KERNELS = {name: array(*shape) for name, shape in {
    "conv": (4, 3, 3, 2),
    "grouped": (6, 2, 3, 3),
    "up": (3, 4, 4, 3),
    "up in groups": (4, 3, 4),
    "first": (8, 3, 3, 3),
    "wise": (8, 1, 3, 3),
    "down": (8, 8, 2, 2),
    "wide": (8, 8, 3, 3),
    "back": (8, 8, 2, 2),
    "last": (2, 16, 1, 1),
}.items()}  # fmt: skip


def unet(x: Any) -> Any:
    """One level, with a depthwise layer, a skip connection, and lax accelerated."""
    k = KERNELS
    x = jax.nn.relu(jaxconv.conv(x, k["first"], padding=1))
    x = jnp.tanh(jaxconv.depthwise_conv(x, k["wise"], padding="same"))
    low = jaxconv.conv(x, k["down"], stride=2)
    same = partial(jax.lax.conv, window_strides=(1, 1), padding="SAME")
    low = jax.nn.relu(jaxconv.accelerate(same)(low, k["wide"]))
    up = jaxconv.conv_transpose(low, k["back"], stride=2)
    return jaxconv.conv(jnp.concatenate([x, up], 1), k["last"])


MODELS: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "conv": (
        lambda x: jaxconv.conv(x, KERNELS["conv"], stride=2, padding=(1, 0)),
        (2, 3, 8, 9),
    ),
    "grouped": (
        lambda x: jaxconv.conv(x, KERNELS["grouped"], groups=2, dilation=(1, 2)),
        (2, 4, 8, 9),
    ),
    "conv_transpose": (
        lambda x: jaxconv.conv_transpose(
            x, KERNELS["up"], stride=(2, 3), padding=1, output_padding=1
        ),
        (2, 3, 5, 6),
    ),
    "conv_transpose in groups": (
        lambda x: jaxconv.conv_transpose(
            x, KERNELS["up in groups"], stride=3, groups=2
        ),
        (2, 4, 7),
    ),
    "U-Net": (unet, (1, 3, 8, 10)),
}


def error(name: str) -> float:
    """The largest difference between JAX and ONNX Runtime, relative to the values."""
    fn, shape = MODELS[name]
    x = array(*shape)
    model = to_onnx(jaxconv.to_lax(fn), [jax.ShapeDtypeStruct(shape, np.float32)])
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (given,) = session.get_inputs()
    (got,) = session.run(None, {given.name: np.asarray(x)})
    want = np.asarray(fn(x))
    assert got.shape == want.shape, (got.shape, want.shape)
    return float(np.abs(got - want).max() / np.abs(want).max())


if __name__ == "__main__":
    print(json.dumps({name: error(name) for name in MODELS}))
