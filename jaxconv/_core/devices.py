"""The devices that a program is for, and their numbers inside a `shard_map`.

Within a `jax.shard_map` of some mesh axes XLA partitions over the others alone.  It
numbers the devices that share a place along the axes of `shard_map` anew, in an order
of its own for every operation.  A compass, an array that is cut into single elements by
these other axes, shows this order: its sharding says which number stands where.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AbstractMesh, PartitionSpec

from jaxconv._core.geometry import Ints
from jaxconv._core.tiles import Tiling, digits

Digits = tuple[Ints, ...]  # of each axis of an array, those that cut it


def names(used: Ints) -> tuple[str, ...]:
    """The mesh axes of these digits, in the program of one device."""
    return tuple(f"digit{place}" for place in used)


class Found(NamedTuple):
    """Digits of devices, the slowest first, as the mesh has them.

    bases: how many values each has.
    used: of each array and each of its axes, the digits that cut it.
    order: the digits as XLA has them, the slowest first.
    """

    bases: Ints
    used: list[Digits]
    order: Ints

    @property
    def group(self) -> AbstractMesh:
        """The devices in XLA's order."""
        return AbstractMesh(tuple(self.bases[v] for v in self.order), names(self.order))


class Devices(NamedTuple):
    """The mesh that a program is for, and which of its axes are `shard_map`'s own.

    Outside of `jax.shard_map` only the number of devices is known: one axis, no name.
    """

    sizes: Ints
    labels: tuple[Any, ...] = ()
    own: frozenset[Any] = frozenset()

    @classmethod
    def of(cls, axis_context: Any) -> Devices:
        """From the context of a lowering."""
        mesh = getattr(axis_context, "mesh", None)
        if mesh is None:
            return cls((getattr(axis_context, "num_devices", 1),))
        own = frozenset(axis_context.manual_axes)
        return cls(tuple(mesh.axis_sizes), tuple(mesh.axis_names), own)

    @property
    def some(self) -> bool:
        """Whether this is inside a `jax.shard_map`."""
        return bool(self.own)

    @property
    def left(self) -> tuple[Any, ...]:
        """The axes that are left to XLA."""
        return tuple(label for label in self.labels if label not in self.own)

    @property
    def shape(self) -> Ints:
        """The sizes of the axes that are left to XLA."""
        if not self.labels:
            return self.sizes
        return tuple(
            dict(zip(self.labels, self.sizes, strict=True))[v] for v in self.left
        )

    @property
    def total(self) -> int:
        """Over how many devices XLA partitions."""
        return math.prod(self.shape)

    def compass(self) -> tuple[jax.Array, ...]:
        """The array that shows XLA's order, if there is a need."""
        if not self.some:
            return ()
        flat = jnp.zeros(self.shape, np.int8)
        return (jax.lax.with_sharding_constraint(flat, PartitionSpec(*self.left)),)

    def digits(
        self, tilings: Sequence[Tiling | None], compass: Sequence[Tiling | None]
    ) -> Found:
        """The digits of all arrays; where they have none in common, all are whole."""
        known = compass[0] if compass else None
        known = known or Tiling(self.shape, tuple(range(self.total)))
        found = digits(self.total, [*tilings, known])
        if found is None:
            found = digits(self.total, [*(None for _ in tilings), known])
        assert found is not None
        runs, used = found
        *rest, axes = used
        placed = [digit for axis in axes for digit in axis]  # as the mesh has them
        order = tuple(placed.index(digit) for digit in range(len(runs)))
        bases = tuple(runs[digit].base for digit in placed)
        moved = [
            tuple(tuple(order[digit] for digit in axis) for axis in array)
            for array in rest
        ]
        return Found(bases, moved, order)

    def mesh(self, bases: Ints) -> AbstractMesh:
        """All devices; each axis that is left to XLA in digits."""
        sizes: list[int] = []
        labels: list[str] = []
        digit = 0
        for at, size in enumerate(self.sizes):
            if self.labels and self.labels[at] in self.own:
                sizes.append(size)
                labels.append(f"own{at}")
                continue
            end = digit
            while math.prod(bases[digit:end]) < size:
                end += 1
            sizes += bases[digit:end]
            labels += names(tuple(range(digit, end)))
            digit = end
        return AbstractMesh(tuple(sizes), tuple(labels))
