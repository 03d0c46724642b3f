"""Slices and gathers at computed positions, which are followed if constant."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxconv._inspect.summary import lattice as _lattice
from jaxconv._inspect.summary import seen as _seen
from jaxconv._inspect.summary import views as _views
from jaxconv._inspect.summary.lattice import Lattice, Window
from jaxconv._inspect.summary.seen import BORDER, Equation, Seen


def dynamic_slice(eq: Equation, x: Seen, *starts: Seen) -> Seen:
    """A slice at known positions; an axis of unchanged size needs no position."""
    for axis, size in enumerate(eq.outputs[0]):
        if size == eq.inputs[0][axis]:
            continue
        start = eq.known(1 + axis)
        if start is None:
            x = _lost(x, axis, "dynamic_slice")
        else:
            first = int(np.clip(start, 0, eq.inputs[0][axis] - size))
            x = _seen.through(x, axis, Window(lo=-first), size)
    return _seen.union([x, _seen.everything(starts)], eq.of(eq.outputs[0]))


def _lost(x: Seen, axis: int, reason: str) -> Seen:
    """Marks the dependence along one axis as unknown."""

    def change(view: _views.View) -> _views.View:
        if axis not in view.axes or view.whole:
            return view
        return _views.unknown(view, reason)

    return _seen.each(x, change)


def dynamic_update_slice(eq: Equation, x: Seen, update: Seen, *starts: Seen) -> Seen:
    """The union of both operands; an update at an unknown position is unknown."""
    sizes = eq.of(eq.outputs[0])
    for axis, size in enumerate(eq.inputs[1]):
        if size == eq.inputs[0][axis]:
            continue
        start = eq.known(2 + axis)
        if start is None:
            update = _lost(update, axis, "dynamic_update_slice")
            continue
        full = eq.inputs[0][axis]
        first = int(np.clip(start, 0, full - size))

        def placed(lattice: Lattice, low: int = first, n: int = size, to: int = full):
            pieces = [(None, low), (lattice, n), (None, to - low - n)]
            return _lattice.concatenate(pieces)[0]

        update = _seen.along(update, axis, placed)
    return _seen.union([x, update, _seen.everything(starts)], sizes)


def gather(eq: Equation, x: Seen, indices: Seen) -> Seen:
    """`jnp.take` along one axis with constant indices; other gathers are unknown."""
    taken = _take_axis(eq)
    if taken is None:
        return _seen.unknown([x, indices], "gather")
    axis, batch = taken
    index = eq.known(1)
    kept = [a for a in range(len(eq.inputs[0])) if a != axis]
    names = dict(zip(kept, eq.params["dimension_numbers"].offset_dims, strict=True))
    if index is None:
        x = _lost(x, axis, "gather with indices that are not constants")
        return _seen.union(
            [_seen.renamed(x, names), _seen.everything([indices])],
            eq.of(eq.outputs[0]),
        )
    flat = np.clip(index.reshape(-1).astype(int), 0, eq.inputs[0][axis] - 1)
    sizes = [eq.outputs[0][place] for place in batch]
    x = picked(eq, x, axis, flat, flat, "flat")
    x = _seen.renamed(x, {k: f"new{v}" for k, v in names.items()})
    new = [f"new{place}" for place in batch]
    if batch:
        x = _seen.each(x, lambda view: _views.parted(view, "flat", sizes, new))
    else:
        x = _seen.each(x, lambda view: _views.taken(view, "flat", 0, {"flat": 1}))
    return _seen.renamed(x, {f"new{a}": a for a in range(len(eq.outputs[0]))})


def _take_axis(eq: Equation) -> tuple[int, list[int]] | None:
    numbers, shape = eq.params["dimension_numbers"], eq.inputs[0]
    if len(numbers.start_index_map) != 1 or numbers.operand_batching_dims:
        return None
    (axis,) = numbers.start_index_map
    full = (*shape[:axis], 1, *shape[axis + 1 :])
    if numbers.collapsed_slice_dims != (axis,) or eq.params["slice_sizes"] != full:
        return None
    rank = len(eq.outputs[0])
    return axis, [a for a in range(rank) if a not in numbers.offset_dims]


def picked(eq: Equation, x: Seen, axis: int, lo: Any, hi: Any, to: _views.Axis) -> Seen:
    """Replaces an axis: position q of axis ``to`` reads lo[q] to hi[q] of ``axis``."""
    reads, broken = _lattice.fit(lo, hi, eq.inputs[0][axis])
    if broken:
        x = _seen.each(x, lambda view: _views.noted(view, axis, BORDER))
    x = _seen.along(x, axis, lambda v: _lattice.compose(v, reads, len(lo)))
    return _seen.renamed(x, {axis: to})
