"""The interval of an input's axis that each position of another axis depends on.

Position p depends on inputs ``[lo(p), hi(p)]``.  In a convolutional network these
intervals repeat with a period, up to a shift:

    lo(p + period) = lo(p) + shift,   hi(p + period) = hi(p) + shift.

A convolution of stride s has period 1 and shift s; a transposed convolution of stride s
has period s and shift 1.  A `Lattice` stores one period.  It is defined at every
integer p: positions past the ends of the axis are those that padding reads.  A lattice
whose shift is None is a list without such a rule, and is defined on its axis only.  An
interval with lo > hi is empty: zeros between elements depend on nothing.  This module
does not import jax.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

NOTHING = 2**60  # lo of an empty interval; hi is its negative
SEARCHED = 64  # the longest period that `fit` tries
Intervals = tuple[Any, Any]  # arrays of lo and hi


@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """Intervals by position: one period of them, and the shift to the next period."""

    lo: np.ndarray
    hi: np.ndarray
    shift: int | None  # None: a list without a rule

    @property
    def period(self) -> int:
        return len(self.lo)

    @property
    def constant(self) -> bool:
        return self.period == 1 and self.shift == 0

    def same(self, other: Lattice) -> bool:
        return self is other or (
            self.shift == other.shift
            and np.array_equal(self.lo, other.lo)
            and np.array_equal(self.hi, other.hi)
        )

    def read(self, positions: Any) -> Intervals:
        """The intervals of any positions, past the ends too."""
        positions = np.asarray(positions)
        if self.shift is None:
            inside = (positions >= 0) & (positions < self.period)
            index = np.where(inside, positions, 0)
            return _masked(self.lo[index], self.hi[index], inside)
        times, index = np.divmod(positions, self.period)
        lo, hi = self.lo[index], self.hi[index]
        moved = self.shift * times
        return _masked(lo + moved, hi + moved, lo <= hi)

    def hull(self, size: int) -> tuple[int, int]:
        """The smallest interval around those of the positions 0 to size - 1."""
        if self.constant:
            return int(self.lo[0]), int(self.hi[0])
        lo, hi = self.read(np.arange(size))
        return (int(lo.min()), int(hi.max())) if size else (NOTHING, -NOTHING)

    def plus(self, lo: int, hi: int) -> Lattice:
        lows, highs = self.lo + lo, self.hi + hi
        return Lattice(*_masked(lows, highs, lows <= highs), self.shift)


class Window(NamedTuple):
    """Position q reads the positions (q*s + t*d - lo)/b that are integers, 0 <= t < k.

    There are b - 1 zeros between the positions that are read, so b > 1 is the window of
    a transposed convolution of stride b.
    """

    k: int = 1
    s: int = 1
    d: int = 1
    lo: int = 0
    b: int = 1

    @property
    def plain(self) -> bool:
        return self._replace(d=1) == Window()


IDENTITY = Lattice(np.zeros(1, int), np.zeros(1, int), 1)


def constant(lo: int, hi: int) -> Lattice:
    return Lattice(np.array([lo]), np.array([hi]), 0)


def listed(lo: Any, hi: Any) -> Lattice:
    """A list of intervals as a lattice without a rule."""
    lo, hi = np.asarray(lo), np.asarray(hi)
    return Lattice(*_masked(lo, hi, lo <= hi), None)


def _masked(lo: Any, hi: Any, full: Any) -> Intervals:
    """The intervals where ``full`` is True; elsewhere they are empty."""
    return np.where(full, lo, NOTHING), np.where(full, hi, -NOTHING)


def _periodic(lo: Any, hi: Any, shift: int) -> Lattice:
    """The lattice of these intervals with its shortest period.

    A divisor of the period is one itself if neighbouring parts differ by ``shift *
    part / period`` throughout, or are both empty.
    """
    full = lo <= hi
    period = len(lo)
    for part in range(1, period):
        if period % part or shift * part % period:
            continue
        step = shift * part // period
        pairs = full[part:] & full[:-part]
        if (
            np.array_equal(full[part:], full[:-part])
            and np.all((lo[part:] - lo[:-part] == step) | ~pairs)
            and np.all((hi[part:] - hi[:-part] == step) | ~pairs)
        ):
            return Lattice(lo[:part], hi[:part], step)
    return Lattice(lo, hi, shift)


def _hull(lattice: Lattice, positions: Any, read: Any) -> Intervals:
    """The smallest intervals around those of the positions that are read.

    The last axis of ``positions`` is reduced; ``read`` is a mask.
    """
    lo, hi = lattice.read(positions)
    lo, hi = _masked(lo, hi, read)
    return lo.min(axis=-1), hi.max(axis=-1)


def window(lattice: Lattice, w: Window, size: int) -> Lattice:
    """The lattice of the ``size`` results of a window.

    With zeros inserted, the lattice has the period ``spread`` = period * b.  Result q
    reads from q*s on, so the results repeat after the smallest n for which n*s is a
    multiple of spread, n = spread / gcd(spread, s), and are then shifted by
    shift * n*s / spread.
    """
    if w.plain:
        return lattice
    spread = lattice.period * w.b
    if lattice.shift is None:
        period, shift = size, 0
    else:
        period = spread // math.gcd(spread, abs(w.s))
        shift = lattice.shift * (w.s * period // spread)
    taps = np.arange(w.k)
    if w.k > 2 * spread and lattice.shift is not None:
        # Tap t + spread reads the interval of tap t, shifted by d * shift.  So the
        # first and the last ``spread`` taps contain both ends of the hull.
        taps = np.concatenate([taps[:spread], taps[-spread:]])
    positions = np.arange(period)[:, None] * w.s + taps * w.d - w.lo
    whole, rest = np.divmod(positions, w.b)
    lo, hi = _hull(lattice, whole, rest == 0)
    return listed(lo, hi) if lattice.shift is None else _periodic(lo, hi, shift)


def compose(lattice: Lattice, reads: Lattice, size: int) -> Lattice:
    """The lattice of positions that read the intervals ``reads`` of an axis.

    After one period of ``reads`` the positions that are read move by its shift, so the
    result repeats once this adds up to a multiple of the period of ``lattice``.
    """
    if lattice.shift is None or reads.shift is None:
        period, shift = size, None
    else:
        turns = lattice.period // math.gcd(lattice.period, abs(reads.shift) or 1)
        turns = 1 if reads.shift == 0 else turns
        period = reads.period * turns
        shift = lattice.shift * (reads.shift * turns // lattice.period)
    first, last = reads.read(np.arange(period))
    longest = int(np.max(np.where(first <= last, last - first, -1), initial=-1))
    lo, hi = np.full(period, NOTHING), np.full(period, -NOTHING)
    for step in _steps(lattice, longest):
        position = first + step if step >= 0 else last + step + 1
        inside = (first <= position) & (position <= last)
        found = _hull(lattice, position[:, None], inside[:, None])
        lo, hi = np.minimum(lo, found[0]), np.maximum(hi, found[1])
    return listed(lo, hi) if shift is None else _periodic(lo, hi, shift)


def _steps(lattice: Lattice, longest: int) -> Sequence[int]:
    """The offsets of the positions that determine the hull of a long interval.

    An offset n >= 0 counts from the first position and n < 0 from the last.  Within a
    long interval, one period at each end contains both ends of the hull.
    """
    if lattice.shift is None or longest < 2 * lattice.period:
        return range(longest + 1)
    return [*range(lattice.period), *range(-lattice.period, 0)]


def union(one: Lattice, two: Lattice, size: int) -> Lattice:
    """The hull of both lattices; it has a rule if shift/period is the same in both."""
    if one.same(two):
        return one
    period = math.lcm(one.period, two.period)
    a, b = one.shift, two.shift
    ruled = a is not None and b is not None and a * two.period == b * one.period
    positions = np.arange(period if ruled else size)
    (lo, hi), (other_lo, other_hi) = one.read(positions), two.read(positions)
    lo, hi = np.minimum(lo, other_lo), np.maximum(hi, other_hi)
    if ruled and a is not None:
        return _periodic(lo, hi, a * period // one.period)
    return listed(lo, hi)


def merge(outer: Lattice | None, inner: Lattice | None, sizes: Sequence[int]) -> Any:
    """Flattens two axes into one, the inner one fastest; intervals are added.

    None is an axis that nothing depends on.
    """
    count, width = sizes
    if outer is None and inner is None:
        return None
    if width == 1 and outer is not None:
        return outer if inner is None else outer.plus(*map(int, inner.read(0)))
    if count == 1 and inner is not None:
        return inner if outer is None else inner.plus(*map(int, outer.read(0)))
    zero = constant(0, 0)
    outer, inner = outer or zero, inner or zero
    lo, hi = inner.read(np.arange(width))
    full = (outer.lo <= outer.hi)[:, None] & (lo <= hi)
    lo, hi = _masked(outer.lo[:, None] + lo, outer.hi[:, None] + hi, full)
    if outer.shift is None:
        return listed(lo.ravel(), hi.ravel())
    return _periodic(lo.ravel(), hi.ravel(), outer.shift)


def split(lattice: Lattice, count: int, width: int) -> tuple[Lattice, Lattice] | None:
    """Splits an axis into two whose intervals add up to it; None if impossible.

    Position r*width + c must have lo = outer.lo(r) + inner.lo(c), and the same for hi:
    all rows must be equal up to a shift.
    """
    if width == 1:
        return lattice, constant(0, 0)
    if count == 1:
        return constant(0, 0), lattice
    rows = count
    if lattice.shift is not None:
        rows = lattice.period // math.gcd(lattice.period, width)
    lo, hi = lattice.read(np.arange(rows)[:, None] * width + np.arange(width))
    low, high = lo[0] - lo[0, 0], hi[0] - hi[0, 0]
    if np.any(lo > hi) or np.any(low > high):
        return None
    if np.any(lo != lo[:, :1] + low) or np.any(hi != hi[:, :1] + high):
        return None
    if lattice.shift is None:
        return listed(lo[:, 0], hi[:, 0]), listed(low, high)
    shift = lattice.shift * rows * width // lattice.period
    outer = _periodic(lo[:, 0], hi[:, 0], shift)
    if lattice.period > width:
        return outer, listed(low, high)
    return outer, lattice.plus(-int(lo[0, 0]), -int(hi[0, 0]))


def fit(lo: Any, hi: Any, inputs: int) -> tuple[Lattice, bool]:
    """The rule that a list of intervals follows, and whether its ends break the rule.

    Each period is tried on the middle of the list.  Ends with smaller intervals than
    the rule says do not break it, because resizing crops its windows at the ends.  A
    list that goes evenly from the first input to the last has its length as period.
    """
    given = listed(lo, hi)
    size, middle = given.period, given.period // 2
    broken: Lattice | None = None
    for period in range(1, min(size // 2, SEARCHED) + 1):
        part = slice(middle, middle + period)
        if size < middle + period + 1:
            break
        shift = int(given.lo[middle + period] - given.lo[middle])
        if abs(shift) > 4 * inputs:
            continue
        guess = window(
            Lattice(given.lo[part], given.hi[part], shift), Window(lo=middle), size
        )
        kept, equal = _agreement(given, guess)
        if 2 * equal.sum() < size:
            continue
        if kept.all():
            return guess, False
        if broken is None and _one_run(equal):
            broken = guess
    if _even(given, inputs):
        return _periodic(given.lo, given.hi, inputs), False
    return (given, False) if broken is None else (broken, True)


def _even(given: Lattice, inputs: int) -> bool:
    """Whether a list's centres are evenly spaced from the first input to the last."""
    if not given.period or given.lo[0] != 0 or given.hi[-1] != inputs - 1:
        return False
    middles = (np.arange(given.period) + 0.5) * inputs / given.period - 0.5
    return bool(np.all(np.abs((given.lo + given.hi) / 2 - middles) <= 1))


def _agreement(given: Lattice, guess: Lattice) -> tuple[Any, Any]:
    """Where the guessed intervals contain the given ones, and where they are equal."""
    lo, hi = guess.read(np.arange(given.period))
    empty = given.lo > given.hi
    kept = ((lo <= given.lo) & (hi >= given.hi)) | empty
    return kept, (lo == given.lo) & (hi == given.hi)


def _one_run(flags: Any) -> bool:
    return int(np.count_nonzero(np.diff(np.flatnonzero(flags)) > 1)) == 0


def concatenate(pieces: Sequence[tuple[Lattice | None, int]]) -> tuple[Lattice, bool]:
    """Pieces of an axis concatenated, and whether the ends break the rule.

    The longest piece gives the rule.  If the others break it and it has at least half
    of the axis, they are treated as its padding (reflected, replicated or wrapped).
    """
    sizes = [size for _, size in pieces]
    total, longest = sum(sizes), int(np.argmax(sizes))
    parts = [
        listed([NOTHING] * n, [-NOTHING] * n).read(np.arange(n))
        if lattice is None
        else lattice.read(np.arange(n))
        for lattice, n in pieces
    ]
    given = listed(*(np.concatenate(side) for side in zip(*parts, strict=True)))
    main = pieces[longest][0]
    if main is None or main.shift is None:
        return given, False
    guess = window(main, Window(lo=sum(sizes[:longest])), total)
    kept, _ = _agreement(given, guess)
    if kept.all():
        return guess, False
    return (guess, True) if 2 * sizes[longest] >= total else (given, False)
