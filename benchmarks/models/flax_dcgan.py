"""DCGAN (Radford et al., arXiv:1511.06434) of Flax NNX layers, both networks."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from flax import nnx

from benchmarks.models import Model, Tree, normal
from benchmarks.models.flax_pure import pure

FIRST = 4  # pixels of the generator's first image and of the discriminator's last


def _widths(image: int, width: int) -> list[int]:
    """From the image with its three channels to the smallest image."""
    halvings = round(math.log2(image // FIRST))
    return [3, *(width * 2**i for i in range(halvings))]


class Generator(nnx.Module):
    def __init__(self, widths: list[int], latent: int, rngs: nnx.Rngs) -> None:
        c_in, c_out = [latent, *widths[:0:-1]], widths[::-1]
        up = {"kernel_size": (4, 4), "use_bias": False, "rngs": rngs}
        self.convs = nnx.List(
            nnx.ConvTranspose(
                a, b, strides=2 if i else 1, padding="SAME" if i else "VALID", **up
            )
            for i, (a, b) in enumerate(zip(c_in, c_out, strict=True))
        )
        self.norms = nnx.List(nnx.BatchNorm(c, rngs=rngs) for c in c_out[:-1])

    def __call__(self, z: jax.Array) -> jax.Array:
        x = z[:, None, None]
        for conv, norm in zip(self.convs, self.norms, strict=False):
            x = jax.nn.relu(norm(conv(x)))
        return jnp.tanh(self.convs[-1](x))


class Discriminator(nnx.Module):
    def __init__(self, widths: list[int], rngs: nnx.Rngs) -> None:
        c_in, c_out = widths, [*widths[1:], 1]
        down = {"kernel_size": (4, 4), "use_bias": False, "rngs": rngs}
        last = len(c_in) - 1
        self.convs = nnx.List(
            nnx.Conv(
                *(a, b),
                strides=2 if i < last else 1,
                padding="SAME" if i < last else "VALID",
                **down,
            )
            for i, (a, b) in enumerate(zip(c_in, c_out, strict=True))
        )
        self.norms = nnx.List(nnx.BatchNorm(c, rngs=rngs) for c in c_out[1:-1])

    def __call__(self, x: jax.Array) -> jax.Array:
        x = jax.nn.leaky_relu(self.convs[0](x), 0.2)
        for conv, norm in zip(self.convs[1:], self.norms, strict=False):
            x = jax.nn.leaky_relu(norm(conv(x)), 0.2)
        return self.convs[-1](x).reshape(len(x))


class DCGAN(nnx.Module):
    def __init__(self, image: int, width: int, latent: int) -> None:
        widths, rngs = _widths(image, width), nnx.Rngs(0)
        self.generator = Generator(widths, latent, rngs)
        self.discriminator = Discriminator(widths, rngs)


def _loss(gan: DCGAN, batch: Tree) -> jax.Array:
    """Both losses at once: each network's gradient comes from its own loss only."""
    noise, images = batch
    made = gan.generator(noise)
    fixed = nnx.merge(
        nnx.graphdef(gan.discriminator),
        jax.lax.stop_gradient(nnx.state(gan.discriminator)),
    )
    fooled = jax.nn.softplus(-fixed(made)).mean()
    true = jax.nn.softplus(-gan.discriminator(images)).mean()
    false = jax.nn.softplus(gan.discriminator(jax.lax.stop_gradient(made))).mean()
    return fooled + true + false


def build(*, batch: int, image: int, width: int, latent: int) -> Model:
    data = normal((batch, latent), 1), jnp.tanh(normal((batch, image, image, 3), 2))
    gan = nnx.eval_shape(lambda: DCGAN(image, width, latent))
    return pure(gan, data, lambda gan, batch: gan.generator(batch[0]), _loss)
