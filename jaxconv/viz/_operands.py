"""The two operands of a picture: sizes, or arrays whose numbers stand in the cells."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jaxconv._border import arguments as can
from jaxconv._core.geometry import Ints
from jaxconv.viz._frames import LINE
from jaxconv.viz._setting import Place, Setting
from jaxconv.viz._symbols import Sum, letters

Sized = int | tuple[int, ...] | np.ndarray


class Operands(NamedTuple):
    """Sizes, and with numbers the arrays, two axes each."""

    size: Ints
    kernel: Ints
    x: np.ndarray | None
    w: np.ndarray | None

    @property
    def letters(self) -> bool:
        """Whether sums are written out rather than computed."""
        return self.x is not None and self.x.dtype == object


def read_operands(input: Any, kernel: Any) -> Operands:
    """Both as sizes, or both as arrays of one or two axes."""
    given = {"input": input, "kernel": kernel}
    shaped = {name: hasattr(value, "shape") for name, value in given.items()}
    if shaped["input"] != shaped["kernel"]:
        (name,) = (name for name in given if not shaped[name])
        rule = "is a size, but the other operand is an array"
        can.fail(name, given[name], rule, "Give two sizes, or two arrays")
    if not shaped["input"]:
        return Operands(*_sizes(given), None, None)
    x, w = (np.asarray(value) for value in given.values())
    if x.dtype.kind == w.dtype.kind == "U":
        x, w = letters(x), letters(w)
    if x.ndim != w.ndim or x.ndim not in (1, 2) or 0 in (*x.shape, *w.shape):
        rule = f"and kernel.shape={w.shape} are not two arrays of one or two axes"
        can.fail("input.shape", x.shape, rule, "Give spatial axes only, no channels")
    return Operands(x.shape, w.shape, np.atleast_2d(x), np.atleast_2d(w))


def _sizes(given: dict[str, Any]) -> tuple[Ints, Ints]:
    lengths = {len(v) for v in given.values() if can.is_sequence(v)} or {1}
    if len(lengths) > 1 or not lengths <= {1, 2}:
        rule = f"and kernel={given['kernel']!r} are not sizes on one or two axes"
        can.fail("input", given["input"], rule, "Give an int, or a pair of ints")
    (ndim,) = lengths
    size, kernel = (can.ints(name, value, ndim, 1) for name, value in given.items())
    return size, kernel


def convolve(setting: Setting, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """y[p] = sum of w[t] x[p*s + t*d - lo], term by term."""
    y = np.zeros(setting.geometry.output, np.result_type(x, w))
    for position in setting.positions:
        for read in setting.reads(position):
            if read.source is not None:
                y[position] += x[read.source] * w[read.tap]
    return y


def scatter(
    setting: Setting, y: np.ndarray, w: np.ndarray, count: int | None = None
) -> np.ndarray:
    """The transpose of `convolve`, of the first ``count`` elements of y or of all."""
    x = np.zeros(setting.geometry.input, np.result_type(y, w))
    for position in setting.positions[:count]:
        for read in setting.reads(position):
            if read.source is not None:
                x[read.source] += y[position] * w[read.tap]
    return x


def number(value: Any) -> str:
    """A number that fits into a cell."""
    if isinstance(value, Sum):
        return str(value)
    text = f"{value:g}"
    return text if len(text) <= 4 else f"{value:.2g}"


def value_at(values: np.ndarray | None, place: Place) -> str:
    """What stands in a cell: nothing without numbers, or outside of them."""
    if values is None:
        return ""
    inside = all(0 <= c < n for c, n in zip(place, values.shape, strict=True))
    return number(values[place]) if inside else ""


def sum_of(products: list[tuple[Any, Any]], total: Any, name: str) -> str:
    """A sum written out, up to nine terms or what fits on two lines."""
    if isinstance(total, Sum):
        return f"{name} = {total.replace('+', ' + ')}"
    parts = " + ".join(f"{factor(a)}·{factor(b)}" for a, b in products)
    text = f"{name} = {parts} = {number(total)}"
    if parts and (len(products) <= WRITTEN or len(text) <= 2 * LINE):
        return text
    return f"{name} = sum of {len(products)} products = {number(total)}"


def factor(value: Any) -> str:
    text = number(value)
    return f"({text})" if text.startswith("-") else text


WRITTEN = 9  # terms of a 3x3 window
