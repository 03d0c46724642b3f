"""From what a walk found to a `Summary`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxconv._inspect.summary import views as _views
from jaxconv._inspect.summary.lattice import Lattice
from jaxconv._inspect.summary.report import Fields, Layer, Summary, Totals
from jaxconv._inspect.summary.seen import Seen
from jaxconv._inspect.summary.views import Axis, View
from jaxconv._inspect.summary.walk import Row, Value, Walk
from jaxconv._ops.arithmetic import ReceptiveField

Space = Mapping[int, Sequence[int]]  # the axes of space of each input that is an image


class Source(NamedTuple):
    """An array that the function is given or, as argument -1, has in its closure."""

    name: str
    argument: int
    aval: Any

    @property
    def size(self) -> int:
        return math.prod(self.aval.shape)


def collect(walk: Walk, results: Sequence[Value], sources: list[Source]) -> Summary:
    space = _images(walk, sources)
    names = {number: sources[number].name for number in space}
    rows = list(walk.rows.values())
    return Summary(
        layers=tuple(_layer(walk, row, sources, space, names) for row in rows),
        totals=_totals(walk, rows, sources, space),
        inputs={name: tuple(sources[n].aval.shape) for n, name in names.items()},
        results=tuple(
            _fields(walk, v.seen, v.shape, range(len(v.shape)), space, names)
            for v in results
        ),
        unknown=tuple((lost.primitive, lost.name) for lost in walk.lost.values()),
        platform=walk.platform,
    )


# Which inputs are images --------------------------------------------------------------


def _images(walk: Walk, sources: list[Source]) -> Space:
    """Inputs whose axes run along with the space of some convolution.

    An argument that alone gives some convolution its kernel holds parameters, so its
    leaves are none.  Without convolutions every array is an image, on all axes.
    """
    given = [n for n, source in enumerate(sources) if source.argument >= 0]
    if not walk.rows:
        return {n: range(len(sources[n].aval.shape)) for n in given}
    holders = [{sources[n].argument for n in row.roots} for row in walk.rows.values()]
    parameters = {next(iter(held)) for held in holders if len(held) == 1}
    roots = {n for row in walk.rows.values() for n in row.roots}
    images = [n for n in given if walk.images.get(n)]
    apart = [n for n in images if sources[n].argument not in parameters]
    chosen = apart or [n for n in images if n not in roots]
    return {n: sorted(walk.images[n]) for n in chosen}


# Layers -------------------------------------------------------------------------------


def _layer(
    walk: Walk, row: Row, sources: list[Source], space: Space, names: Mapping[int, str]
) -> Layer:
    r = row.reading
    image, kernel, result = row.shapes
    fields = _fields(walk, row.seen, result, row.space, space, names)
    views = [row.seen[n][axis] for n in space if n in row.seen for axis in space[n]]
    views = views if row.space else []
    return Layer(
        name=row.name,
        kind=r.kind,
        image=image,
        kernel=kernel,
        result=result,
        dtype=row.dtype,
        window=r.window,
        stride=r.stride,
        dilation=r.dilation,
        padding=r.padding,
        groups=r.groups,
        times=row.times,
        parameters=_kernel_parameters(row, space) + _bias_size(row, sources),
        multiply_adds=r.multiply_adds,
        multiply_adds_valid=r.multiply_adds_valid,
        bytes=row.bytes,
        receptive_field=fields,
        lowering=r.lowering,
        reason=r.reason,
        notes=tuple(sorted(row.notes.union(*(view.notes for view in views)))),
        unknown=tuple(sorted(frozenset[str]().union(*(v.unknown for v in views)))),
    )


def _kernel_parameters(row: Row, space: Space) -> int:
    """None where the kernel is computed from an image, or from nothing at all."""
    if row.reading.windows is None or not row.roots or row.roots & set(space):
        return 0
    return math.prod(row.shapes[1]) * row.copies


def _bias_size(row: Row, sources: list[Source]) -> int:
    return 0 if row.bias is None else sources[row.bias].size


# Totals -------------------------------------------------------------------------------


def _totals(walk: Walk, rows: list[Row], sources: list[Source], space: Space) -> Totals:
    """A kernel that several share has the same roots: their parameters count once."""
    used: dict[frozenset[int], int] = {}
    for row in rows:
        if row.reading.windows is not None and not row.roots & set(space):
            size = _kernel_parameters(row, space)
            used[row.roots] = used.get(row.roots, 0) + size
        if row.bias is not None:
            used[frozenset({row.bias})] = sources[row.bias].size
    taken = frozenset[int]().union(*used)
    parameters = sum(
        min(size, sum(sources[n].size for n in roots)) for roots, size in used.items()
    )
    everywhere = sum(
        source.size
        for n, source in enumerate(sources)
        if n not in space and jnp.issubdtype(source.aval.dtype, jnp.inexact)
    )
    elsewhere = everywhere - sum(sources[n].size for n in taken)
    return Totals(
        convolutions=sum(row.times for row in rows),
        parameters=parameters,
        parameters_elsewhere=elsewhere,
        multiply_adds=_sum(rows, lambda row: row.reading.multiply_adds),
        multiply_adds_valid=_sum(rows, lambda row: row.reading.multiply_adds_valid),
        products=sum(walk.products.values()),
        bytes=_sum(rows, lambda row: row.bytes),
    )


def _sum(rows: Iterable[Row], count: Any) -> int:
    return sum(row.times * count(row) for row in rows)


# Fields -------------------------------------------------------------------------------


def _fields(
    walk: Walk,
    seen: Seen,
    shape: Sequence[int],
    units: Sequence[int],
    space: Space,
    names: Mapping[int, str],
) -> Fields:
    """What a unit sees of each image; ``units`` are the axes along which it moves."""
    if not units:
        return {}
    sizes: dict[Axis, int] = {**dict(enumerate(shape)), **walk.labels}
    return {
        names[n]: tuple(_field(seen[n][axis], units, sizes) for axis in space[n])
        for n in space
        if n in seen
    }


def _field(
    view: View, units: Sequence[int], sizes: Mapping[Axis, int]
) -> ReceptiveField | None:
    for axis in view.axes - set(units):
        view = _views.dropped(view, axis, sizes)
    if view.unknown or not view.terms:
        return None
    if view.whole:
        return ReceptiveField(view.size, 0, 0)
    terms = list(view.terms.values())
    if any(len(term.along) > 1 for term in terms) or len(view.axes) > 1:
        return None
    if not view.axes:
        (term,) = terms
        return ReceptiveField(term.hi - term.lo + 1, 0, term.lo)
    (axis,) = view.axes
    ruled = _ruled(terms[0].single()) if len(terms) == 1 else None
    return ruled or _listed(view, axis, sizes[axis])


def _ruled(single: tuple[Axis, Lattice] | None) -> ReceptiveField | None:
    if single is None or single[1].shift is None:
        return None
    lattice = single[1]
    size = int(np.max(lattice.hi - lattice.lo)) + 1
    step: Any = Fraction(lattice.shift or 0, lattice.period)
    step = int(step) if step.denominator == 1 else step
    first = int(np.argmax(lattice.lo <= lattice.hi))
    return ReceptiveField(size, step, int(lattice.lo[first]))


def _listed(view: View, axis: Axis, size: int) -> ReceptiveField | None:
    """Without a rule: the largest of all stretches, no step."""
    sides = [
        term.along[axis].plus(term.lo, term.hi).read(np.arange(size))
        if axis in term.along
        else (np.full(size, term.lo), np.full(size, term.hi))
        for term in view.terms.values()
    ]
    lo = np.min([low for low, _ in sides], axis=0)
    hi = np.max([high for _, high in sides], axis=0)
    if not size or np.all(lo > hi):
        return None
    step: Any = None
    return ReceptiveField(int((hi - lo).max()) + 1, step, int(lo[np.argmax(lo <= hi)]))
