"""The size arithmetic against counting: every number is found again by enumeration."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxconv
import oracle
from cases import CASES, Case, over_cases
from jaxconv._core import geometry as _geometry
from jaxconv._core.geometry import Axis, Extent, Geometry

settings.register_profile("exact", deadline=None, derandomize=True, max_examples=300)
exact = settings.get_profile("exact")

small = st.integers(1, 5)
axes = st.builds(
    Axis,
    i=st.integers(1, 12),
    k=small,
    o=st.integers(1, 7),
    s=small,
    d=small,
    lo=st.integers(-6, 12),
)
convolutions = st.tuples(
    st.integers(1, 14), small, small, small, st.integers(-4, 9), st.integers(-4, 9)
)


def reads(axis: Axis) -> list[tuple[int, int, int]]:
    """Every (position, tap, input) of an axis, those outside the input included."""
    return [
        (p, t, p * axis.s + t * axis.d - axis.lo)
        for p in range(axis.o)
        for t in range(axis.k)
    ]


def built(extent: Extent, between: int = 0) -> list[int | None]:
    """An axis cut, spread and padded as an extent says; None is a zero."""
    zeros: list[int | None] = [None]
    middle: list[int | None] = []
    for index in range(extent.start, extent.stop):
        middle += [index, *zeros * between]
    if between:
        del middle[-between:]
    return zeros * extent.low + middle + zeros * extent.high


@exact
@given(convolutions)
def test_output_size_counts_windows(sizes: tuple[int, ...]) -> None:
    assert max(_geometry.output_size(*sizes), 0) == oracle.windows(*sizes)


@exact
@given(st.integers(1, 9), small, small, small, st.integers(0, 6), st.integers(0, 6))
def test_input_size_is_the_smallest(
    o: int, k: int, s: int, d: int, lo: int, hi: int
) -> None:
    smallest = _geometry.input_size(o, k, s, d, lo, hi, 0)
    assert oracle.windows(smallest, k, s, d, lo, hi) == o
    assert oracle.windows(smallest - 1, k, s, d, lo, hi) == o - 1


@exact
@given(st.integers(1, 9), small, small, small, st.integers(0, 6), st.integers(0, 6))
def test_output_padding_keeps_the_outputs(
    o: int, k: int, s: int, d: int, lo: int, hi: int
) -> None:
    """Every remainder below the stride, and only those, has the same output size."""
    sizes = [_geometry.input_size(o, k, s, d, lo, hi, op) for op in range(s + 1)]
    found = [_geometry.output_size(i, k, s, d, lo, hi) for i in sizes]
    assert found == [o] * s + [o + 1]


@exact
@given(convolutions)
def test_round_trip(sizes: tuple[int, ...]) -> None:
    i, k, s, d, lo, hi = sizes
    o = _geometry.output_size(*sizes)
    remainder = (i + lo + hi - (d * (k - 1) + 1)) % s
    assert _geometry.input_size(o, k, s, d, lo, hi, remainder) == i


@exact
@given(st.integers(1, 20), small, small, small)
def test_same_padding_is_the_least(i: int, k: int, s: int, d: int) -> None:
    wanted, total = len(range(0, i, s)), 0
    while oracle.windows(i, k, s, d, 0, total) < wanted:
        total += 1
    assert _geometry.same_padding(i, k, s, d) == total
    assert oracle.windows(i, k, s, d, total // 2, total - total // 2) == wanted


@exact
@given(axes)
def test_high_padding_ends_at_the_last_read(axis: Axis) -> None:
    read = [index for _, _, index in reads(axis)]
    assert axis.hi == max(read) + 1 - axis.i
    assert axis.reach == max(read) - min(read) + 1
    assert axis.span == _geometry.span(axis.k, axis.d) == axis.d * (axis.k - 1) + 1


@exact
@given(axes)
def test_valid_pairs(axis: Axis) -> None:
    count = sum(0 <= index < axis.i for _, _, index in reads(axis))
    assert _geometry.valid_pairs(axis) == count


@exact
@given(axes)
def test_read_extent(axis: Axis) -> None:
    """Element by element what the windows cover, and nothing that they read is cut."""
    extent = _geometry.read_extent(axis)
    covered = range(-axis.lo, axis.reach - axis.lo)
    virtual = [index if 0 <= index < axis.i else None for index in covered]
    if extent.empty:
        assert virtual == [None] * len(virtual)
        return
    assert min(extent.low, extent.high) >= 0
    assert built(extent) == virtual
    inside = {index for _, _, index in reads(axis) if 0 <= index < axis.i}
    assert inside <= set(range(extent.start, extent.stop))


@exact
@given(axes)
def test_spread_extent(axis: Axis) -> None:
    """The spread outputs that the turned kernel slides over, element by element."""
    extent = _geometry.spread_extent(axis)
    contributing = {p for p, _, index in reads(axis) if 0 <= index < axis.i}
    if extent.empty:
        assert not contributing
        return
    slid = range(axis.lo - axis.d * (axis.k - 1), axis.lo + axis.i)
    spread = {p * axis.s: p for p in range(axis.o)}
    assert min(extent.low, extent.high) >= 0
    assert built(extent, axis.s - 1) == [spread.get(place) for place in slid]
    assert contributing <= set(range(extent.start, extent.stop))


def test_extents_of_a_shifted_causal_axis() -> None:
    """By hand: two taps, low padding 2, so the first window reads only zeros."""
    axis = Axis(i=5, k=2, o=6, s=1, d=1, lo=2)
    assert _geometry.read_extent(axis) == Extent(0, 5, 2, 0)
    assert _geometry.spread_extent(axis) == Extent(1, 6, 0, 1)


@over_cases()
def test_geometry_of_several_axes(case: Case) -> None:
    window, geometry = case.window, Geometry(*case.window)
    read = list(oracle.reads(window))
    assert geometry.ndim == case.ndim
    assert geometry.valid_taps == len(read)
    pairs = np.ndindex(*window.output, *window.kernel)
    assert geometry.taps * geometry.positions == sum(1 for _ in pairs)
    last = [(o - 1) * s for o, s in zip(window.output, window.stride, strict=True)]
    reach = [
        p + d * (k - 1) + 1
        for p, d, k in zip(last, window.dilation, window.kernel, strict=True)
    ]
    padded = [
        lo + i + hi
        for lo, i, hi in zip(window.low, window.input, geometry.high, strict=True)
    ]
    assert padded == reach


def test_geometry_is_hashable_and_frozen() -> None:
    first, again = Geometry(*CASES[0].window), Geometry(*CASES[0].window)
    assert first == again
    assert hash(first) == hash(again)
    with pytest.raises(AttributeError):
        first.low = (0,)  # type: ignore[misc]


def test_geometry_imports_no_jax() -> None:
    path = Path(jaxconv.__file__).parent / "_core" / "geometry.py"
    code = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('geometry', {str(path)!r})\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "sys.modules['geometry'] = module\n"
        "spec.loader.exec_module(module)\n"
        "assert module.output_size(5, 3, 1, 1, 1, 1) == 5\n"
        "assert not {'jax', 'jaxlib', 'numpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
