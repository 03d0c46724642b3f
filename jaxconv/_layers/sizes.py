"""Shapes, initial weights and stored keywords of a layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxconv._border import arguments as can
from jaxconv._core.errors import fail
from jaxconv._core.spec import Shape

Options = tuple[tuple[str, Any], ...]


class Sizes(NamedTuple):
    """The sizes of a new layer."""

    kernel: Shape  # channels first
    outputs: int
    layout: str

    @classmethod
    def read(
        cls,
        in_channels: int,
        out_channels: int,
        kernel_size: Sequence[int],
        groups: int,
        layout: str,
        *,
        transposed: bool = False,
    ) -> Sizes:
        """Checks the sizes; a transposed layer's kernel has the inputs first."""
        if not can.is_sequence(kernel_size):
            remedy = "Write one int per axis of space, such as (3, 3)"
            fail("kernel_size", kernel_size, "is not a tuple", remedy, TypeError)
        window = can.ints("kernel_size", kernel_size, len(kernel_size), 1)
        groups = can.integer("groups", groups, 1)
        inputs = can.integer("in_channels", in_channels, 1)
        outputs = can.integer("out_channels", out_channels, 1)
        for name, channels in (("in_channels", inputs), ("out_channels", outputs)):
            if channels % groups:
                rule = f"cannot be split into groups={groups}"
                fail(name, channels, rule, f"Write a multiple of {groups}")
        first, second = (inputs, outputs) if transposed else (outputs, inputs)
        kernel = (first, second // groups, *window)
        return cls(kernel, outputs, can.layout(layout))

    def kernel_of(self, key: jax.Array) -> jax.Array:
        return self.arrange(self._uniform(key, self.kernel))

    def bias_of(self, key: jax.Array, wanted: bool) -> jax.Array | None:
        return self._uniform(key, (self.outputs,)) if wanted else None

    def _uniform(self, key: jax.Array, shape: Shape) -> jax.Array:
        """Uniform in +-1/sqrt(fan_in), as PyTorch initialises its layers."""
        limit = 1 / math.sqrt(math.prod(self.kernel[1:]))
        return jax.random.uniform(key, shape, minval=-limit, maxval=limit)

    def arrange(self, kernel: jax.Array) -> jax.Array:
        """Converts a kernel with channels first to the layer's layout."""
        return arrange(kernel, self.layout)


def arrange(kernel: jax.Array, layout: str) -> jax.Array:
    """Converts a kernel with channels first to a layout."""
    return (
        kernel if layout == "channels_first" else jnp.moveaxis(kernel, (1, 0), (-2, -1))
    )


def options(**named: Any) -> Options:
    """The keywords of a call in hashable form, since they are static in `jax.jit`."""
    return tuple((name, _frozen(value)) for name, value in named.items())


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if can.is_sequence(value) else value


def sampling_channels(
    kernel_size: Sequence[int], offset_groups: int
) -> tuple[int, int]:
    """The numbers of channels of offsets and of masks.

    Per group and tap there is one offset for each axis, and one mask.
    """
    groups = can.integer("offset_groups", offset_groups, 1)
    masks = groups * math.prod(kernel_size)
    return masks * len(kernel_size), masks


def sampling(
    found: jax.Array, offsets: int, rank: int, layout: str
) -> tuple[jax.Array, jax.Array | None]:
    """Splits a convolution's channels into offsets and masks; None without masks.

    ``rank`` is that of the kernel.
    """
    axis = -1 if layout == "channels_last" else 1 - rank
    offset, rest = jnp.split(found, [offsets], axis)
    return offset, jax.nn.sigmoid(rest) if rest.shape[axis] else None
