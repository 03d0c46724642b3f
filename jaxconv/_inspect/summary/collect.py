"""Builds a `Summary` from what the interpretation of a jaxpr has recorded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from jaxconv._inspect.summary import views as _views
from jaxconv._inspect.summary.contents import Fields, Layer, Product, Totals
from jaxconv._inspect.summary.found import Product as Walked
from jaxconv._inspect.summary.found import Row, Value
from jaxconv._inspect.summary.gains import gain
from jaxconv._inspect.summary.lattice import Lattice
from jaxconv._inspect.summary.parameters import Parameters, Source, Space, layer_names
from jaxconv._inspect.summary.report import Summary
from jaxconv._inspect.summary.seen import Seen
from jaxconv._inspect.summary.views import Axis, View
from jaxconv._inspect.summary.walk import Walk
from jaxconv._ops.arithmetic import ReceptiveField


def collect(
    walk: Walk, results: Sequence[Value], sources: list[Source], unused: int = 0
) -> Summary:
    space = _images(walk, sources)
    names = {number: sources[number].name for number in space}
    rows, products = list(walk.rows.values()), list(walk.products.values())
    parameters = Parameters(rows, products, sources, space)
    called = layer_names(
        [(row.name, row.reading.kind, parameters.of_row(row)) for row in rows]
        + [(p.name, "product", parameters.of_product(p)) for p in products],
        sources,
    )
    return Summary(
        layers=tuple(
            _layer(walk, row, name, parameters, space, names)
            for row, name in zip(rows, called, strict=False)
        ),
        products=tuple(
            _product(product, name, parameters)
            for product, name in zip(products, called[len(rows) :], strict=True)
        ),
        totals=_totals(rows, products, parameters, unused),
        others=parameters.others(),
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
    """The inputs that are images, with their spatial axes.

    An input is an image if the spatial axes of some convolution's result depend on the
    positions along its axes.  If the kernel of some convolution comes from one argument
    alone, that argument holds parameters, and its arrays are no images.  Without any
    convolution every array is an image, on all axes.
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
    walk: Walk, row: Row, name: str, parameters: Parameters, space: Space,
    names: Mapping[int, str],
) -> Layer:  # fmt: skip
    r = row.reading
    image, kernel, result = row.shapes
    fields = _fields(walk, row.seen, result, row.space, space, names)
    views = [row.seen[n][axis] for n in space if n in row.seen for axis in space[n]]
    views = views if row.space else []
    return Layer(
        name=name,
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
        parameters=parameters.size_of_row(row),
        multiply_adds=r.multiply_adds,
        multiply_adds_valid=r.multiply_adds_valid,
        bytes=row.bytes,
        receptive_field=fields,
        lowering=r.lowering,
        reason=r.reason,
        gain=gain(r, row.shapes, row.dtype) if walk.platform == "cpu" else None,
        notes=tuple(sorted(row.notes.union(*(view.notes for view in views)))),
        unknown=tuple(sorted(frozenset[str]().union(*(v.unknown for v in views)))),
    )


def _product(product: Walked, name: str, parameters: Parameters) -> Product:
    return Product(
        name=name,
        left=product.shapes[0],
        right=product.shapes[1],
        result=product.shapes[2],
        dtype=product.dtype,
        times=product.times,
        parameters=parameters.size_of_product(product),
        multiply_adds=product.multiply_adds,
        bytes=product.bytes,
    )


def _totals(
    rows: list[Row], products: list[Walked], parameters: Parameters, unused: int
) -> Totals:
    convolutions, dense = parameters.convolutions, parameters.products
    return Totals(
        convolutions=sum(row.times for row in rows),
        parameters=convolutions,
        parameters_products=dense,
        parameters_elsewhere=parameters.everywhere - convolutions,
        parameters_unused=unused,
        multiply_adds=_sum(rows, lambda row: row.reading.multiply_adds),
        multiply_adds_valid=_sum(rows, lambda row: row.reading.multiply_adds_valid),
        products=sum(p.multiply_adds * p.times for p in products),
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
    """The receptive field of a unit in each image.

    ``units`` are the axes along which units are numbered.
    """
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
    """The field if intervals follow no rule: the largest interval, without a step."""
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
