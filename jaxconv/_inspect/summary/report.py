"""The result of `summarize`: its data, its text and its JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from jaxconv._inspect.summary import html as _html
from jaxconv._inspect.summary import table as _table
from jaxconv._inspect.summary.contents import Contents, Fields, Layer
from jaxconv._ops.arithmetic import ReceptiveField


@dataclass(frozen=True, slots=True, repr=False)
class Summary(Contents):
    """The result of `summarize`; look at it, or use its fields.

    ``layers`` has the convolutions, ``products`` the matrix products, and ``others``
    the numbers of all other parameters, by name.  ``inputs`` has the images with their
    shapes, ``results`` the receptive field of each result in them, and ``unknown`` the
    operations that were not followed, each with its name stack.
    """

    def __repr__(self) -> str:
        """The table: a prompt shows it without a print."""
        return _table.table(self)

    def _repr_html_(self) -> str:
        return _html.document(self)

    def to_json(self, *, indent: int | None = 2) -> str:
        """Everything as JSON; a fractional stride becomes a float."""
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
        """A matplotlib figure of the work and the receptive field of each layer.

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
