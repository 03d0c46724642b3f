"""Records of the interpreter: values of a jaxpr, and the layers in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jaxconv._core.spec import Shape
from jaxconv._inspect.summary import views as _views
from jaxconv._inspect.summary.read import Reading
from jaxconv._inspect.summary.seen import Seen


class Constant:
    """A value that depends on no input, computed on first use."""

    def __init__(self, compute: Callable[[], Any]):
        self._compute: Callable[[], Any] | None = compute
        self._value: Any = None

    def value(self) -> Any:
        if self._compute is not None:
            self._value, self._compute = self._compute(), None
        return self._value


@dataclass(frozen=True, slots=True)
class Value:
    """An array of a jaxpr."""

    shape: Shape
    seen: Seen = field(default_factory=dict[int, tuple[_views.View, ...]])
    known: Constant | None = None
    leaf: int | None = None  # the input that it is, perhaps with other axes
    row: tuple[int, ...] | None = None  # the layer that it is the result of


class Row(NamedTuple):
    """A convolution; a loop records it in every step, and the last record counts."""

    reading: Reading
    name: str
    shapes: tuple[Shape, Shape, Shape]
    dtype: str
    bytes: int
    times: int
    seen: Seen
    space: tuple[int, ...]
    roots: frozenset[int]  # the inputs that the kernel comes from
    copies: int  # number of slices of these inputs, one per step of a scan
    bias: int | None = None
    notes: frozenset[str] = frozenset()


class Product(NamedTuple):
    """A matrix product."""

    name: str
    shapes: tuple[Shape, Shape, Shape]
    dtype: str
    bytes: int
    times: int
    multiply_adds: int
    roots: tuple[frozenset[int], frozenset[int]]  # the inputs of both operands
    copies: tuple[int, int]
    bias: int | None = None


class Lost(NamedTuple):
    """An operation that was not followed."""

    primitive: str
    name: str
