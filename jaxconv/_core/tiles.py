"""Shardings as digits of a device's number, in plain ints.

XLA writes a sharding as an array of device numbers, one axis for each axis of what is
sharded (and one for devices that hold the same).  A mesh says the same with digits: of
a device's number, written with a base for each mesh axis, some digits count along an
axis of the array.  Here the digits are found again, without the mesh: as small as they
come, that is of prime bases.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from jaxconv._core.geometry import Ints


class Tiling(NamedTuple):
    """Device numbers in tiles: ``numbers`` in order of the tiles of ``shape``."""

    shape: Ints
    numbers: Ints


class Run(NamedTuple):
    """A digit of so many values, each ``stride`` device numbers after the last."""

    base: int
    stride: int


def runs(tiling: Tiling) -> list[list[Run]] | None:
    """For each axis of the tiling its digits, or None where these are no digits."""
    found = _factor(tiling.numbers)
    if found is None:
        return None
    out: list[list[Run]] = []
    for size in tiling.shape:
        axis: list[Run] = []
        while size > 1:
            count, stride = found.pop(0)
            if size % count == 0:
                axis.append(Run(count, stride))
                size //= count
            elif count % size == 0:
                rest = count // size
                axis.append(Run(size, stride * rest))
                found.insert(0, Run(rest, stride))
                size = 1
            else:
                return None
        out.append(axis)
    return out


def _factor(numbers: Ints) -> list[Run] | None:
    """The digits of a permutation of 0, 1, ... , the slowest first."""
    if numbers[0] != 0:
        return None
    found: list[Run] = []
    known = 1
    while known < len(numbers):
        stride = numbers[known]
        count = 1
        while (count + 1) * known <= len(numbers) and numbers[count * known] == (
            count * stride
        ):
            count += 1
        if count == 1 or len(numbers) % (known * count):
            return None
        found.insert(0, Run(count, stride))
        known *= count
    expected = [0]
    for count, stride in reversed(found):
        expected = [digit * stride + v for digit in range(count) for v in expected]
    return found if tuple(expected) == numbers else None


def digits(
    total: int, tilings: Sequence[Tiling | None]
) -> tuple[list[Run], list[list[Ints]]] | None:
    """One list of prime digits for all tilings, the slowest first, and who uses which.

    Of each tiling and each of its axes, the digits' places in the list.  None as a
    tiling stands for an array that every device has whole.  The result is None where
    the tilings have no digits in common.
    """
    split = [[] if tiling is None else runs(tiling) for tiling in tilings]
    edges = {1, total}
    for axes in split:
        if axes is None:
            return None
        for run in (run for axis in axes for run in axis):
            edges |= {run.stride, run.stride * run.base}
    chain = sorted(edges)
    if any(b % a for a, b in itertools.pairwise(chain)):
        return None
    found: list[Run] = []
    for low, high in itertools.pairwise(chain):
        for prime in primes(high // low):
            found.insert(0, Run(prime, low))
            low *= prime
    used = [
        [tuple(_inside(found, axis)) for axis in axes]
        for axes in split
        if axes is not None
    ]
    return found, used


def _inside(found: Sequence[Run], axis: Sequence[Run]) -> list[int]:
    return [
        place
        for run in axis
        for place, (_, stride) in enumerate(found)
        if run.stride <= stride < run.stride * run.base
    ]


def primes(n: int) -> list[int]:
    """The prime factors of n, the smallest first."""
    found: list[int] = []
    for p in range(2, math.isqrt(n) + 1):
        while n % p == 0:
            found.append(p)
            n //= p
    return [*found, n] if n > 1 else found


def order(used: Ints, bases: Ints) -> Ints:
    """Of each shard over these digits its number when they stand in order.

    Shards are numbered by the digits as they are used, the first being the slowest.
    """
    place = [0]
    for digit in used:
        faster = math.prod(bases[other] for other in used if other > digit)
        place = [v + n * faster for v in place for n in range(bases[digit])]
    return tuple(place)
