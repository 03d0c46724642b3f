"""A contraction on many devices: what each has, sends and computes.

The letters batch, groups and channels are cut freely: a shard of both operands gives a
shard of the result, and where the letter is summed the shards are added up.  Space is
cut into equal parts, of both images alike; a shard gets from its neighbours what its
windows read beyond its own part.  Windows are never cut.  What a shard computes is a
contraction like any other, for which the plan chooses a lowering.
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
from jaxconv._core.exchange import around
from jaxconv._core.geometry import Geometry, Ints
from jaxconv._core.partitioned import Digits, Partitioned, Shards, names
from jaxconv._core.share import Axes, Held, Key, parts, share
from jaxconv._core.spec import GROUPED, LETTERS, Letter, Role, Sizes, Spec
from jaxconv._core.tiles import order


def letters(spec: Spec, operand: Role) -> Axes:
    """The letters of each axis: of space a number, of a window none."""
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
    """The program of one device, from how operands and result lie."""
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
    """Without the cuts that no shard could compute with.

    Channels of a group stand together in an array, so a shard of them is one of a
    single group.  Of space not more is sent than the whole of it.
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
    """One device's part: the letters that are cut, and over which digits."""

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
        """The shard's own contraction."""
        spec, cuts = self.spec, self.cuts
        axes = [
            cuts[at].axis if at in cuts else axis
            for at, axis in enumerate(spec.geometry.axes)
        ]
        groups = spec.groups // parts(self.shared.get("g", ()), self.bases)
        geometry = Geometry(*(tuple(v) for v in zip(*axes, strict=True)))
        return replace(spec, geometry=geometry, groups=groups, sharding=None)

    def within(self, v: jax.Array, at: int, role: Role, size: int) -> jax.Array:
        """Zeros where a shard runs past the end of the axis."""
        axis, digits = self.axis(role, at), self.shared[at]
        own = v.shape[axis]
        if own * parts(digits, self.bases) == size:
            return v
        place = self.shard(at) * own + lax.broadcasted_iota(np.int32, v.shape, axis)
        return jnp.where(place < size, v, jnp.zeros((), v.dtype))

    def window(self, v: jax.Array, at: int, role: Role, one: Cut) -> jax.Array:
        """What the shard's windows read, with the neighbours' elements."""
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
        """The shard's part of what was computed from a multiple of the stride on."""
        axis, digits = self.axis("input", at), self.shared[at]
        size = part(self.spec.geometry.input[at], parts(digits, self.bases))
        if out.shape[axis] == size:
            return out
        start = self.shard(at) * size % self.spec.geometry.stride[at]
        return lax.dynamic_slice_in_dim(out, start, size, axis)

    def shard(self, at: int) -> jax.Array:
        """Which shard of this axis of space the device has."""
        place = jnp.zeros((), np.int32)
        for digit in self.shared[at]:
            place = place * self.bases[digit] + lax.axis_index(names((digit,)))
        return place

    def axis(self, role: Role, at: int) -> int:
        return letters(self.spec, role).index((at,))


# What a sharding spreads to -----------------------------------------------------------


def rule(spec: Spec, arrays: tuple[Any, ...]) -> tuple[str, dict[str, int]]:
    """Letters in the notation of `custom_partitioning`, and sizes of merged ones."""
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
