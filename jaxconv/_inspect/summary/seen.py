"""What a value depends on, for all inputs, and how operations change that.

``Seen`` maps the number of an input to one `View` per axis of that input.  A value does
not depend on an input that is not in it.
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
    """An equation, as rules see it."""

    params: Mapping[str, Any]
    inputs: Sequence[Shape]
    outputs: Sequence[Shape]
    labels: Mapping[Axis, int]  # sizes of the named axes
    known: Callable[[int], np.ndarray | None]  # the value of a constant operand

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
    """The dependence of ``size`` positions that read an axis through a window."""
    if w.plain:
        return seen
    return along(seen, axis, lambda lattice: window(lattice, w, size))


def renamed(seen: Seen, names: Mapping[Any, Axis]) -> Seen:
    return each(seen, lambda view: _views.renamed(view, names))


def dropped(seen: Seen, axes: Iterable[Axis], sizes: Mapping[Axis, int]) -> Seen:
    """The union over all positions of these axes; other axes keep their numbers."""
    for axis in axes:
        seen = each(seen, lambda view, axis=axis: _views.dropped(view, axis, sizes))
    return seen


def without(seen: Seen, axes: Sequence[int], rank: int) -> Seen:
    """Renumbers the axes after these ones, which nothing depends on, are removed."""
    gone = {axis % rank for axis in axes} if rank else set[int]()
    kept = [axis for axis in range(rank) if axis not in gone]
    return renamed(seen, {old: new for new, old in enumerate(kept)})


def unknown(many: Iterable[Seen], reason: str) -> Seen:
    """The result of an unknown operation; dependence on a whole axis stays known."""

    def change(view: View) -> View:
        return _views.whole(view.size) if view.whole else _views.unknown(view, reason)

    return union((each(seen, change) for seen in many), {})


def everything(many: Iterable[Seen]) -> Seen:
    """The result of an operation whose elements depend on all of its operands."""
    return {
        source: tuple(_views.whole(view.size) for view in views)
        for seen in many
        for source, views in seen.items()
    }


def taken(eq: Equation, x: Seen, axis: int, position: int, operand: int = 0) -> Seen:
    """Selects one position of an axis; the other axes keep their numbers."""
    sizes = eq.sizes(operand)
    return each(x, lambda view: _views.taken(view, axis, position, sizes))
