"""What sums, maxima, windows and products depend on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxconv._inspect.summary import lattice as _lattice
from jaxconv._inspect.summary import seen as _seen
from jaxconv._inspect.summary.lattice import Window, listed
from jaxconv._inspect.summary.pick import picked
from jaxconv._inspect.summary.seen import NOTHING, Equation, Seen
from jaxconv._inspect.summary.views import Axis


def reduction(eq: Equation, *operands: Seen) -> Seen:
    axes = eq.params["axes"] if "axes" in eq.params else eq.params["dimensions"]
    rank, sizes = len(eq.inputs[0]), eq.sizes()
    x = _seen.union(operands, sizes)
    return _seen.without(_seen.dropped(x, axes, sizes), axes, rank)


def cumulative(eq: Equation, x: Seen) -> Seen:
    axis = eq.params["axis"]
    size = eq.inputs[0][axis]
    steps, none = np.arange(size), np.zeros(size, int)
    ends = (steps, none + size - 1) if eq.params["reverse"] else (none, steps)
    return _seen.along(x, axis, lambda v: _lattice.compose(v, listed(*ends), size))


def reduce_window(eq: Equation, *operands: Seen) -> Seen:
    names = ("window_dimensions", "window_strides", "window_dilation", "padding")
    k, s, d, pads = (eq.params[name] for name in names)
    base = eq.params["base_dilation"]
    x = _seen.union(operands, eq.sizes())
    for axis, size in enumerate(eq.outputs[0]):
        w = Window(k[axis], s[axis], d[axis], pads[axis][0], base[axis])
        x = _seen.through(x, axis, w, size)
    return x


def select_and_scatter_add(eq: Equation, source: Seen, x: Seen) -> Seen:
    """The gradient of max-pooling: all windows that contain an element."""
    names = ("window_dimensions", "window_strides", "padding")
    for axis, (k, s, pads) in enumerate(
        zip(*(eq.params[name] for name in names), strict=True)
    ):
        back = Window(k, 1, 1, k - 1 - pads[0], s)
        x = _seen.through(x, axis, Window(k, s, 1, pads[0]), eq.inputs[0][axis])
        both = _seen.union([source, x], {**eq.sizes(), axis: eq.inputs[0][axis]})
        source, x = _seen.through(both, axis, back, eq.outputs[0][axis]), NOTHING
    return source


def sort(eq: Equation, *operands: Seen) -> Seen:
    axis = eq.params["dimension"]
    return _seen.dropped(_seen.union(operands, eq.sizes()), [axis], eq.sizes())


def top_k(eq: Equation, x: Seen) -> Seen:
    axis = eq.params.get("axis", -1) % len(eq.inputs[0])
    return _seen.dropped(x, [axis], eq.sizes())


def fft(eq: Equation, x: Seen) -> Seen:
    rank = len(eq.inputs[0])
    axes = range(rank - len(eq.params["fft_lengths"]), rank)
    return _seen.dropped(x, axes, eq.sizes())


def dot_general(eq: Equation, x: Seen, y: Seen) -> Seen:
    contracted, batch = eq.params["dimension_numbers"]
    results: list[Seen] = []
    free = len(batch[0])
    for operand, seen in enumerate((x, y)):
        rank = len(eq.inputs[operand])
        summed, shared = contracted[operand], batch[operand]
        rest = [a for a in range(rank) if a not in (*summed, *shared)]
        names: dict[Axis, Axis] = {a: n for n, a in enumerate(shared)}
        names |= {a: free + n for n, a in enumerate(rest)}
        free += len(rest)
        other = None if (y, x)[operand] else _matrix(eq, 1 - operand)
        if other is not None and len(summed) == 1:
            place = len(batch[0]) + (len(eq.inputs[0]) - 1 if operand == 0 else 0)
            results.append(_times(eq, seen, operand, other, names, place))
            continue
        seen = _seen.dropped(seen, summed, eq.sizes(operand))
        results.append(_seen.renamed(seen, names))
    return _seen.union(results, eq.of(eq.outputs[0]))


def _matrix(eq: Equation, operand: int) -> Any:
    """The first and last nonzero row of each column of a constant matrix."""
    (summed, shared), shape = (
        (part[operand] for part in eq.params["dimension_numbers"]),
        eq.inputs[operand],
    )
    if len(shape) != 2 or len(summed) != 1 or shared:
        return None
    value = eq.known(operand)
    if value is None:
        return None
    weights = np.moveaxis(value, summed[0], 0) != 0
    first = np.argmax(weights, axis=0)
    last = len(weights) - 1 - np.argmax(weights[::-1], axis=0)
    empty = ~weights.any(axis=0)
    return np.where(empty, 1, first), np.where(empty, 0, last)


def _times(
    eq: Equation,
    x: Seen,
    operand: int,
    columns: Any,
    names: Mapping[Axis, Axis],
    place: int,
) -> Seen:
    """A product with a constant matrix, as in resizing: windows along one axis."""
    (axis,) = eq.params["dimension_numbers"][0][operand]
    asked = eq._replace(inputs=[eq.inputs[operand]])
    return _seen.renamed(
        picked(asked, x, axis, columns[0], columns[1], "column"),
        {**names, "column": place},
    )
