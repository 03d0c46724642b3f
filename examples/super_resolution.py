"""Doubles the size of a photo: sub-pixel convolution against a transposed one.

    python examples/super_resolution.py                  # about two minutes on 2 cores
    python examples/super_resolution.py --steps 2000 --out out/super_resolution.png

Two networks learn on one of scikit-learn's photos and the right of the other, and are
tried on its left.  They differ in their last layer: "sub-pixel" computes four colours
for each pixel and deals them out, "transposed" is a transposed convolution of stride 2.
Bicubic resizing is the one to beat.  The training step is plain Flax, run by
`jaxconv.accelerate`, and timed without it too.

Needs flax, optax, scikit-learn, matplotlib, pillow and rich.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from rich.progress import track
from sklearn.datasets import load_sample_images

import jaxconv

SIDE = 48  # pixels of a patch that is learned from
HEADS = ("sub-pixel", "transposed")


def arguments() -> argparse.Namespace:
    read = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    read.add_argument("--steps", type=int, default=1500)
    read.add_argument("--batch", type=int, default=16)
    read.add_argument("--channels", type=int, default=32)
    read.add_argument("--rate", type=float, default=2e-3)
    read.add_argument("--out", type=Path, default=Path("out/super_resolution.png"))
    return read.parse_args()


# The network --------------------------------------------------------------------------


class Upscaler(nnx.Module):
    """(N, height, width, 3) to (N, 2 height, 2 width, 3), added to a plain resizing."""

    def __init__(self, head: str, channels: int, rngs: nnx.Rngs) -> None:
        self.first = nnx.Conv(3, channels, (5, 5), rngs=rngs)
        # Depthwise and pointwise: each block sees 7 pixels more at little work.
        self.wide = nnx.List(
            nnx.Conv(
                *(channels, channels, (7, 7)), feature_group_count=channels, rngs=rngs
            )
            for _ in range(3)
        )
        self.mix = nnx.List(
            nnx.Conv(channels, channels, (1, 1), rngs=rngs) for _ in range(3)
        )
        small = {"kernel_init": nnx.initializers.normal(1e-2), "rngs": rngs}
        if head == "sub-pixel":
            self.last = nnx.Conv(channels, 12, (3, 3), **small)
        else:  # a kernel of 4, twice the stride, leaves no checkerboard
            self.last = nnx.ConvTranspose(channels, 3, (4, 4), strides=2, **small)
        self.head = head

    def __call__(self, x: jax.Array) -> jax.Array:
        y = nnx.relu(self.first(x - 0.5))
        for wide, mix in zip(self.wide, self.mix, strict=True):
            y = y + nnx.relu(mix(wide(y)))
        y = self.last(y)
        return resized(x) + (dealt_out(y) if self.head == "sub-pixel" else y)


def dealt_out(y: jax.Array) -> jax.Array:
    """(N, h, w, 12) to (N, 2h, 2w, 3): four colours become a square of pixels."""
    n, rows, columns, _ = y.shape
    parts = y.reshape(n, rows, columns, 2, 2, 3).transpose(0, 1, 3, 2, 4, 5)
    return parts.reshape(n, 2 * rows, 2 * columns, 3)


def resized(x: jax.Array) -> jax.Array:
    n, rows, columns, c = x.shape
    return jax.image.resize(x, (n, 2 * rows, 2 * columns, c), "cubic")


# The data -----------------------------------------------------------------------------


def photos() -> tuple[list[np.ndarray], np.ndarray]:
    """Those to learn from and one to be tried on, (height, width, 3) from 0 to 1."""
    both = [v[:426, :640].astype(np.float32) / 255 for v in load_sample_images().images]
    return [both[0][:, 400:], both[1]], both[0][:, :400]


def halved(photo: np.ndarray) -> np.ndarray:
    """The means of squares of 2 x 2 pixels."""
    *n, rows, columns, c = photo.shape
    return photo.reshape(*n, rows // 2, 2, columns // 2, 2, c).mean((-4, -2))


def patches(photos: list[np.ndarray], n: int, rng: np.random.Generator) -> np.ndarray:
    """Random squares of random photos, some of them mirrored."""
    cut: list[np.ndarray] = []
    for _ in range(n):
        photo = photos[rng.integers(len(photos))]
        row, column = (rng.integers(size - SIDE) for size in photo.shape[:2])
        square = photo[row : row + SIDE, column : column + SIDE]
        cut.append(square[:, ::-1] if rng.random() < 0.5 else square)
    return np.stack(cut)


# Training -----------------------------------------------------------------------------


def new(options: argparse.Namespace, head: str) -> tuple[Any, Callable[..., Any], Any]:
    """The static part of a network, its training step, and what that starts from."""
    graph, params = nnx.split(Upscaler(head, options.channels, nnx.Rngs(0)))
    rate = optax.cosine_decay_schedule(options.rate, options.steps)
    optimiser = optax.adam(rate)

    def loss(params: Any, small: jax.Array, large: jax.Array) -> jax.Array:
        return jnp.abs(nnx.merge(graph, params)(small) - large).mean()

    def step(state: Any, small: jax.Array, large: jax.Array) -> tuple[Any, jax.Array]:
        params, memory = state
        value, gradient = jax.value_and_grad(loss)(params, small, large)
        change, memory = optimiser.update(gradient, memory, params)
        return (optax.apply_updates(params, change), memory), value

    return graph, step, (params, optimiser.init(params))


def train(options: argparse.Namespace, head: str, photos: list[np.ndarray]) -> Any:
    """A trained network; prints the milliseconds of a step before and after."""
    rng = np.random.default_rng(1)
    graph, step, state = new(options, head)
    fast = jax.jit(jaxconv.accelerate(step))
    large = patches(photos, options.batch, rng)
    before = milliseconds(jax.jit(step), state, halved(large), large)
    after = milliseconds(fast, state, halved(large), large)
    print(
        f"{head}: a training step takes {before:.1f} ms with plain JAX, {after:.1f} ms"
        f" with jaxconv ({before / after:.1f} times as fast)"
    )
    for _ in track(range(options.steps), f"{head:<10}", transient=True):
        large = patches(photos, options.batch, rng)
        state, _ = fast(state, halved(large), large)
    return nnx.merge(graph, state[0])


def milliseconds(fn: Callable[..., Any], *args: Any) -> float:
    """The least of ten runs, after one that compiles."""
    jax.block_until_ready(fn(*args))
    times: list[float] = []
    for _ in range(10):
        start = time.perf_counter()
        jax.block_until_ready(fn(*args))
        times.append(1e3 * (time.perf_counter() - start))
    return min(times)


# What came out ------------------------------------------------------------------------


def decibels(got: np.ndarray, wanted: np.ndarray) -> float:
    """The peak signal-to-noise ratio, without a rim of 8 pixels."""
    error = (got - wanted)[8:-8, 8:-8]
    return float(-10 * np.log10((error**2).mean()))


def draw(results: dict[str, np.ndarray], out: Path) -> None:
    """A detail of every result side by side, each with its ratio."""
    from matplotlib.figure import Figure

    wanted = results["photo"]
    figure = Figure(figsize=(3 * len(results), 3.5), layout="constrained")
    for axes, (name, picture) in zip(
        figure.subplots(1, len(results)), results.items(), strict=True
    ):
        axes.imshow(picture[120:240, 180:300], interpolation="nearest")
        ratio = "\n " if picture is wanted else f"\n{decibels(picture, wanted):.2f} dB"
        axes.set_title(f"{name}{ratio}")
        axes.axis("off")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=130, bbox_inches="tight", pad_inches=0.1)
    print(f"Wrote {out}")


def main(options: argparse.Namespace) -> dict[str, float]:
    """Trains both, draws, and returns each result's ratio in decibels."""
    learned, tried = photos()
    small = halved(tried)[None]
    doubled = jax.jit(resized)(small)
    results = {
        "photo": tried,
        "nearest pixel": small[0].repeat(2, 0).repeat(2, 1),
        "bicubic": np.clip(doubled[0], 0, 1),
    }
    for head in HEADS:
        network = train(options, head, learned)
        run = jax.jit(jaxconv.accelerate(lambda x, network=network: network(x)))
        results[head] = np.clip(run(small)[0], 0, 1)
    draw(results, options.out)
    found = {k: decibels(v, tried) for k, v in results.items() if v is not tried}
    print(", ".join(f"{name} {ratio:.2f} dB" for name, ratio in found.items()))
    return found


if __name__ == "__main__":
    main(arguments())
