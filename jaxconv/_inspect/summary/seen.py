"""What a value sees of all inputs, and how an equation changes that.

``Seen`` maps the number of an input to a view of each of its axes.  An input that is
not in it has no influence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxconv._core.spec import Shape
from jaxconv._inspect.summary import views as _views
from jaxconv._inspect.summary.lattice import Lattice, Window, window
from jaxconv._inspect.summary.views import Axis, View

Seen = Mapping[int, tuple[View, ...]]
NOTHING: Seen = {}
BORDER = "a border was filled with elements from elsewhere; fields are those inside"


class Equation(NamedTuple):
    """What a rule may ask about an equation."""

    params: Mapping[str, Any]
    inputs: Sequence[Shape]
    outputs: Sequence[Shape]
    labels: Mapping[Axis, int]  # sizes of the axes that are words
    known: Callable[[int], np.ndarray | None]  # an operand's value, if a constant

    def sizes(self, operand: int = 0) -> dict[Axis, int]:
        return self.of(self.inputs[operand])

    def of(self, shape: Shape) -> dict[Axis, int]:
        return {**dict(enumerate(shape)), **self.labels}


def each(seen: Seen, change: Callable[[View], View]) -> Seen:
    return {source: tuple(map(change, views)) for source, views in seen.items()}


def union(many: Iterable[Seen], sizes: Mapping[Axis, int]) -> Seen:
    result: dict[int, tuple[View, ...]] = {}
    for seen in many:
        for source, views in seen.items():
            old = result.get(source)
            if old is None or old is views:
                result[source] = views
                continue
            pairs = zip(old, views, strict=True)
            result[source] = tuple(_views.union(a, b, sizes) for a, b in pairs)
    return result


def along(seen: Seen, axis: Axis, change: Callable[[Lattice], Lattice]) -> Seen:
    return each(seen, lambda view: _views.changed(view, axis, change))


def through(seen: Seen, axis: Axis, w: Window, size: int) -> Seen:
    """What the ``size`` positions see that read an axis through a window."""
    if w.plain:
        return seen
    return along(seen, axis, lambda lattice: window(lattice, w, size))


def renamed(seen: Seen, names: Mapping[Any, Axis]) -> Seen:
    return each(seen, lambda view: _views.renamed(view, names))


def dropped(seen: Seen, axes: Iterable[Axis], sizes: Mapping[Axis, int]) -> Seen:
    """All positions of these axes together; the other axes keep their numbers."""
    for axis in axes:
        seen = each(seen, lambda view, axis=axis: _views.dropped(view, axis, sizes))
    return seen


def without(seen: Seen, axes: Sequence[int], rank: int) -> Seen:
    """Numbered anew once these axes, which nothing depends on, are gone."""
    gone = {axis % rank for axis in axes} if rank else set[int]()
    kept = [axis for axis in range(rank) if axis not in gone]
    return renamed(seen, {old: new for new, old in enumerate(kept)})


def unknown(many: Iterable[Seen], reason: str) -> Seen:
    """Where an operation is not understood; what sees all of an axis still does."""

    def change(view: View) -> View:
        return _views.whole(view.size) if view.whole else _views.unknown(view, reason)

    return union((each(seen, change) for seen in many), {})


def everything(many: Iterable[Seen]) -> Seen:
    """Where each element of the result depends on all of the operands."""
    return {
        source: tuple(_views.whole(view.size) for view in views)
        for seen in many
        for source, views in seen.items()
    }


def taken(eq: Equation, x: Seen, axis: int, position: int, operand: int = 0) -> Seen:
    """One position of an axis, which is gone; the others keep their numbers."""
    sizes = eq.sizes(operand)
    return each(x, lambda view: _views.taken(view, axis, position, sizes))
