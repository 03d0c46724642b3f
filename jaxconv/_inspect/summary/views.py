"""What a value depends on along one axis of one input.

A `View` is a union of terms.  A `Term` is a sum of intervals: a fixed one, and one for
each axis of the value, which depends on the position along that axis (a `Lattice`):

    [lo + sum of along[a].lo(p[a]),  hi + sum of along[a].hi(p[a])]

Usually there is one term with one axis.  There are two axes where space was split into
blocks, because a position is then the sum of a block's start and an offset, and two
terms where every row is combined with every column, as in attention.

The axes of a value have numbers, 0, 1, ...  A named axis is not an axis of the array:
it is the steps of a scan or the devices of a mesh.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from jaxconv._inspect.summary import lattice as _lattice
from jaxconv._inspect.summary.lattice import IDENTITY, Lattice, constant

Axis = int | str
Change = Callable[[Lattice], Lattice]


class Term(NamedTuple):
    """The interval [lo, hi] plus the intervals of each axis's position."""

    lo: int
    hi: int
    along: Mapping[Axis, Lattice]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Term)
            and (self.lo, self.hi) == (other.lo, other.hi)
            and self.along.keys() == other.along.keys()
            and all(v.same(other.along[axis]) for axis, v in self.along.items())
        )

    def __hash__(self) -> int:
        return hash((self.lo, self.hi, *self.along))

    @property
    def fixed(self) -> bool:
        """Whether it is the same interval at every position."""
        return all(lattice.constant for lattice in self.along.values())

    def total(self) -> tuple[int, int]:
        """The interval of a fixed term."""
        each = self.along.values()
        return (
            self.lo + sum(int(v.lo[0]) for v in each),
            self.hi + sum(int(v.hi[0]) for v in each),
        )

    def single(self) -> tuple[Axis, Lattice] | None:
        """The only axis with its lattice, to which the fixed interval is added."""
        if len(self.along) != 1:
            return None
        ((axis, lattice),) = self.along.items()
        return axis, lattice.plus(self.lo, self.hi)


Terms = Mapping[frozenset[Axis], Term]


class View(NamedTuple):
    """What a value depends on along an input's axis of ``size`` elements.

    If ``unknown`` is not empty, the dependence is not known, for these reasons.
    ``notes`` are remarks on parts that are left out, such as filled borders.
    """

    size: int
    terms: Terms
    unknown: frozenset[str] = frozenset()
    notes: frozenset[str] = frozenset()

    @property
    def axes(self) -> frozenset[Axis]:
        return frozenset[Axis]().union(*self.terms)

    @property
    def whole(self) -> bool:
        terms = list(self.terms.values())
        return len(terms) == 1 and terms[0].fixed and _covers(terms[0], self.size)


@lru_cache
def whole(size: int) -> View:
    """Every position depends on the whole axis."""
    return View(size, {frozenset(): Term(0, size - 1, {})})


@lru_cache
def identity(size: int, axis: int) -> View:
    """Position p of the axis depends on element p."""
    return View(size, {frozenset({axis}): Term(0, 0, {axis: IDENTITY})})


def nothing(views: Sequence[View]) -> View:
    """A view without dependence, with the reasons and notes of these views."""
    reasons = (v.unknown for v in views)
    notes = (v.notes for v in views)
    none: frozenset[str] = frozenset()
    return View(views[0].size, {}, none.union(*reasons), none.union(*notes))


def unknown(view: View, reason: str) -> View:
    return view._replace(terms={}, unknown=view.unknown | {reason})


def _covers(term: Term, size: int) -> bool:
    lo, hi = term.total()
    return lo <= 0 and hi >= size - 1


def union(one: View, two: View, shape: Mapping[Axis, int]) -> View:
    """The union of two views of one axis."""
    if one is two or one == two:
        return one
    if not (one.unknown or two.unknown) and one.axes == two.axes:
        if one.whole:
            return one
        if two.whole:
            return two
    terms = dict(one.terms)
    reasons = one.unknown | two.unknown
    for key, term in two.terms.items():
        both = _either(terms[key], term, shape) if key in terms else term
        if both is None:
            reasons |= {"a union over several axes"}
        else:
            terms[key] = both
    return _settled(View(one.size, terms, reasons, one.notes | two.notes))


def _settled(view: View) -> View:
    """Replaces the terms by the whole axis, if one of them covers it.

    The new term keeps the view's axes, with constant lattices.
    """
    if not any(t.fixed and _covers(t, view.size) for t in view.terms.values()):
        return view._replace(terms={}) if view.unknown else view
    axes, zero = view.axes, constant(0, 0)
    term = Term(0, view.size - 1, {axis: zero for axis in axes})
    return View(view.size, {axes: term}, notes=view.notes)


def _either(one: Term, two: Term, shape: Mapping[Axis, int]) -> Term | None:
    """The union of two terms over the same axes, or None if it is no single term."""
    if one == two:
        return one
    differing = [a for a in one.along if not one.along[a].same(two.along[a])]
    if not one.along:
        return Term(min(one.lo, two.lo), max(one.hi, two.hi), {})
    if len(differing) > 1:
        return None
    axis = differing[0] if differing else next(iter(one.along))
    lattice = _lattice.union(
        one.along[axis].plus(one.lo, one.hi),
        two.along[axis].plus(two.lo, two.hi),
        shape[axis],
    )
    return Term(0, 0, {**one.along, axis: lattice})


def _collected(view: View, terms: Iterable[Term], shape: Mapping[Axis, int]) -> View:
    """A view of these terms, with the union of those over the same axes."""
    result = view._replace(terms={})
    for term in terms:
        if term.lo > term.hi:  # an empty interval
            continue
        one = view._replace(terms={frozenset(term.along): term})
        result = union(result, one, shape) if result.terms else one
    return _settled(result)


def noted(view: View, axis: Axis, note: str) -> View:
    return view._replace(notes=view.notes | {note}) if axis in view.axes else view


def changed(view: View, axis: Axis, change: Change) -> View:
    """The view with a changed lattice along one axis: a window, a slice, a reversal."""
    if axis not in view.axes:
        return view
    terms = {
        key: t._replace(along={**t.along, axis: change(t.along[axis])})
        if axis in t.along
        else t
        for key, t in view.terms.items()
    }
    return view._replace(terms=terms)


def renamed(view: View, names: Mapping[Any, Axis]) -> View:
    """The view with renamed axes; an axis that is not in ``names`` keeps its name."""
    if all(names.get(axis, axis) == axis for axis in view.axes):
        return view
    terms = {
        frozenset(names.get(a, a) for a in key): t._replace(
            along={names.get(a, a): v for a, v in t.along.items()}
        )
        for key, t in view.terms.items()
    }
    return view._replace(terms=terms)


def dropped(view: View, axis: Axis, shape: Mapping[Axis, int]) -> View:
    """Removes an axis, by the union over all of its positions."""
    if axis not in view.axes:
        return view

    def without(term: Term) -> Term:
        if axis not in term.along:
            return term
        rest = {a: v for a, v in term.along.items() if a != axis}
        lo, hi = term.along[axis].hull(shape[axis])
        return Term(term.lo + lo, term.hi + hi, rest)

    found = _collected(view, map(without, view.terms.values()), shape)
    return whole(view.size) if found.whole and not found.axes else found


def taken(view: View, axis: Axis, position: int, shape: Mapping[Axis, int]) -> View:
    """Removes an axis, by selecting one of its positions."""
    if axis not in view.axes:
        return view

    def at(lattice: Lattice) -> Lattice:
        lo, hi = lattice.read(position)
        return constant(int(lo), int(hi))

    return dropped(changed(view, axis, at), axis, {**shape, axis: 1})


def merged(view: View, axes: Sequence[Axis], sizes: Sequence[int], to: Axis) -> View:
    """Flattens several axes into one, the last one fastest."""
    if not view.axes & set(axes):
        return view

    def together(term: Term) -> Term:
        if not term.along.keys() & set(axes):
            return term
        found, width = term.along.get(axes[-1]), sizes[-1]
        for axis, size in zip(axes[-2::-1], sizes[-2::-1], strict=True):
            found = _lattice.merge(term.along.get(axis), found, (size, width))
            width *= size
        rest = {a: v for a, v in term.along.items() if a not in axes}
        return term._replace(along={**rest, to: found or constant(0, 0)})

    shape = {axis: 1 for axis in view.axes} | {to: 1}
    for axis, size in zip(axes, sizes, strict=True):
        shape[axis] = size
        shape[to] *= size
    terms = [together(term) for term in view.terms.values()]
    return _collected(view, terms, shape)


def parted(view: View, axis: Axis, sizes: Sequence[int], to: Sequence[Axis]) -> View:
    """Splits one axis into several, the last one fastest."""
    if axis not in view.axes:
        return view
    terms: list[Term] = []
    for term in view.terms.values():
        if axis not in term.along:
            terms.append(term)
            continue
        parts = _parts(term.along[axis], sizes)
        if parts is None:
            return unknown(view, "a reshape that cuts windows apart")
        along = {a: v for a, v in term.along.items() if a != axis}
        terms.append(term._replace(along=along | dict(zip(to, parts, strict=True))))
    shape = {axis: 1 for axis in view.axes} | dict(zip(to, sizes, strict=True))
    return _collected(view, terms, shape)


def _parts(lattice: Lattice, sizes: Sequence[int]) -> list[Lattice] | None:
    parts: list[Lattice] = []
    for place in range(len(sizes) - 1, 0, -1):
        pair = _lattice.split(lattice, math.prod(sizes[:place]), sizes[place])
        if pair is None:
            return None
        lattice, inner = pair
        parts.insert(0, inner)
    return [lattice, *parts]
