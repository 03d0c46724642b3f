"""The result of `summarize`: plain data, its text and its JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from jaxconv._core.geometry import Ints
from jaxconv._core.spec import Shape
from jaxconv._inspect.summary import html as _html
from jaxconv._inspect.summary import table as _table
from jaxconv._ops.arithmetic import ReceptiveField

Fields = Mapping[str, tuple[ReceptiveField | None, ...]]


@dataclass(frozen=True, slots=True)
class Layer:
    """One convolution of a summarized function.

    All numbers are those of one run; it runs ``times`` times.  ``receptive_field`` has,
    for each input that is an image, what a unit of the result sees of each of its
    axes of space, None where that is not known; ``unknown`` says why.  Its step is the
    mean one, and None where there is no rule.  ``padding`` is what the windows reach,
    negative for elements that no window does.
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
class Summary:
    """What `summarize` found; print it, or take ``layers`` and ``totals`` from it.

    ``layers`` are the convolutions, ``products`` the matrix products, and ``others``
    the parameters of neither, by name.  ``inputs`` are the images with their shapes,
    ``results`` what each result of the function sees of them, and ``unknown`` the
    operations that were not followed, with the place each stands at.
    """

    layers: tuple[Layer, ...]
    products: tuple[Product, ...]
    totals: Totals
    others: Mapping[str, int]
    inputs: Mapping[str, Shape]
    results: tuple[Fields, ...]
    unknown: tuple[tuple[str, str], ...]
    platform: str

    def __str__(self) -> str:
        return _table.table(self)

    def _repr_html_(self) -> str:
        return _html.document(self)

    def to_json(self, *, indent: int | None = 2) -> str:
        """Everything as JSON; a step that is no whole number is a float."""
        layers = [
            _plain(layer) | {"flops": layer.flops, "intensity": layer.intensity}
            for layer in self.layers
        ]
        totals = asdict(self.totals) | {
            "flops": self.totals.flops,
            "intensity": self.totals.intensity,
        }
        content = {
            "format": "jaxconv summary 1",
            "platform": self.platform,
            "inputs": dict(self.inputs),
            "layers": layers,
            "products": [asdict(p) | {"kind": p.kind} for p in self.products],
            "totals": totals,
            "others": dict(self.others),
            "results": [_fields(found) for found in self.results],
            "unknown": [
                {"primitive": primitive, "name": name}
                for primitive, name in self.unknown
            ],
        }
        return json.dumps(content, indent=indent)

    def plot(self) -> Any:
        """A matplotlib figure: work and receptive field, layer by layer.

        Needs `pip install 'jaxconv[viz]'`.
        """
        from jaxconv._inspect.summary import picture as _picture

        return _picture.picture(self)


def _plain(layer: Layer) -> dict[str, Any]:
    names = [name for name in Layer.__slots__ if name != "receptive_field"]
    found = {name: getattr(layer, name) for name in names}
    return found | {"receptive_field": _fields(layer.receptive_field)}


def _fields(fields: Fields) -> dict[str, Any]:
    return {name: [_field(field) for field in found] for name, found in fields.items()}


def _field(field: ReceptiveField | None) -> dict[str, Any] | None:
    if field is None:
        return None
    stride: Any = field.stride
    number = float(stride) if isinstance(stride, Fraction) else stride
    return {"size": field.size, "stride": number, "start": field.start}
