"""A contraction on many devices: the shards, the communication, the local contraction.

Batch, groups and channels can be sharded freely.  If the result has the letter, a shard
of the operands gives a shard of the result; if the letter is summed, the results of all
shards are added up.  Spatial axes of both images are sharded into equal parts, and a
shard receives from its neighbours the halo that its windows read.  The kernel's window
is never sharded.  The local contraction is planned like any other.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxconv._core.contract import contract
from jaxconv._core.cut import Cut, cut, part
from jaxconv._core.devices import Digits, names
from jaxconv._core.exchange import around
from jaxconv._core.geometry import Geometry, Ints
from jaxconv._core.partitioned import Partitioned, Shards
from jaxconv._core.share import Axes, Held, Key, parts, share
from jaxconv._core.spec import GROUPED, LETTERS, Letter, Role, Sizes, Spec
from jaxconv._core.tiles import order


def letters(spec: Spec, operand: Role) -> Axes:
    """The letters of each axis: a number for a spatial axis, none for a window's."""
    channels: dict[Letter, tuple[Key, ...]] = {
        letter: ("g", letter) if letter == GROUPED[operand] else (letter,)
        for letter in LETTERS[operand]
    }
    space: list[tuple[Key, ...]] = [
        () if operand == "kernel" else (at,) for at in range(spec.ndim)
    ]
    return spec.arrange(operand, channels, space)


def divide(
    spec: Spec,
    arrays: tuple[Any, ...],
    lying: tuple[Digits, ...],
    bases: Ints,
) -> Shards:
    """The program of one device, from the shardings of operands and result."""
    sizes = spec.sizes(*(v.shape for v in arrays[:2]))
    roles = (*spec.operands, spec.role)
    held = [
        Held(letters(spec, role), axes, np.dtype(v.dtype).itemsize * v.size)
        for role, v, axes in zip(roles, arrays, lying, strict=True)
    ]
    shared = _possible(spec, sizes, share(held, _whole(spec, sizes), bases), bases)
    work = _Work(spec, shared, bases)
    return Shards(
        tuple(work.lying(role) for role in spec.operands),
        work.lying(spec.role),
        work.compute,
    )


def _whole(spec: Spec, sizes: Sizes) -> dict[Key, int]:
    return {"g": spec.groups, **sizes._asdict()}


def _possible(
    spec: Spec, sizes: Sizes, shared: dict[Key, Ints], bases: Ints
) -> dict[Key, Ints]:
    """Removes shardings with which a shard could not compute its part.

    Channels are group-major, so a shard of channels must belong to a single group.  A
    spatial axis is not sharded if the halo is larger than the rest of the axis.
    """
    arrays = (spec.shape(role, sizes) for role in LETTERS)
    if any(0 in shape for shape in arrays):
        return {}
    count = {letter: parts(digits, bases) for letter, digits in shared.items()}
    lost: set[Key] = set()
    if count.get("g", 1) != spec.groups:
        lost |= {"c", "o"}
    for at, axis in enumerate(spec.geometry.axes):
        if cut(axis, count.get(at, 1), spec.role) is None:
            lost.add(at)
    return {letter: v for letter, v in shared.items() if letter not in lost}


class _Work(NamedTuple):
    """The work of one device, from the digits of each sharded letter."""

    spec: Spec
    shared: dict[Key, Ints]
    bases: Ints

    def lying(self, operand: Role) -> Digits:
        return tuple(
            tuple(digit for letter in axis for digit in self.shared.get(letter, ()))
            for axis in letters(self.spec, operand)
        )

    def compute(self, *operands: jax.Array) -> jax.Array:
        spec, shared = self.spec, self.shared
        read: Role = "output" if spec.role == "input" else "input"
        arrays = dict(zip(spec.operands, operands, strict=True))
        for at, one in self.cuts.items():
            for role in spec.operands:
                if role != "kernel":
                    size = spec.space(role)[at]
                    v = self.within(arrays[role], at, role, size)
                    arrays[role] = self.window(v, at, role, one) if role == read else v
        first, second = (arrays[role] for role in spec.operands)
        out = contract(first, second, self.local)
        for at in self.cuts if spec.role == "input" else ():
            out = self.own(out, at)
        kept = {letter for axis in letters(spec, spec.role) for letter in axis}
        summed = [v for letter, v in shared.items() if letter not in kept]
        axes = names(tuple(digit for digits in summed for digit in digits))
        return lax.psum(out, axes) if axes else out

    @property
    def cuts(self) -> dict[int, Cut]:
        found = {
            at: cut(axis, parts(self.shared[at], self.bases), self.spec.role)
            for at, axis in enumerate(self.spec.geometry.axes)
            if at in self.shared
        }
        return {at: one for at, one in found.items() if one is not None}

    @property
    def local(self) -> Spec:
        """The spec of the shard's contraction."""
        spec, cuts = self.spec, self.cuts
        geometry = Geometry.of(
            cuts[at].axis if at in cuts else axis
            for at, axis in enumerate(spec.geometry.axes)
        )
        groups = spec.groups // parts(self.shared.get("g", ()), self.bases)
        return replace(spec, geometry=geometry, groups=groups, sharding=None)

    def within(self, v: jax.Array, at: int, role: Role, size: int) -> jax.Array:
        """Sets elements past the end of the axis to zero, in the last shards."""
        axis, digits = self.axis(role, at), self.shared[at]
        own = v.shape[axis]
        if own * parts(digits, self.bases) == size:
            return v
        place = self.shard(at) * own + lax.broadcasted_iota(np.int32, v.shape, axis)
        return jnp.where(place < size, v, jnp.zeros((), v.dtype))

    def window(self, v: jax.Array, at: int, role: Role, one: Cut) -> jax.Array:
        """The elements that the shard's windows read, with its halo."""
        axis, digits, window = self.axis(role, at), self.shared[at], one.window
        place = names(tuple(sorted(digits)))  # ppermute numbers shards in this order
        line = order(digits, self.bases)
        v = around(v, window.low, window.high, axis, place, order=line)
        if window.fixed:
            return lax.slice_in_dim(
                v, window.first, window.first + window.size, axis=axis
            )
        start = window.start(self.shard(at))
        return lax.dynamic_slice_in_dim(v, start, window.size, axis)

    def own(self, out: jax.Array, at: int) -> jax.Array:
        """Slices the shard's part out of a result from a multiple of the stride on."""
        axis, digits = self.axis("input", at), self.shared[at]
        size = part(self.spec.geometry.input[at], parts(digits, self.bases))
        if out.shape[axis] == size:
            return out
        start = self.shard(at) * size % self.spec.geometry.stride[at]
        return lax.dynamic_slice_in_dim(out, start, size, axis)

    def shard(self, at: int) -> jax.Array:
        """The number of the device's shard of this spatial axis."""
        place = jnp.zeros((), np.int32)
        for digit in self.shared[at]:
            place = place * self.bases[digit] + lax.axis_index(names((digit,)))
        return place

    def axis(self, role: Role, at: int) -> int:
        return letters(self.spec, role).index((at,))


# The sharding rule --------------------------------------------------------------------


def rule(spec: Spec, arrays: tuple[Any, ...]) -> tuple[str, dict[str, int]]:
    """The rule of `custom_partitioning`, and the sizes of merged letters."""
    sizes = spec.sizes(*(v.shape for v in arrays[:2]))
    known: dict[str, int] = {}
    lines = {role: _line(spec, sizes, role, known) for role in LETTERS}
    first, second = (lines[role] for role in spec.operands)
    text = f"{first}, {second} -> {lines[spec.role]}"
    alone = set(re.sub(r"\(.*?\)|,|->", " ", text).split())
    return text, {name: size for name, size in known.items() if name not in alone}


def _line(spec: Spec, sizes: Sizes, operand: Role, known: dict[str, int]) -> str:
    axes = tuple(spec.geometry.axes)
    out: list[str] = []
    for number, axis in enumerate(letters(spec, operand)):
        match axis:
            case ():
                out.append(f"t{number}")
            case (int() as at,):
                one = axes[at]
                if operand == "output" or (one.i == one.o and one.s == 1):
                    out.append(f"p{at}")
                elif one.i == one.s * one.o:
                    known[f"r{at}"] = one.s
                    out.append(f"(p{at} r{at})")
                else:  # no sharding divides both
                    out.append(f"q{at}")
            case ("g", letter) if spec.groups > 1:
                size = _whole(spec, sizes)[letter]
                known["g"] = spec.groups
                if size > 1:
                    known[str(letter)] = size
                out.append(f"(g {letter})" if size > 1 else "g")
            case _:
                out.append(str(axis[-1]))
    return " ".join(out)


PARTITIONED = Partitioned(contract, 2, divide, rule)
