"""HiFi-GAN's generator (Kong et al., arXiv:2010.05646) of Equinox layers, 1-D.

With width 128 and rates 8, 8, 2, 2 its layers have the sizes of the paper's V2.
"""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp

from benchmarks.models import Model, normal
from benchmarks.models.equinox_pure import pure

KERNELS, DILATIONS = (3, 7, 11), (1, 3, 5)


class Residual(eqx.Module):
    """Dilated convolutions, each followed by an undilated one and added."""

    dilated: list[eqx.nn.Conv1d]
    plain: list[eqx.nn.Conv1d]

    def __init__(self, channels: int, size: int, *, key: jax.Array) -> None:
        keys = iter(jax.random.split(key, 2 * len(DILATIONS)))

        def conv(dilation: int) -> eqx.nn.Conv1d:
            padding = dilation * (size - 1) // 2
            return eqx.nn.Conv1d(
                *(channels, channels, size, 1, padding, dilation), key=next(keys)
            )

        self.dilated = [conv(dilation) for dilation in DILATIONS]
        self.plain = [conv(1) for _ in DILATIONS]

    def __call__(self, x: jax.Array) -> jax.Array:
        for dilated, plain in zip(self.dilated, self.plain, strict=True):
            x = x + plain(_relu(dilated(_relu(x))))
        return x


class Generator(eqx.Module):
    first: eqx.nn.Conv1d
    up: list[eqx.nn.ConvTranspose1d]
    residuals: list[list[Residual]]
    last: eqx.nn.Conv1d

    def __init__(
        self, mels: int, width: int, rates: tuple[int, ...], *, key: jax.Array
    ) -> None:
        keys = iter(jax.random.split(key, 2 + 4 * len(rates)))
        self.first = eqx.nn.Conv1d(mels, width, 7, padding=3, key=next(keys))
        self.up, self.residuals = [], []
        for rate in rates:
            # Twice the rate as window: every output gets two taps.
            window = {"kernel_size": 2 * rate, "stride": rate, "padding": rate // 2}
            self.up.append(
                eqx.nn.ConvTranspose1d(width, width // 2, **window, key=next(keys))
            )
            width //= 2
            self.residuals.append([Residual(width, k, key=next(keys)) for k in KERNELS])
        self.last = eqx.nn.Conv1d(width, 1, 7, padding=3, key=next(keys))

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.first(x)
        for up, residuals in zip(self.up, self.residuals, strict=True):
            x = up(_relu(x))
            x = sum(residual(x) for residual in residuals) / len(residuals)
        return jnp.tanh(self.last(_relu(x)))


def _relu(x: jax.Array) -> jax.Array:
    return jax.nn.leaky_relu(x, 0.1)


def build(
    *, batch: int, frames: int, mels: int, width: int, rates: tuple[int, ...]
) -> Model:
    network = eqx.filter_eval_shape(
        Generator, mels, width, rates, key=jax.random.key(0)
    )
    spectrum = normal((batch, mels, frames), 1)
    wave = jnp.tanh(normal((batch, 1, frames * math.prod(rates)), 2))
    return pure(network, (spectrum, wave))
