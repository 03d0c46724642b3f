"""The devices of a program, and their numbers inside a `shard_map`.

Inside a `jax.shard_map` over some mesh axes, XLA partitions over the other axes only.
It gives new numbers to the devices with the same coordinates along the axes of
`shard_map`, in an order that may differ between operations.  The order is found by a
compass: an additional operand that is sharded into single elements over the other axes.
Its sharding lists the new numbers in the order of these axes.
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

Digits = tuple[Ints, ...]  # for each axis of an array, the digits that shard it


def names(used: Ints) -> tuple[str, ...]:
    """The mesh axes of these digits, in the program of one device."""
    return tuple(f"digit{place}" for place in used)


class Found(NamedTuple):
    """The digits of device numbers, the slowest first, in the order of the mesh.

    bases: the number of values of each digit.
    used: for each axis of each array, the digits that shard it.
    order: the digits in the order of XLA's numbers, the slowest first.
    """

    bases: Ints
    used: list[Digits]
    order: Ints

    @property
    def group(self) -> AbstractMesh:
        """The devices in XLA's order."""
        return AbstractMesh(tuple(self.bases[v] for v in self.order), names(self.order))


class Devices(NamedTuple):
    """The mesh of a program, and which of its axes belong to a `shard_map`.

    Outside of `jax.shard_map` only the number of devices is known: one unnamed axis.
    """

    sizes: Ints
    labels: tuple[Any, ...] = ()
    own: frozenset[Any] = frozenset()

    @classmethod
    def of(cls, axis_context: Any) -> Devices:
        """The devices of a lowering context."""
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
        """The number of devices over which XLA partitions."""
        return math.prod(self.shape)

    def compass(self) -> tuple[jax.Array, ...]:
        """The array whose sharding shows XLA's order; none outside of `shard_map`."""
        if not self.some:
            return ()
        flat = jnp.zeros(self.shape, np.int8)
        return (jax.lax.with_sharding_constraint(flat, PartitionSpec(*self.left)),)

    def digits(
        self, tilings: Sequence[Tiling | None], compass: Sequence[Tiling | None]
    ) -> Found:
        """The digits of all arrays; if no digits fit them all, all are replicated."""
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
        """The mesh of all devices, with digits in place of the axes left to XLA."""
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
