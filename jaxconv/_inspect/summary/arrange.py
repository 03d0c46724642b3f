"""What the results of operations that only arrange elements depend on."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from jaxconv._core.spec import Shape
from jaxconv._inspect.summary import lattice as _lattice
from jaxconv._inspect.summary import seen as _seen
from jaxconv._inspect.summary import views as _views
from jaxconv._inspect.summary.lattice import Lattice, Window, constant
from jaxconv._inspect.summary.seen import BORDER, NOTHING, Equation, Seen

# Order and shape ----------------------------------------------------------------------


def transpose(eq: Equation, x: Seen) -> Seen:
    order = eq.params["permutation"]
    return _seen.renamed(x, {old: new for new, old in enumerate(order)})


def broadcast_in_dim(eq: Equation, x: Seen, *_: Seen) -> Seen:
    places = eq.params["broadcast_dimensions"]
    before, after = eq.inputs[0], eq.outputs[0]
    for axis, place in enumerate(places):
        if before[axis] != after[place]:
            x = _seen.taken(eq, x, axis, 0)
    return _seen.renamed(x, dict(enumerate(places)))


def squeeze(eq: Equation, x: Seen) -> Seen:
    axes = eq.params["dimensions"]
    for axis in axes:
        x = _seen.taken(eq, x, axis, 0)
    return _seen.without(x, axes, len(eq.inputs[0]))


def reshape(eq: Equation, x: Seen, *_: Seen) -> Seen:
    if eq.params.get("dimensions") is not None:
        return _seen.unknown([x], "reshape with dimensions")
    if 0 in eq.outputs[0]:
        return NOTHING
    for before, after in _groups(eq.inputs[0], eq.outputs[0]):
        x = _regrouped(x, before, after, eq)
    return _seen.renamed(x, {f"new{axis}": axis for axis in range(len(eq.outputs[0]))})


def _groups(before: Shape, after: Shape) -> list[tuple[range, range]]:
    """Splits a reshape into the shortest runs of axes with equal element counts."""
    groups: list[tuple[range, range]] = []
    i = j = 0
    while i < len(before) or j < len(after):
        first, second, a, b = i, j, 1, 1
        while i < len(before) or j < len(after):
            taken, given = i > first or i == len(before), j > second or j == len(after)
            if taken and given and a == b:
                break
            if j == len(after) or (
                i < len(before) and (not taken or (given and a < b))
            ):
                a *= before[i]
                i += 1
            else:
                b *= after[j]
                j += 1
        groups.append((range(first, i), range(second, j)))
    return groups


def _regrouped(x: Seen, before: range, after: range, eq: Equation) -> Seen:
    new = [f"new{axis}" for axis in after]
    if len(before) == 1 and len(after) == 1:
        return _seen.renamed(x, {before[0]: new[0]})
    olds = [eq.inputs[0][axis] for axis in before]
    news = [eq.outputs[0][axis] for axis in after]
    # If only sizes of one are added or removed, the axis keeps its rule past its ends.
    if sum(n > 1 for n in olds) <= 1 and sum(n > 1 for n in news) <= 1 and after:
        names = dict(zip(before, new, strict=False))
        if any(n > 1 for n in olds):
            kept = next(axis for axis in before if eq.inputs[0][axis] > 1)
            place = next(axis for axis in after if eq.outputs[0][axis] > 1)
            names = {kept: f"new{place}"}
        for axis in before:
            if axis not in names:
                x = _seen.taken(eq, x, axis, 0)
        return _seen.renamed(x, names)
    if not before:
        return x
    x = _seen.each(x, lambda view: _views.merged(view, before, olds, "flat"))
    if not after:
        return _seen.each(x, lambda v: _views.taken(v, "flat", 0, {"flat": 1}))
    return _seen.each(x, lambda view: _views.parted(view, "flat", news, new))


# Parts --------------------------------------------------------------------------------


def slice_(eq: Equation, x: Seen) -> Seen:
    starts, out = eq.params["start_indices"], eq.outputs[0]
    strides = eq.params["strides"] or (1,) * len(starts)
    for axis, (start, stride) in enumerate(zip(starts, strides, strict=True)):
        x = _seen.through(x, axis, Window(s=stride, lo=-start), out[axis])
    return x


def split(eq: Equation, x: Seen) -> list[Seen]:
    axis, start, parts = eq.params["axis"], 0, list[Seen]()
    for size in map(int, eq.params["sizes"]):
        parts.append(_seen.through(x, axis, Window(lo=-start), size))
        start += size
    return parts


def unstack(eq: Equation, x: Seen) -> list[Seen]:
    axis, rank = eq.params["axis"], len(eq.inputs[0])
    parts = [_seen.taken(eq, x, axis, i) for i in range(len(eq.outputs))]
    return [_seen.without(part, [axis], rank) for part in parts]


def pad(eq: Equation, x: Seen, value: Seen) -> Seen:
    for axis, (low, _, interior) in enumerate(eq.params["padding_config"]):
        x = _seen.through(x, axis, Window(lo=low, b=interior + 1), eq.outputs[0][axis])
    return _seen.union([x, value], eq.of(eq.outputs[0]))


def rev(eq: Equation, x: Seen) -> Seen:
    for axis in eq.params["dimensions"]:
        size = eq.inputs[0][axis]
        x = _seen.through(x, axis, Window(s=-1, lo=1 - size), size)
    return x


def tile(eq: Equation, x: Seen) -> Seen:
    for axis, times in enumerate(eq.params["reps"]):
        if times > 1:
            size = eq.inputs[0][axis]
            x = _seen.along(
                x, axis, lambda v, n=(times, size): _lattice.merge(None, v, n)
            )
    return x


def concatenate(eq: Equation, *operands: Seen) -> Seen:
    return _joined(eq, operands, eq.params["dimension"], eq.inputs)


def stack(eq: Equation, *operands: Seen) -> Seen:
    axis = eq.params["axis"]
    rank = len(eq.inputs[0])
    names = {old: old + (old >= axis) for old in range(rank)}
    shape = (*eq.inputs[0][:axis], 1, *eq.inputs[0][axis:])
    return _joined(
        eq, [_seen.renamed(x, names) for x in operands], axis, [shape] * len(operands)
    )


def _joined(
    eq: Equation, operands: Sequence[Seen], axis: int, shapes: Sequence[Shape]
) -> Seen:
    sizes = [shape[axis] for shape in shapes]
    return {
        source: tuple(
            _joined_views(eq, views, axis, sizes)
            for views in zip(*_present(operands, source), strict=True)
        )
        for source in dict.fromkeys(s for x in operands for s in x)
    }


def _present(operands: Sequence[Seen], source: int) -> list[tuple[_views.View, ...]]:
    """The views of each operand; empty ones if it does not depend on the input."""
    some = next(x[source] for x in operands if source in x)
    none = tuple(view._replace(terms={}, unknown=frozenset()) for view in some)
    return [x.get(source, none) for x in operands]


def _joined_views(
    eq: Equation, views: Sequence[_views.View], axis: int, sizes: Sequence[int]
) -> _views.View:
    """Concatenates along the joined axis, and takes the union along all others."""
    shape = eq.of(eq.outputs[0])
    result = _views.nothing(views)
    rests = dict.fromkeys(key - {axis} for view in views for key in view.terms)
    for rest in rests:
        pieces = [
            [term for key, term in view.terms.items() if key - {axis} == rest]
            for view in views
        ]
        if any(axis in term.along for terms in pieces for term in terms):
            one, broken = _in_a_row(pieces, axis, sizes)
            terms = {rest | {axis}: one}
            if broken:
                result = result._replace(notes=result.notes | {BORDER})
            result = _views.union(result, result._replace(terms=terms), shape)
            continue
        for term in itertools.chain(*pieces):
            result = _views.union(result, result._replace(terms={rest: term}), shape)
    return result


def _in_a_row(
    pieces: Sequence[Sequence[_views.Term]], axis: int, sizes: Sequence[int]
) -> tuple[_views.Term, bool]:
    """Concatenates terms that differ along the joined axis only into one term."""
    parts: list[tuple[Lattice | None, int]] = []
    for terms, size in zip(pieces, sizes, strict=True):
        lattice: Lattice | None = None
        for term in terms:
            own = term.along.get(axis, constant(0, 0)).plus(term.lo, term.hi)
            lattice = own if lattice is None else _lattice.union(lattice, own, size)
        parts.append((lattice, size))
    lattice, broken = _lattice.concatenate(parts)
    along = {**next(itertools.chain(*pieces)).along, axis: lattice}
    return _views.Term(0, 0, along), broken
