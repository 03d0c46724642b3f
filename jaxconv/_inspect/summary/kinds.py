"""Kinds of layers and their colours, which are distinct for colour-blind readers."""

from __future__ import annotations

import math
from typing import Any

COLOURS = {
    "convolution": "#0072b2",
    "pointwise": "#56b4e9",
    "depthwise": "#cc79a7",
    "grouped": "#d55e00",
    "transposed": "#e69f00",
    "kernel gradient": "#8a9097",
    "dense": "#009e73",
    "product": "#9bc8b8",
}


def kind_of(layer: Any) -> str:
    """The kind of a `Layer` or a `Product`, with subdivisions of convolutions."""
    if layer.kind != "convolution":
        return layer.kind
    if layer.groups > 1:
        # In a depthwise layer each result is a sum over the window alone.
        alone = layer.multiply_adds == math.prod((*layer.result, *layer.window))
        return "depthwise" if alone else "grouped"
    return "pointwise" if set(layer.window) == {1} else "convolution"
