"""The generator of DCGAN (Radford et al., arXiv:1511.06434), channels first."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp

from benchmarks.models import Model, normal
from benchmarks.models.equinox_pure import pure

FIRST = 4  # pixels of the first image


class Generator(eqx.Module):
    convs: list[eqx.nn.ConvTranspose2d]
    norms: list[eqx.nn.GroupNorm]

    def __init__(self, image: int, width: int, latent: int, *, key: jax.Array) -> None:
        widths = [width]
        while FIRST * 2 ** len(widths) < image:
            widths.insert(0, 2 * widths[0])
        keys = jax.random.split(key, len(widths) + 1)
        ends = zip([latent, *widths], [*widths, 3], keys, strict=True)
        self.convs = [
            eqx.nn.ConvTranspose2d(
                *(a, b, 4),
                stride=2 if n else 1,
                padding=1 if n else 0,
                use_bias=False,
                key=k,
            )
            for n, (a, b, k) in enumerate(ends)
        ]
        self.norms = [eqx.nn.GroupNorm(1, c) for c in widths]

    def __call__(self, z: jax.Array) -> jax.Array:
        x = z[:, None, None]
        for conv, norm in zip(self.convs, self.norms, strict=False):
            x = jax.nn.relu(norm(conv(x)))
        return jnp.tanh(self.convs[-1](x))


def build(*, batch: int, image: int, width: int, latent: int) -> Model:
    network = eqx.filter_eval_shape(
        Generator, image, width, latent, key=jax.random.key(0)
    )
    images = jnp.tanh(normal((batch, 3, image, image), 2))
    return pure(network, (normal((batch, latent), 1), images))
