"""The integers of shards: what each reads, and which digits cut what."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from jaxconv._core.cut import cut, part
from jaxconv._core.geometry import Axis, output_size
from jaxconv._core.share import Held, share
from jaxconv._core.tiles import Run, Tiling, digits, order

COUNT = 3000


def axes(rng: np.random.Generator) -> Any:
    """Random axes of a convolution, and shards of them."""
    for _ in range(COUNT):
        i, k, s, d = (int(rng.integers(1, top)) for top in (25, 5, 5, 4))
        lo, hi = (int(v) for v in rng.integers(-2, 6, 2))
        o = output_size(i, k, s, d, lo, hi)
        if o > 0:
            yield Axis(i, k, o, s, d, lo), int(rng.integers(1, 6))


def test_a_shard_reads_what_its_outputs_read(rng: np.random.Generator) -> None:
    seen = 0
    for axis, shards in axes(rng):
        found = cut(axis, shards, "output")
        if found is None:
            continue
        own, local, window = part(axis.i, shards), found.axis, found.window
        for r in range(shards):
            start = window.start(r)
            assert 0 <= start <= start + window.size <= window.low + own + window.high
            first = r * own - window.low + start  # as an input of the whole
            for p in range(r * local.o, min((r + 1) * local.o, axis.o)):
                for t in range(axis.k):
                    there = (p - r * local.o) * local.s + t * local.d - local.lo
                    assert 0 <= there < local.i
                    assert first + there == p * axis.s + t * axis.d - axis.lo
                    seen += 1
    assert seen > COUNT


def test_a_shard_reads_what_reads_its_inputs(rng: np.random.Generator) -> None:
    seen = 0
    for axis, shards in axes(rng):
        found = cut(axis, shards, "input")
        if found is None:
            continue
        size, own = part(axis.i, shards), part(axis.o, shards)
        local, window = found.axis, found.window
        for r in range(shards):
            start, skip = window.start(r), r * size % axis.s
            assert 0 <= start <= start + window.size <= window.low + own + window.high
            assert skip + size <= local.i
            first = r * own - window.low + start  # as an output of the whole
            for q in range(r * size, min((r + 1) * size, axis.i)):
                want = readers(axis, q)
                mine = readers(local, q - r * size + skip)
                found_there = {(p + first, t) for p, t in mine}
                assert want == {(p, t) for p, t in found_there if 0 <= p < axis.o}
                seen += len(want)
    assert seen > COUNT


def readers(axis: Axis, q: int) -> set[tuple[int, int]]:
    return {
        (p, t)
        for p in range(axis.o)
        for t in range(axis.k)
        if p * axis.s + t * axis.d - axis.lo == q
    }


@pytest.mark.parametrize("role", ["output", "input", "kernel"])
@pytest.mark.parametrize(
    "axis",
    [Axis(64, 3, 64, 1, 1, 1), Axis(64, 3, 62, 1, 1, 0), Axis(64, 3, 32, 2, 1, 1),
     Axis(224, 7, 112, 2, 1, 3), Axis(64, 4, 32, 2, 1, 1), Axis(65, 3, 33, 2, 1, 1)],
)  # fmt: skip
def test_usual_axes_are_cut_with_a_thin_halo(axis: Axis, role: Any) -> None:
    found = cut(axis, 8, role)
    assert found is not None
    assert found.window.low + found.window.high <= 2 * (axis.span + axis.s)


def test_a_halo_of_more_than_the_rest_is_none() -> None:
    assert cut(Axis(8, 8, 8, 1, 1, 3), 4, "output") is None
    assert cut(Axis(8, 3, 8, 1, 8, 8), 4, "output") is None


def test_digits_of_meshes_are_found_again(rng: np.random.Generator) -> None:
    """Three arrays on one mesh, its axes in any order on any of their axes."""
    for _ in range(300):
        mesh = [int(v) for v in rng.choice([1, 2, 2, 3, 4, 6], rng.integers(1, 4))]
        total = math.prod(mesh)
        device = np.arange(total).reshape(mesh)
        tilings: list[Tiling] = []
        for _ in range(3):
            places: list[list[int]] = [[] for _ in range(int(rng.integers(2, 5)))]
            for axis in rng.permutation(len(mesh)):
                places[rng.integers(len(places))].append(int(axis))
            flat = device.transpose([axis for place in places for axis in place])
            shape = tuple(math.prod(mesh[axis] for axis in place) for place in places)
            tilings.append(Tiling(shape, tuple(flat.reshape(-1).tolist())))
        found = digits(total, tilings)
        assert found is not None
        runs, used = found
        bases = [run.base for run in runs]
        device = np.arange(total).reshape(bases)
        for tiling, places in zip(tilings, used, strict=True):
            flat = device.transpose([digit for place in places for digit in place])
            assert tuple(flat.reshape(-1).tolist()) == tiling.numbers
            sizes = (math.prod(bases[digit] for digit in place) for place in places)
            assert tuple(sizes) == tiling.shape


def test_meshes_without_common_digits_have_none() -> None:
    two, three = Tiling((2, 3), tuple(range(6))), Tiling((3, 2), tuple(range(6)))
    assert digits(6, [two, two]) == ([Run(2, 3), Run(3, 1)], [[(0,), (1,)]] * 2)
    assert digits(6, [two, three]) is None
    assert digits(4, [Tiling((4,), (0, 1, 3, 2))]) is None
    assert digits(4, [Tiling((4,), (1, 0, 3, 2))]) is None
    assert digits(4, [None]) == ([Run(2, 2), Run(2, 1)], [[]])


def test_shards_are_numbered_by_their_digits() -> None:
    assert order((0, 1), (2, 3)) == tuple(range(6))
    assert order((1, 0), (2, 3)) == (0, 3, 1, 4, 2, 5)
    assert order((2, 0), (2, 5, 2)) == (0, 2, 1, 3)


def test_the_larger_array_stays_where_it_is() -> None:
    """A digit that cuts batch here and channels there can cut one of them only."""
    image = Held((("n",), ("c",), (0,)), ((0,), (), (1,)), 1000)
    kernel = Held((("o",), ("c",), ()), ((0,), (), (1,)), 100)
    result = Held((("n",), ("o",), (0,)), ((), (), ()), 500)
    whole = {"n": 4, "c": 8, "o": 8}
    shared = share((image, kernel, result), whole, (2, 2))
    assert shared == {"n": (0,), 0: (1,)}
    assert share((image, kernel, result), whole | {"n": 3}, (2, 2)) == {
        "o": (0,),
        0: (1,),
    }


def test_groups_are_cut_before_the_channels_of_one() -> None:
    merged = Held((("g", "c"),), ((0, 1, 2),), 8)
    assert share((merged,), {"g": 4, "c": 2}, (2, 2, 2)) == {"g": (0, 1), "c": (2,)}
    assert share((merged,), {"g": 3, "c": 2}, (2, 2, 2)) == {}
    assert share((merged,), {"g": 1, "c": 6}, (2, 2, 2)) == {"c": (0,)}
