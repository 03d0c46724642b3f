"""A small neural audio codec, trained on whole signals, that decodes them in blocks.

    python examples/codec_in_blocks.py                   # trains for a few seconds
    python examples/codec_in_blocks.py --steps 2000 --channels 64

Encoder and decoder are lists of streams.  Training takes `whole`; afterwards the
decoder gets one frame of codes after another, as from a network, and every frame
becomes the next stretch of sound at once.  Both give the same signal.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxconv

Weights = list[tuple[jax.Array, jax.Array]]  # kernel and bias of each stream
State = tuple[jax.Array, ...]


class Codec(NamedTuple):
    encoder: list[jaxconv.Stream]
    decoder: list[jaxconv.Stream]


def build(channels: int, strides: tuple[int, ...], codes: int) -> Codec:
    """Strided convolutions down to the codes, and transposed ones back up."""
    c = channels
    down = [jaxconv.stream(jaxconv.conv, (c, 1, 7))]
    up = [jaxconv.stream(jaxconv.conv, (1, c, 7))]
    for s in strides:
        down.append(jaxconv.stream(jaxconv.conv, (c, c, 3), dilation=3))
        down.append(jaxconv.stream(jaxconv.conv, (c, c, 2 * s), stride=s))
        up.append(jaxconv.stream(jaxconv.conv, (c, c, 3), dilation=3))
        up.append(jaxconv.stream(jaxconv.conv_transpose, (c, c, 2 * s), stride=s))
    down.append(jaxconv.stream(jaxconv.conv, (codes, c, 3)))
    up.append(jaxconv.stream(jaxconv.conv, (c, codes, 3)))
    return Codec(down, up[::-1])


def init(streams: list[jaxconv.Stream], rng: np.random.Generator) -> Weights:
    weights: Weights = []
    for stream in streams:
        o, c, k = stream.kernel_shape
        reads = o * k / stream.stride if stream.transposed else c * k
        kernel = rng.normal(0, np.sqrt(1.5 / reads), (o, c, k))
        bias = jnp.zeros(c if stream.transposed else o)
        weights.append((jnp.asarray(kernel, jnp.float32), bias))
    return weights


def whole(streams: list[jaxconv.Stream], weights: Weights, x: jax.Array) -> jax.Array:
    """All of a signal at once, with an ELU between any two streams."""
    for i, (stream, pair) in enumerate(zip(streams, weights, strict=True)):
        x = stream.whole(jax.nn.elu(x) if i else x, *pair)
    return x


def step(
    streams: list[jaxconv.Stream], weights: Weights, state: State, x: jax.Array
) -> tuple[State, jax.Array]:
    """The same of the next block: every stream has a state of its own."""
    after: list[jax.Array] = []
    for i, (stream, pair) in enumerate(zip(streams, weights, strict=True)):
        following, x = stream.step(state[i], jax.nn.elu(x) if i else x, *pair)
        after.append(following)
    return tuple(after), x


def rounded(z: jax.Array) -> jax.Array:
    """Codes are integers; the gradient passes as if they were not."""
    return z + jax.lax.stop_gradient(jnp.round(z) - z)


def sounds(rng: np.random.Generator, n: int, samples: int) -> jax.Array:
    """Chords of three tones that fade away."""
    t = np.arange(samples) / 1000
    pitch = rng.uniform(10, 120, (n, 3, 1))
    tones = np.sin(2 * np.pi * (pitch * t + rng.uniform(0, 1, (n, 3, 1))))
    fade = np.exp(-t * rng.uniform(0.5, 3, (n, 1)))
    return jnp.asarray((tones.mean(1) * fade)[:, None], jnp.float32)


def train(
    codec: Codec, weights: tuple[Weights, Weights], steps: int, samples: int
) -> tuple[tuple[Weights, Weights], list[float]]:
    """Adam on the squared error of signals that went through the codes."""
    rng = np.random.default_rng(1)

    def loss(weights: tuple[Weights, Weights], x: jax.Array) -> jax.Array:
        z = rounded(8 * jnp.tanh(whole(codec.encoder, weights[0], x)))
        return ((whole(codec.decoder, weights[1], z / 8) - x) ** 2).mean()

    @jax.jit
    def update(weights: Any, mean: Any, square: Any, n: Any, x: jax.Array) -> Any:
        error, slope = jax.value_and_grad(loss)(weights, x)
        mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, slope)
        square = jax.tree.map(lambda v, g: 0.99 * v + 0.01 * g**2, square, slope)
        scale = 3e-3 * jnp.sqrt(1 - 0.99**n) / (1 - 0.9**n)
        weights = jax.tree.map(
            lambda w, m, v: w - scale * m / (jnp.sqrt(v) + 1e-8), weights, mean, square
        )
        return weights, mean, square, error

    mean = square = jax.tree.map(jnp.zeros_like, weights)
    errors: list[float] = []
    for n in range(1, steps + 1):
        x = sounds(rng, 4, samples)
        weights, mean, square, error = update(weights, mean, square, float(n), x)
        errors.append(float(error))
    return weights, errors


def main() -> None:
    read = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    read.add_argument("--channels", type=int, default=16)
    read.add_argument("--strides", type=int, nargs="+", default=[2, 4, 5])
    read.add_argument("--codes", type=int, default=8, help="integers of a frame")
    read.add_argument("--steps", type=int, default=60, help="of training")
    read.add_argument("--frames", type=int, default=25, help="of a signal")
    given = read.parse_args()

    codec = build(given.channels, tuple(given.strides), given.codes)
    rng = np.random.default_rng(0)
    weights = init(codec.encoder, rng), init(codec.decoder, rng)
    sizes = jaxconv.stream_sizes([*codec.encoder, *codec.decoder])
    print(f"block {sizes.block} samples, latency {sizes.latency}")
    print(f"receptive field {sizes.receptive_field} samples")

    samples = given.frames * sizes.block
    weights, errors = train(codec, weights, given.steps, samples)
    if errors:
        print(f"squared error {errors[0]:.4f} to {errors[-1]:.4f}")

    x = sounds(rng, 1, samples)
    codes = jnp.round(8 * jnp.tanh(whole(codec.encoder, weights[0], x)))
    expected = whole(codec.decoder, weights[1], codes / 8)

    decode = jax.jit(partial(step, codec.decoder, weights[1]))
    state = tuple(stream.init(1) for stream in codec.decoder)
    blocks: list[jax.Array] = []
    start = time.perf_counter()
    for frame in range(given.frames):
        state, sound = decode(state, codes[..., frame : frame + 1] / 8)
        blocks.append(sound)
        if frame == 0:  # the rest is without compilation
            start = time.perf_counter()
    each = (time.perf_counter() - start) / max(1, given.frames - 1)
    difference = float(jnp.abs(jnp.concatenate(blocks, 2) - expected).max())
    print(f"{given.frames} frames one by one, {1e3 * each:.2f} ms each")
    print(f"largest difference from decoding at once: {difference:.1e}")
    held = sum(v.size for v in state)
    print(f"the decoder's state holds {held} numbers")


if __name__ == "__main__":
    main()
