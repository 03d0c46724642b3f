"""Real layers and a small model, as plain JAX runs them and accelerated."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import jaxconv

SECONDS = 1.0  # at most so long is one layer timed, but three times at least
LAST = ("NHWC", "HWIO", "NHWC")


class Contest(NamedTuple):
    """A function of arrays, written with jax.lax, as Flax or Keras would call it."""

    name: str
    function: Callable[..., Any]
    operands: tuple[Any, ...]


class Outcome(NamedTuple):
    """Milliseconds without and with jaxconv, and how far the results are apart."""

    name: str
    plain_ms: float
    ours_ms: float
    difference: float  # the largest one, as a part of the largest value

    @property
    def ratio(self) -> float:
        return self.plain_ms / self.ours_ms

    @property
    def agrees(self) -> bool:
        return self.difference < 1e-3  # float32 sums of thousands of products; not NaN


def contests() -> list[Contest]:
    """Three layers with both gradients, and a small network with its gradients."""
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> jax.Array:
        fan_in = int(np.prod(shape[:-1]))
        values = rng.standard_normal(shape) / np.sqrt(fan_in)
        return jnp.asarray(values, jnp.float32)

    depthwise = partial(_conv, groups=96)
    up = partial(lax.conv_transpose, strides=(2, 2), padding="SAME")
    return [
        Contest(
            "depthwise 3x3, 96 channels, 56x56 (MobileNet)",
            _with_gradients(depthwise),
            (draw(1, 56, 56, 96), draw(3, 3, 1, 96)),
        ),
        Contest(
            "transposed 4x4, stride 2, 128 to 64 channels, 16x16 (DCGAN)",
            _with_gradients(up),
            (draw(1, 16, 16, 128), draw(4, 4, 128, 64)),
        ),
        Contest(
            "ordinary 3x3, 64 channels, 56x56 (ResNet)",
            _with_gradients(_conv),
            (draw(1, 56, 56, 64), draw(3, 3, 64, 64)),
        ),
        Contest(
            "loss and gradients of a small MobileNet, 4 images 32x32",
            _loss_and_gradients,
            (_weights(draw), draw(4, 32, 32, 3)),
        ),
    ]


def measure(contest: Contest) -> Outcome:
    """Both ways in turn, so that what else the machine does hits both; the least."""
    functions = (contest.function, jaxconv.accelerate(contest.function))
    ways = [jax.jit(function) for function in functions]
    plain, ours = (jax.block_until_ready(way(*contest.operands)) for way in ways)
    times: tuple[list[float], list[float]] = ([], [])
    end = time.perf_counter() + SECONDS
    while len(times[0]) < 3 or (len(times[0]) < 50 and time.perf_counter() < end):
        for way, taken in zip(ways, times, strict=True):
            start = time.perf_counter()
            jax.block_until_ready(way(*contest.operands))
            taken.append(1e3 * (time.perf_counter() - start))
    return Outcome(contest.name, min(times[0]), min(times[1]), _apart(ours, plain))


def line(outcome: Outcome) -> str:
    """One row of the demo's table."""
    times = f"{outcome.plain_ms:8.1f} ms {outcome.ours_ms:8.1f} ms"
    wrong = "" if outcome.agrees else "  WRONG"
    ratio = f"{outcome.ratio:6.1f}x"
    return f"  {outcome.name:<60}{times} {ratio} {outcome.difference:9.0e}{wrong}"


HEADER = (
    f"  {'with both gradients, float32':<60}{'plain JAX':>11} {'jaxconv':>11}"
    f" {'faster':>7} {'differs':>9}"
)


def _apart(got: Any, wanted: Any) -> float:
    found = 0.0
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        scale = float(jnp.abs(b).max()) or 1.0
        found = float(np.maximum(found, jnp.abs(a - b).max() / scale))  # keeps NaN
    return found


# What is timed ------------------------------------------------------------------------


def _conv(x: jax.Array, kernel: jax.Array, *, stride: int = 1, groups: int = 1) -> Any:
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        "SAME",
        dimension_numbers=LAST,
        feature_group_count=groups,
    )


def _with_gradients(layer: Callable[..., jax.Array]) -> Callable[..., Any]:
    def run(x: jax.Array, kernel: jax.Array) -> Any:
        y, back = jax.vjp(layer, x, kernel)
        return y, back(y)

    return run


BLOCKS = ((24, 1), (48, 2), (48, 1), (96, 2))  # channels and stride of each block


def _weights(draw: Callable[..., jax.Array]) -> dict[str, Any]:
    blocks: list[tuple[jax.Array, jax.Array]] = []
    c = 24
    for outputs, _ in BLOCKS:
        blocks.append((draw(3, 3, 1, c), draw(1, 1, c, outputs)))
        c = outputs
    return {"first": draw(3, 3, 3, 24), "blocks": blocks, "last": draw(c, 10)}


def _network(weights: dict[str, Any], x: jax.Array) -> jax.Array:
    x = jax.nn.relu(_conv(x, weights["first"]))
    for (depthwise, pointwise), (_, stride) in zip(
        weights["blocks"], BLOCKS, strict=True
    ):
        x = _conv(x, depthwise, stride=stride, groups=x.shape[-1])
        x = jax.nn.relu(_conv(x, pointwise))
    return x.mean((1, 2)) @ weights["last"]


def _loss_and_gradients(weights: dict[str, Any], x: jax.Array) -> Any:
    return jax.value_and_grad(
        lambda weights: jnp.mean((_network(weights, x) - 1) ** 2)
    )(weights)
