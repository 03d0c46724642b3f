"""The speedup over lax of a layer, from measurements of layers of similar sizes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jaxconv._core.geometry import Ints
from jaxconv._core.spec import Shape
from jaxconv._inspect.summary.read import Reading

# Sizes are similar up to these factors: the batch, and all others (inputs and outputs
# of a group, groups, and each spatial axis).
BATCH, OTHERS = 16.0, 2.0
ROLES = {"convolution": "output", "transposed": "input"}

_Key = tuple[str, str, Ints, Ints, Ints]  # role, dtype, window, stride, dilation


def gain(reading: Reading, shapes: tuple[Shape, Shape, Shape], dtype: str) -> Any:
    """lax's time divided by jaxconv's on the table's CPU; None without a similar layer.

    ``shapes`` are those of the image, the kernel and the result.
    """
    if reading.kind not in ROLES or reading.batch_groups > 1:
        return None
    role = ROLES[reading.kind]
    image, _, result = shapes
    batch, inputs, *space = (image[axis] for axis in reading.image_axes)
    _, outputs, *made = (result[axis] for axis in reading.result_axes)
    if role == "input":  # the table has the sizes of the matching convolution
        inputs, outputs, space = outputs, inputs, made
    g = reading.groups
    key = (role, dtype, reading.window, reading.stride, reading.dilation)
    sizes = (batch, inputs // g, outputs // g, g, *space)
    alike = list(_alike(key, sizes))
    return min(alike)[1] if alike else None


def device() -> str:
    """The device of the measurements."""
    return _file()["device"]


def _alike(key: _Key, sizes: Ints) -> Iterator[tuple[float, float]]:
    """The distance of each similar layer's sizes from these, and its gain."""
    for known, found in _measured().get(key, ()):
        apart = [
            math.inf if not min(a, b) else abs(math.log(a / b))
            for a, b in zip(sizes, known, strict=True)
        ]
        if apart[0] <= math.log(BATCH) and max(apart[1:]) <= math.log(OTHERS):
            yield sum(value**2 for value in apart), found


@cache
def _measured() -> dict[_Key, list[tuple[Ints, float]]]:
    found: dict[_Key, list[tuple[Ints, float]]] = {}
    for layer in _file()["layers"]:
        window, stride, dilation = (
            tuple(layer[name]) for name in ("window", "stride", "dilation")
        )
        key = (layer["role"], layer["dtype"], window, stride, dilation)
        found.setdefault(key, []).append((tuple(layer["sizes"]), layer["gain"]))
    return found


@cache
def _file() -> Any:
    """Written by `python -m benchmarks.gains`."""
    return json.loads(Path(__file__).with_name("gains.json").read_text("utf-8"))
