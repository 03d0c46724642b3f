"""The contents of a summary, as plain data."""

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
    for each input that is an image, one entry per spatial axis: the elements that a
    unit of the result depends on.  An entry is None if it is not known, and ``unknown``
    says why.  Its stride is the mean one, and None if units do not advance regularly.
    ``padding`` follows from the windows; it is negative for elements that no window
    reads.  ``gain`` is the approximate ratio of lax's time to jaxconv's on a CPU, if a
    layer of similar sizes has been measured, else None.
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
        """Floating-point operations, two per multiply-add."""
        return 2 * self.multiply_adds

    @property
    def intensity(self) -> float:
        """Arithmetic intensity: flops per byte moved."""
        return self.flops / self.bytes if self.bytes else 0.0


@dataclass(frozen=True, slots=True)
class Product:
    """A matrix product (`dot_general`), which is a dense layer if it has parameters."""

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
    """Sums over all convolutions, each multiplied by the number of its runs.

    A shared parameter is counted once.  ``parameters_elsewhere`` counts the parameters
    that are no kernel or bias of a convolution, ``parameters_products`` of them in
    matrix products.  ``parameters_unused`` counts arrays of the model that the function
    does not use.  ``products`` is the number of multiply-adds of matrix products.
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
    """The data of a `Summary`, for the modules that render it."""

    layers: tuple[Layer, ...]
    products: tuple[Product, ...]
    totals: Totals
    others: Mapping[str, int]
    inputs: Mapping[str, Shape]
    results: tuple[Fields, ...]
    unknown: tuple[tuple[str, str], ...]
    platform: str
