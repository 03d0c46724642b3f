"""Positions between pixels: the rows that a sample reads there, and their weights.

The image gets a frame of zeros: one on each side of every axis, so that every corner
of a cell that touches the image exists, and one more in front of the first axis.  A
sample that lies nowhere (outside, infinite, not a number) reads the cell in that
corner, whose corners are all zero, with weights of zero: whatever the image holds, it
contributes nothing.
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
    """An image of this size with its channels in groups, and zeros around it."""

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
        """Rows from one element of each axis to the next."""
        return tuple(
            math.prod(self.sizes[axis + 1 :]) * self.groups
            for axis in range(len(self.space))
        )

    @property
    def deltas(self) -> Ints:
        """Rows from a cell's first corner to each of its corners, last axis fastest."""
        corners = itertools.product((0, 1), repeat=len(self.space))
        return tuple(int(np.dot(corner, self.steps)) for corner in corners)

    def rows(self, x: jax.Array) -> jax.Array:
        """(n, *space, c) to (n, rows, c/groups), a pixel's groups one below another."""
        around = [(0, 0), *((lo, 1) for lo in self.low), (0, 0)]
        n, c = x.shape[0], x.shape[-1]
        count = math.prod(self.sizes) * self.groups
        return jnp.pad(x, around).reshape(n, count, c // self.groups)

    def locate(
        self, positions: Sequence[jax.Array], factor: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """First rows, and weights times a factor, of samples at these positions.

        One array per axis, all (n, ..., groups), in pixels: 0 is the first one's
        middle.  The weights' corners stand behind n.

        A position of exactly -1 is inside: its sample is zero, but its slope, which is
        that to its right, leads into the image.
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
