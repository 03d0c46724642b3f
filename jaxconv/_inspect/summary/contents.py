"""What a summary contains, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jaxconv._core.geometry import Ints
from jaxconv._core.spec import Shape
from jaxconv._ops.arithmetic import ReceptiveField

Fields = Mapping[str, tuple[ReceptiveField | None, ...]]


@dataclass(frozen=True, slots=True)
class Layer:
    """One convolution of a summarized function.

    All numbers are those of one run; it runs ``times`` times.  ``receptive_field`` has,
    for each input that is an image, what a unit of the result sees of each of its
    axes of space, None where that is not known; ``unknown`` says why.  Its step is the
    mean one, and None where there is no rule.  ``padding`` is what the windows reach,
    negative for elements that no window does.  ``gain`` is lax's time over jaxconv's on
    a CPU, about, where a layer of like sizes was measured, and None elsewhere.
    """

    name: str
    kind: str
    image: Shape
    kernel: Shape
    result: Shape
    dtype: str
    window: Ints
    stride: Ints
    dilation: Ints
    padding: tuple[tuple[int, int], ...]
    groups: int
    times: int
    parameters: int
    multiply_adds: int
    multiply_adds_valid: int
    bytes: int
    receptive_field: Fields
    lowering: str
    reason: str
    gain: float | None
    notes: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def flops(self) -> int:
        """Two for each multiply-add."""
        return 2 * self.multiply_adds

    @property
    def intensity(self) -> float:
        """Arithmetic intensity, flops per byte moved."""
        return self.flops / self.bytes if self.bytes else 0.0


@dataclass(frozen=True, slots=True)
class Product:
    """A matrix product (`dot_general`): a dense layer, where it has parameters."""

    name: str
    left: Shape
    right: Shape
    result: Shape
    dtype: str
    times: int
    parameters: int
    multiply_adds: int
    bytes: int

    @property
    def kind(self) -> str:
        return "dense" if self.parameters else "product"


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over all convolutions, each as often as it runs.

    A parameter that several share is counted once.  ``parameters_elsewhere`` are those
    that no convolution has as its kernel or bias, among them ``parameters_products`` of
    matrix products; ``parameters_unused`` are arrays of the model that the function
    does not use.  ``products`` are the multiply-adds of matrix products.
    """

    convolutions: int
    parameters: int
    parameters_products: int
    parameters_elsewhere: int
    parameters_unused: int
    multiply_adds: int
    multiply_adds_valid: int
    products: int
    bytes: int

    @property
    def flops(self) -> int:
        return 2 * self.multiply_adds

    @property
    def intensity(self) -> float:
        return self.flops / self.bytes if self.bytes else 0.0

    @property
    def work(self) -> int:
        """Multiply-adds of convolutions and of matrix products."""
        return self.multiply_adds + self.products


@dataclass(frozen=True, slots=True)
class Contents:
    """All that `Summary` holds, for the modules that draw it."""

    layers: tuple[Layer, ...]
    products: tuple[Product, ...]
    totals: Totals
    others: Mapping[str, int]
    inputs: Mapping[str, Shape]
    results: tuple[Fields, ...]
    unknown: tuple[tuple[str, str], ...]
    platform: str
