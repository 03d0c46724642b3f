"""Positions between pixels: the rows that a sample reads, and their weights.

The image is padded with zeros: by one on each side of every axis, so that all corners
of a cell that overlaps the image exist, and by one more in front of the first axis.  A
sample without a valid position (outside, infinite or NaN) reads the very first cell,
whose corners are all zeros, with weights of zero.  It contributes nothing even if the
image contains NaN or infinity.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxconv._core.geometry import Ints


class Frame(NamedTuple):
    """An image of this size with channels in groups and zeros around it, as rows."""

    space: Ints
    groups: int = 1

    @property
    def low(self) -> Ints:
        return (2, *(1,) * (len(self.space) - 1))

    @property
    def sizes(self) -> Ints:
        return tuple(
            size + lo + 1 for size, lo in zip(self.space, self.low, strict=True)
        )

    @property
    def steps(self) -> Ints:
        """Number of rows from one element of each axis to the next."""
        return tuple(
            math.prod(self.sizes[axis + 1 :]) * self.groups
            for axis in range(len(self.space))
        )

    @property
    def deltas(self) -> Ints:
        """Number of rows from a cell's first corner to each, last axis fastest."""
        corners = itertools.product((0, 1), repeat=len(self.space))
        return tuple(int(np.dot(corner, self.steps)) for corner in corners)

    def rows(self, x: jax.Array) -> jax.Array:
        """From (n, *space, c) to (n, rows, c/groups), a pixel's groups adjacent."""
        around = [(0, 0), *((lo, 1) for lo in self.low), (0, 0)]
        n, c = x.shape[0], x.shape[-1]
        count = math.prod(self.sizes) * self.groups
        return jnp.pad(x, around).reshape(n, count, c // self.groups)

    def locate(
        self, positions: Sequence[jax.Array], factor: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """The first rows and the weights of samples at these positions.

        Positions are one array (n, ..., groups) per axis, in pixels; 0 is the centre of
        the first pixel.  First rows have that shape too; weights are (n, corners, ...,
        groups) and are multiplied by ``factor``.

        A position of exactly -1 counts as inside: the sample is zero there, but its
        derivative, taken to the right, is not.
        """
        inside = jnp.ones(positions[0].shape, bool)
        for position, size in zip(positions, self.space, strict=True):
            inside &= (position >= -1) & (position < size)
        first = jnp.zeros(positions[0].shape, jnp.int32)
        shares: list[tuple[jax.Array, jax.Array]] = []
        for position, step, lo in zip(positions, self.steps, self.low, strict=True):
            safe = jnp.where(inside, position, jnp.zeros_like(position))
            cell = jax.lax.stop_gradient(jnp.floor(safe))
            share = safe - cell
            shares.append((1 - share, share))
            first += (cell.astype(jnp.int32) + lo) * step
        group = jnp.arange(self.groups, dtype=jnp.int32)
        first += group.reshape((1,) * (first.ndim - 1) + (-1,))
        corners = [_product(corner, factor) for corner in itertools.product(*shares)]
        weights = jnp.stack(
            [jnp.where(inside, v, jnp.zeros_like(v)) for v in corners], 1
        )
        return jnp.where(inside, first, 0), weights


def _product(shares: Sequence[jax.Array], factor: jax.Array | None) -> jax.Array:
    product = math.prod(shares[1:], start=shares[0])
    return product if factor is None else product * factor
