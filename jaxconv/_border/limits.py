"""Refuses sizes that no machine can hold, before any array is made.

Above these limits JAX, NumPy or XLA raise errors that do not name the argument, or end
the process.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jaxconv._core.errors import fail
from jaxconv._core.geometry import Axis, Geometry, Ints
from jaxconv._core.spec import Role

ALONG = 2**31 - 1  # elements along an axis: the largest 32-bit index
ALTOGETHER = 2**40  # elements of an array


class Image(NamedTuple):
    """The image that the user gave, before any padding."""

    name: str  # of its shape in error messages
    shape: Ints
    space: Ints


def axes(role: Role, geometry: Geometry, image: Image) -> None:
    """Refuses a spatial axis that is too long, with its padding or cropped elements."""
    if not _known(geometry):
        return
    for number, (axis, given) in enumerate(
        zip(geometry.axes, image.space, strict=True)
    ):
        for name, step in (("stride", axis.s), ("dilation", axis.d)):
            if _more(step, ALONG):
                rule = f"is {step:,} on spatial axis {number}, and a step is at most "
                fail(name, step, f"{rule}{ALONG:,}", "Use a smaller step")
        extent = _extent(axis)
        if _more(extent, ALONG):
            rule = f"makes {extent:,} elements along spatial axis {number}, where at "
            rule += f"most {ALONG:,} are possible"
            name, got = _culprit(role, axis, given) or (image.name, image.shape)
            fail(name, got, rule, "Use less, or a smaller image")


def call(
    role: Role, geometry: Geometry, image: Image, batch: int, channels: tuple[int, int]
) -> None:
    """Refuses a call whose padded image or result is too large."""
    axes(role, geometry, image)
    if not _known(geometry):
        return
    padded = [_extent(axis) for axis in geometry.axes]
    grown = zip(geometry.axes, image.space, padded, strict=True)
    axis, given, _ = max(grown, key=lambda v: v[2] / max(1, v[1]))
    name, got = _culprit(role, axis, given) or (image.name, image.shape)
    spaces = (
        (padded, geometry.output) if role == "output" else (geometry.output, padded)
    )
    for count, space in zip(channels, spaces, strict=True):
        array(name, got, (batch, count, *space))


def dilated(lhs: Ints, params: Mapping[str, Any]) -> None:
    """Refuses a convolution of lax that is too large; parameters have lax's names."""
    numbers = params["dimension_numbers"].lhs_spec
    shape = [lhs[numbers[0]], lhs[numbers[1]]]
    steps = (params["window_strides"], params["rhs_dilation"])
    for name, step in zip(("window_strides", "rhs_dilation"), steps, strict=True):
        indexed(name, step, "elements from one to the next", max(step, default=0))
    spread = params["lhs_dilation"]
    for axis, b, (low, high) in zip(
        numbers[2:], spread, params["padding"], strict=True
    ):
        size = (lhs[axis] - 1) * b + 1 + max(low, 0) + max(high, 0)
        name = "lhs_dilation" if b > max(low, high) else "padding"
        indexed(name, params[name], "elements along an axis of lhs", size)
        shape.append(size)
    array("lhs.shape", lhs, shape)


def array(name: str, got: object, shape: Sequence[int]) -> None:
    """Refuses an array of this shape if it is too large.

    ``name`` is the argument that determines the shape, and ``got`` its value.
    """
    count = math.prod(shape)
    if _more(count, ALTOGETHER):
        sizes = " x ".join(f"{size:,}" for size in shape)
        rule = f"makes an array of {sizes} = {count:,} elements, and at most "
        rule += f"{ALTOGETHER:,} (2**40) are made"
        fail(name, got, rule, "Use less, or smaller arrays")


def indexed(name: str, got: object, what: str, count: int) -> None:
    """Refuses a count that needs more than 32-bit indices."""
    if _more(count, ALONG):
        rule = f"makes {count:,} {what}, and at most {ALONG:,} can be numbered"
        fail(name, got, rule, "Use less, or smaller arrays")


def _known(geometry: Geometry) -> bool:
    """Whether all sizes are numbers; symbolic sizes are not checked."""
    sizes: tuple[Any, ...] = (*geometry.input, *geometry.output, *geometry.low)
    return all(isinstance(size, int) for size in sizes)


def _extent(axis: Axis) -> int:
    return max(axis.reach, axis.lo + axis.i)


def _culprit(role: Role, axis: Axis, given: int) -> tuple[str, object] | None:
    """The option that makes an axis long, and its value; None if there is none."""
    if role == "input":
        name, step = max(("stride", axis.s), ("dilation", axis.d), key=lambda v: v[1])
        return (name, step) if step > 1 else None
    filled = axis.i - given  # elements that a padding mode has added beforehand
    padding = (axis.lo + filled, max(0, axis.hi))
    return ("padding", padding) if any(padding) else None


def _more(count: Any, most: int) -> bool:
    return isinstance(count, int) and count > most  # a symbol may be anything
