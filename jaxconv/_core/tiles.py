"""Shardings as digits of a device's number, in plain ints.

XLA describes a sharding by an array of device numbers with one axis per axis of the
sharded array, and one more for devices that hold the same part.  A mesh of shape
(b0, b1, ...) numbers its devices by digits with these bases, and a sharding says which
digits select the part along each axis of the array.  This module finds such digits from
the array of device numbers alone, with prime bases, so that shardings with different
factors can still share them.

Example: the mesh (2, 3) has devices 3a + b.  An array with its first axis sharded over
the second mesh axis has the tiles [[0, 3], [1, 4], [2, 5]]: its axis of 3 parts is the
digit of base 3 and stride 1, and the last axis, of equal parts, base 2 and stride 3.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from jaxconv._core.geometry import Ints


class Tiling(NamedTuple):
    """An array of device numbers of this shape, flattened in row-major order."""

    shape: Ints
    numbers: Ints


class Run(NamedTuple):
    """A digit with values 0 to base-1; a step of 1 adds ``stride`` to the number."""

    base: int
    stride: int


def runs(tiling: Tiling) -> list[list[Run]] | None:
    """The digits of each axis of a tiling, or None if it has none."""
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
    """The digits of a permutation of 0, 1, ..., the slowest first; None if it has none.

    ``numbers`` has digits if position sum(v[j] * w[j]) holds sum(v[j] * stride[j]) for
    all values v of the digits, where w[j] is the product of the faster bases.  The loop
    finds one digit at a time, the fastest first: its stride is the number at position
    w[j], and its base is how long the multiples of this stride go on.
    """
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
    """The prime digits of all tilings, the slowest first, and which axis uses which.

    The second result has, for each axis of each tiling, the indices of its digits in
    that list.  A tiling that is None belongs to a replicated array.  The result is None
    if no digits fit all tilings: the strides at which digits begin and end must form a
    chain in which each number divides the next.
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
    """Maps a shard's number in the order of ``used`` to its number in sorted order.

    In both orders the first digit is the slowest.
    """
    place = [0]
    for digit in used:
        faster = math.prod(bases[other] for other in used if other > digit)
        place = [v + n * faster for v in place for n in range(bases[digit])]
    return tuple(place)
