"""Models of four libraries behind one interface: pure functions of arrays.

A model's variables are a pair: the parameters, which training moves, and the state,
such as running statistics.  Each library has one small file here and is imported only
when one of its models is built.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Tree = Any
Step = Callable[[Tree, Tree], tuple[Tree, jax.Array]]
RATE = 1.0  # so large that the new parameters show the gradients


class Model(NamedTuple):
    variables: tuple[Tree, Tree]  # parameters, state
    batch: Tree
    predict: Callable[[Tree, Tree], jax.Array]  # variables, batch
    loss: Callable[[Tree, Tree, Tree], tuple[jax.Array, Tree]]  # and the new state


class Entry(NamedTuple):
    """Where a model is built, at its own size and at one that a test can afford."""

    library: str
    module: str
    real: Mapping[str, Any]
    small: Mapping[str, Any]


def _keras(application: str, **small: Any) -> Entry:
    real = {"name": application, "image": 224, "classes": 1000}
    small = {"name": application, "image": 32, "classes": 10} | small
    return Entry("keras", "keras_apps", real, small)


MODELS: Mapping[str, Entry] = {
    "MobileNetV2": _keras("MobileNetV2", alpha=0.35),
    "EfficientNetB0": _keras("EfficientNetB0"),
    "ConvNeXtTiny": _keras("ConvNeXtTiny"),
    "ResNet50": _keras("ResNet50"),
    "U-Net": Entry(
        *("flax", "flax_unet"),
        {"image": 128, "widths": (32, 64, 128, 256)},
        {"image": 12, "widths": (6, 10)},
    ),
    "DCGAN": Entry(
        *("flax", "flax_dcgan"),
        {"image": 64, "width": 64, "latent": 100},
        {"image": 16, "width": 4, "latent": 7},
    ),
    "DCGAN generator": Entry(
        *("equinox", "equinox_dcgan"),
        {"image": 64, "width": 64, "latent": 100},
        {"image": 16, "width": 4, "latent": 7},
    ),
    "3-D U-Net": Entry(
        *("equinox", "equinox_unet3d"),
        {"image": 48, "widths": (16, 32, 64)},
        {"image": 6, "widths": (4, 6)},
    ),
    "HiFi-GAN generator": Entry(
        *("equinox", "equinox_hifigan"),
        {"frames": 32, "mels": 80, "width": 128, "rates": (8, 8, 2, 2)},
        {"frames": 5, "mels": 6, "width": 16, "rates": (4, 2)},
    ),
    "ResNet18": Entry(
        *("haiku", "haiku_resnet"),
        {"image": 224, "classes": 1000, "width": 64, "blocks": (2, 2, 2, 2)},
        {"image": 20, "classes": 7, "width": 6, "blocks": (1, 1, 1, 1)},
    ),
}


def build(name: str, *, small: bool = False, batch: int = 4) -> Model:
    """A model with random weights and data, the same at every call."""
    entry = MODELS[name]
    module = importlib.import_module(f"benchmarks.models.{entry.module}")
    return module.build(batch=batch, **(entry.small if small else entry.real))


def fill(shapes: Tree, *, out_axis: int = -1) -> Tree:
    """Random variables for a tree of shapes; a kernel's outputs are on ``out_axis``.

    The libraries' own samplers take seconds to compile, once for every shape, and their
    biases, scales and statistics are all 0 or 1, which would hide errors.
    """
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: _draw(leaf, out_axis, rng), shapes)


def _draw(leaf: Any, out_axis: int, rng: np.random.Generator) -> jax.Array:
    """Kernels keep the scale of their input; the rest is positive, as a variance is."""
    shape, outputs = tuple(leaf.shape), (leaf.shape or (1,))[out_axis]
    size, largest = math.prod(shape), max(shape, default=1)
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
        return jnp.zeros(shape, leaf.dtype)
    if size == largest:  # a bias, a scale, a statistic
        return jnp.asarray(rng.uniform(0.1, 0.6, shape), leaf.dtype)
    inputs = size // (outputs if outputs > 1 else largest)  # else depthwise
    values = rng.standard_normal(shape, np.float32) * (2 / inputs) ** 0.5
    return jnp.asarray(values, leaf.dtype)


def normal(shape: tuple[int, ...], seed: int) -> jax.Array:
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.standard_normal(shape), jnp.float32)


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean over the batch; the labels are whole numbers."""
    shares = jax.nn.log_softmax(logits)
    return -jnp.take_along_axis(shares, labels[:, None], 1).mean()


def labels(batch: int, classes: int) -> jax.Array:
    return jnp.arange(batch, dtype=jnp.int32) * 3 % classes


def training_step(loss: Callable[[Tree, Tree, Tree], tuple[jax.Array, Tree]]) -> Step:
    """One step of gradient descent: variables, batch -> variables, loss."""

    def step(variables: Tree, batch: Tree) -> tuple[Tree, jax.Array]:
        params, state = variables
        value_and_grad = jax.value_and_grad(loss, has_aux=True)
        (value, state), gradients = value_and_grad(params, state, batch)
        moved = jax.tree.map(lambda p, g: p - RATE * g, params, gradients)
        return (moved, state), value

    return step
