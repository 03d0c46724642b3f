"""3-D U-Net of Equinox layers: strided convolutions down, transposed ones up."""

from __future__ import annotations

from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp

from benchmarks.models import Model, normal
from benchmarks.models.equinox_pure import pure


class Block(eqx.Module):
    """Two convolutions, each with group normalisation and silu."""

    convs: list[eqx.nn.Conv3d]
    norms: list[eqx.nn.GroupNorm]

    def __init__(self, c_in: int, c_out: int, *, key: jax.Array) -> None:
        keys = jax.random.split(key)
        self.convs = [
            eqx.nn.Conv3d(c, c_out, 3, padding=1, key=k)
            for c, k in zip((c_in, c_out), keys, strict=True)
        ]
        self.norms = [eqx.nn.GroupNorm(2, c_out) for _ in keys]

    def __call__(self, x: jax.Array) -> jax.Array:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = jax.nn.silu(norm(conv(x)))
        return x


class UNet3d(eqx.Module):
    first: Block
    halve: list[eqx.nn.Conv3d]
    down: list[Block]
    double: list[eqx.nn.ConvTranspose3d]
    up: list[Block]
    last: eqx.nn.Conv3d

    def __init__(self, widths: tuple[int, ...], *, key: jax.Array) -> None:
        keys = iter(jax.random.split(key, 4 * len(widths)))
        steps = list(pairwise(widths))
        self.first = Block(1, widths[0], key=next(keys))
        self.halve = [
            eqx.nn.Conv3d(a, b, 2, stride=2, key=next(keys)) for a, b in steps
        ]
        self.down = [Block(b, b, key=next(keys)) for _, b in steps]
        self.double = [
            eqx.nn.ConvTranspose3d(b, a, 2, stride=2, key=next(keys)) for a, b in steps
        ]
        self.up = [Block(2 * a, a, key=next(keys)) for a, _ in steps]
        self.last = eqx.nn.Conv3d(widths[0], 1, 1, key=next(keys))

    def __call__(self, x: jax.Array) -> jax.Array:
        levels = [self.first(x)]
        for halve, block in zip(self.halve, self.down, strict=True):
            levels.append(block(halve(levels[-1])))
        x = levels.pop()
        for double, block in reversed(list(zip(self.double, self.up, strict=True))):
            x = block(jnp.concatenate([double(x), levels.pop()]))
        return self.last(x)


def build(*, batch: int, image: int, widths: tuple[int, ...]) -> Model:
    shape = (batch, 1, image, image, image)
    network = eqx.filter_eval_shape(UNet3d, widths, key=jax.random.key(0))
    return pure(network, (normal(shape, 1), normal(shape, 2)))
