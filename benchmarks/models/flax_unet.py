"""U-Net of Flax NNX layers: strided convolutions down, transposed ones up."""

from __future__ import annotations

from itertools import pairwise

import jax
import jax.numpy as jnp
from flax import nnx

from benchmarks.models import Model, normal
from benchmarks.models.flax_pure import pure


class Block(nnx.Module):
    """Two convolutions, each with batch normalisation and relu."""

    def __init__(self, c_in: int, c_out: int, rngs: nnx.Rngs) -> None:
        conv = {"kernel_size": (3, 3), "use_bias": False, "rngs": rngs}
        self.convs = nnx.List([nnx.Conv(c, c_out, **conv) for c in (c_in, c_out)])
        self.norms = nnx.List([nnx.BatchNorm(c_out, rngs=rngs) for _ in range(2)])

    def __call__(self, x: jax.Array) -> jax.Array:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = jax.nn.relu(norm(conv(x)))
        return x


class UNet(nnx.Module):
    def __init__(self, widths: tuple[int, ...], rngs: nnx.Rngs) -> None:
        half = {"kernel_size": (3, 3), "strides": 2, "rngs": rngs}
        double = {"kernel_size": (2, 2), "strides": 2, "rngs": rngs}
        steps = list(pairwise(widths))
        self.first = Block(3, widths[0], rngs)
        self.halve = nnx.List([nnx.Conv(a, b, **half) for a, b in steps])
        self.down = nnx.List([Block(b, b, rngs) for _, b in steps])
        self.double = nnx.List([nnx.ConvTranspose(b, a, **double) for a, b in steps])
        self.up = nnx.List([Block(2 * a, a, rngs) for a, _ in steps])
        self.last = nnx.Conv(widths[0], 1, (1, 1), rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        levels = [self.first(x)]
        for halve, block in zip(self.halve, self.down, strict=True):
            levels.append(block(halve(levels[-1])))
        x = levels.pop()
        for double, block in reversed(list(zip(self.double, self.up, strict=True))):
            x = block(jnp.concatenate([double(x), levels.pop()], -1))
        return self.last(x)


def build(*, batch: int, image: int, widths: tuple[int, ...]) -> Model:
    data = normal((batch, image, image, 3), 1), normal((batch, image, image, 1), 2)

    def loss(network: UNet, batch: tuple[jax.Array, jax.Array]) -> jax.Array:
        return jnp.mean((network(batch[0]) - batch[1]) ** 2)

    network = nnx.eval_shape(lambda: UNet(widths, nnx.Rngs(0)))
    return pure(network, data, lambda network, batch: network(batch[0]), loss)
