"""Draws digits by diffusion: a small U-Net learns to take noise off them.

    python examples/diffusion_digits.py                 # about three minutes on 2 cores
    python examples/diffusion_digits.py --steps 6000 --out out/digits.png

The network is plain Equinox, with strided convolutions down and transposed ones up.
Its training step is run by `jaxconv.accelerate`, and timed without it too.  It is told
which digit to draw, and a classifier of scikit-learn's digits judges what came out.

Denoising diffusion: Ho et al., arXiv:2006.11239; the schedule of noise: Nichol and
Dhariwal, arXiv:2102.09672.  Needs equinox, optax, scikit-learn, matplotlib and rich.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.progress import track
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

import jaxconv

TIMES = 100  # steps from a digit to noise


def arguments() -> argparse.Namespace:
    read = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    read.add_argument("--steps", type=int, default=3000)
    read.add_argument("--batch", type=int, default=64)
    read.add_argument("--channels", type=int, default=32)
    read.add_argument("--rate", type=float, default=2e-3)
    read.add_argument("--each", type=int, default=12, help="drawings of each digit")
    read.add_argument("--out", type=Path, default=Path("out/diffusion_digits.png"))
    return read.parse_args()


# The network --------------------------------------------------------------------------


class Block(eqx.Module):
    """Two convolutions, with what the image is to be added between them."""

    convs: list[eqx.nn.Conv2d]
    norms: list[eqx.nn.GroupNorm]
    told: eqx.nn.Linear
    short: eqx.nn.Conv2d

    def __init__(self, c_in: int, c_out: int, told: int, key: jax.Array) -> None:
        a, b, c, d = jax.random.split(key, 4)
        self.convs = [
            eqx.nn.Conv2d(c_in, c_out, 3, padding=1, key=a),
            eqx.nn.Conv2d(c_out, c_out, 3, padding=1, key=b),
        ]
        self.norms = [eqx.nn.GroupNorm(8, c_out) for _ in range(2)]
        self.told = eqx.nn.Linear(told, c_out, key=c)
        self.short = eqx.nn.Conv2d(c_in, c_out, 1, key=d)

    def __call__(self, x: jax.Array, told: jax.Array) -> jax.Array:
        y = jax.nn.silu(self.norms[0](self.convs[0](x)))
        y = y + self.told(told)[:, None, None]
        return jax.nn.silu(self.norms[1](self.convs[1](y))) + self.short(x)


class UNet(eqx.Module):
    """The noise in one image of 8 x 8 pixels, which is told its time and its digit."""

    tell: eqx.nn.MLP
    first: Block
    down: eqx.nn.Conv2d
    middle: Block
    up: eqx.nn.ConvTranspose2d
    last: Block
    out: eqx.nn.Conv2d

    def __init__(self, c: int, key: jax.Array) -> None:
        keys = jax.random.split(key, 7)
        self.tell = eqx.nn.MLP(16 + 10, c, c, 1, jax.nn.silu, key=keys[0])
        self.first = Block(1, c, c, keys[1])
        self.down = eqx.nn.Conv2d(c, 2 * c, 3, stride=2, padding=1, key=keys[2])
        self.middle = Block(2 * c, 2 * c, c, keys[3])
        up = {"stride": 2, "padding": 1}
        self.up = eqx.nn.ConvTranspose2d(2 * c, c, 4, **up, key=keys[4])
        self.last = Block(2 * c, c, c, keys[5])
        self.out = eqx.nn.Conv2d(c, 1, 3, padding=1, key=keys[6])

    def __call__(self, x: jax.Array, at: jax.Array, digit: jax.Array) -> jax.Array:
        waves = at / TIMES * 2.0 ** jnp.arange(8)
        parts = jnp.sin(waves), jnp.cos(waves), jax.nn.one_hot(digit, 10)
        told = self.tell(jnp.concatenate(parts))
        wide = self.first(x, told)
        deep = self.middle(self.down(wide), told)
        return self.out(self.last(jnp.concatenate([self.up(deep), wide]), told))


# Diffusion ----------------------------------------------------------------------------


def kept() -> jax.Array:
    """What is left of the variance of an image at each time."""
    at = jnp.arange(TIMES + 1) / TIMES
    squares = jnp.cos((at + 0.008) / 1.008 * jnp.pi / 2) ** 2
    return jnp.clip(squares / squares[0], 1e-4, 1)[1:]


def loss(
    network: UNet, images: jax.Array, digits: jax.Array, key: jax.Array
) -> jax.Array:
    """How well the noise is found that was added at random times."""
    a, b = jax.random.split(key)
    at = jax.random.randint(a, (len(images),), 0, TIMES)
    noise = jax.random.normal(b, images.shape)
    share = kept()[at][:, None, None, None]
    mixed = jnp.sqrt(share) * images + jnp.sqrt(1 - share) * noise
    found = jax.vmap(network)(mixed, at.astype(jnp.float32), digits)
    return jnp.mean((found - noise) ** 2)


def sample(network: UNet, digits: jax.Array, key: jax.Array) -> jax.Array:
    """Images of these digits, from noise."""
    share = kept()
    before = jnp.concatenate([jnp.ones(1), share[:-1]])
    first, key = jax.random.split(key)
    x = jax.random.normal(first, (len(digits), 1, 8, 8))

    def step(x: jax.Array, at: jax.Array) -> tuple[jax.Array, None]:
        times = jnp.full(len(digits), at, jnp.float32)
        noise = jax.vmap(network)(x, times, digits)
        clean = (x - jnp.sqrt(1 - share[at]) * noise) / jnp.sqrt(share[at])
        clean = jnp.clip(clean, -1, 1)
        ratio = share[at] / before[at]
        mean = jnp.sqrt(before[at]) * (1 - ratio) * clean
        mean = (mean + jnp.sqrt(ratio) * (1 - before[at]) * x) / (1 - share[at])
        spread = jnp.sqrt((1 - before[at]) / (1 - share[at]) * (1 - ratio))
        drawn = jax.random.normal(jax.random.fold_in(key, at), x.shape)
        return mean + jnp.where(at > 0, spread, 0) * drawn, None

    return jax.lax.scan(step, x, jnp.arange(TIMES)[::-1])[0]


# Training -----------------------------------------------------------------------------


def train(options: argparse.Namespace, images: np.ndarray, digits: np.ndarray) -> UNet:
    """A trained network; prints the milliseconds of a step before and after."""
    network = UNet(options.channels, jax.random.key(0))
    params, static = eqx.partition(network, eqx.is_array)
    optimiser = optax.adam(optax.cosine_decay_schedule(options.rate, options.steps))

    def step(state: Any, images: Any, digits: Any, key: jax.Array) -> tuple[Any, Any]:
        params, memory = state
        value, gradient = jax.value_and_grad(
            lambda params: loss(eqx.combine(params, static), images, digits, key)
        )(params)
        change, memory = optimiser.update(gradient, memory, params)
        return (optax.apply_updates(params, change), memory), value

    state, fast = (params, optimiser.init(params)), jax.jit(jaxconv.accelerate(step))
    rng, key = np.random.default_rng(1), jax.random.key(1)
    first = images[: options.batch], digits[: options.batch], key
    before = milliseconds(jax.jit(step), state, *first)
    after = milliseconds(fast, state, *first)
    print(
        f"A training step takes {before:.1f} ms with plain JAX, {after:.1f} ms with"
        f" jaxconv ({before / after:.1f} times as fast)"
    )
    values: list[jax.Array] = []
    for number in track(range(options.steps), "learning", transient=True):
        chosen = rng.integers(0, len(images), options.batch)
        batch = images[chosen], digits[chosen], jax.random.fold_in(key, number)
        state, value = fast(state, *batch)
        values.append(value)
    most = max(len(values) // 10, 1)
    ends = (float(np.mean(part)) for part in (values[:most], values[-most:]))
    print("The loss went from {:.3f} to {:.3f}".format(*ends))
    return eqx.combine(state[0], static)


def milliseconds(fn: Callable[..., Any], *args: Any) -> float:
    """The least of twenty runs, after one that compiles."""
    jax.block_until_ready(fn(*args))
    times: list[float] = []
    for _ in range(20):
        start = time.perf_counter()
        jax.block_until_ready(fn(*args))
        times.append(1e3 * (time.perf_counter() - start))
    return min(times)


# What came out ------------------------------------------------------------------------


def draw(images: np.ndarray, each: int, out: Path) -> None:
    """A row for each digit."""
    from matplotlib.figure import Figure

    rows = images.reshape(10, each, 8, 8)
    framed = np.pad(rows, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-1)
    whole = framed.transpose(0, 2, 1, 3).reshape(100, 10 * each)
    figure = Figure(figsize=(each * 0.6, 6), layout="constrained")
    axes = figure.subplots()
    axes.imshow(whole, cmap="gray_r", vmin=-1, vmax=1, interpolation="nearest")
    axes.set_yticks(np.arange(10) * 10 + 4.5, [str(digit) for digit in range(10)])
    axes.set_xticks([])
    axes.set_title("Drawn by diffusion, told the digit of the row")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=130)
    print(f"Wrote {out}")


def main(options: argparse.Namespace) -> float:
    """Trains, draws, and returns which part a classifier recognises."""
    data = load_digits()
    images = (data.images[:, None] / 8 - 1).astype(np.float32)
    digits = data.target.astype(np.int32)
    network = train(options, images, digits)
    wanted = np.repeat(np.arange(10, dtype=np.int32), options.each)
    drawing = jax.jit(jaxconv.accelerate(partial(sample, network)))
    drawn = np.asarray(drawing(wanted, jax.random.key(2)))
    draw(drawn, options.each, options.out)
    judge = KNeighborsClassifier(3).fit(images.reshape(len(images), -1), digits)
    right = float((judge.predict(drawn.reshape(len(drawn), -1)) == wanted).mean())
    print(f"A classifier of scikit-learn's digits recognises {right:.0%} of them")
    return right


if __name__ == "__main__":
    main(arguments())
