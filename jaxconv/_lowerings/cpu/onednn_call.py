"""One call of oneDNN's forward convolution, which is part of jaxlib's Linux wheels.

XLA's CPU runtime executes the custom call ``__onednn$convolution``.  Its configuration
is JSON with numbers as text.  oneDNN ends the process if it has no primitive for a
configuration, so nothing here may be called unless `onednn.refuse` and the plan's place
allow it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxconv._core.geometry import Geometry, Ints, read_extent
from jaxconv._lowerings.base import cut

TARGET = "__onednn$convolution"
PRODUCT = "__onednn$matmul"
MOST_AXES = 3
# Without "SUM", which adds to uninitialised memory, and "LINEAR", which needs a factor.
FUSIONS = frozenset(
    {
        "BIAS",
        "BINARY_ADD",
        "RELU",
        "RELU6",
        "ELU",
        "SIGMOID",
        "TANH",
        "SWISH",
        "GELU_ERF",
        "GELU_TANH",
    }
)


class Axes(NamedTuple):
    """The places of an array's axes; the spatial ones are in order."""

    first: int  # batch, or a kernel's input channels
    second: int  # channels, or a kernel's output channels
    space: Ints


def image_axes(ndim: int) -> Axes:
    """(n, *space, c)."""
    return Axes(0, ndim + 1, tuple(range(1, ndim + 1)))


def kernel_axes(ndim: int) -> Axes:
    """(*window, c, o)."""
    return Axes(ndim, ndim + 1, tuple(range(ndim)))


def convolve(
    x: jax.Array,
    w: jax.Array,
    g: Geometry,
    groups: int,
    axes: Axes | None = None,
    fusions: Sequence[str] = (),
    operands: Sequence[jax.Array] = (),
) -> jax.Array:
    """`call`, or zeros where no window reads anything but padding."""
    if any(read_extent(axis).empty for axis in g.axes):
        channels = w.shape[axes.second if axes else -1]
        return jnp.zeros((x.shape[0], *g.output, channels), x.dtype)
    return call(x, w, g, groups, fusions, operands, axes)


def call(
    x: jax.Array,
    w: jax.Array,
    geometry: Geometry,
    groups: int,
    fusions: Sequence[str] = (),
    operands: Sequence[jax.Array] = (),
    axes: Axes | None = None,
) -> jax.Array:
    """A convolution of x (n, *space, (g, c)) with w (*window, c, (g, o)).

    ``geometry`` may have negative padding: elements that no window reaches are cut off
    first.  Windows must read at least one element of every axis of x.

    ``fusions`` names the operations after the sum, in order.  "BIAS", which must be
    first, takes an operand (g*o,) and "BINARY_ADD" one like the result; the others are
    elementwise functions without operands.  ``axes`` gives the places of w's axes if
    they differ.
    """
    unknown = set(fusions) - FUSIONS
    assert not unknown, f"oneDNN ends the process over fusions like {unknown}"
    extents = [read_extent(axis) for axis in geometry.axes]
    x = cut(x, extents)
    axes = axes or kernel_axes(geometry.ndim)
    shape = (x.shape[0], *geometry.output, w.shape[axes.second])
    window = {
        "size": geometry.kernel,
        "pad_left": [e.low for e in extents],
        "pad_right": [e.high for e in extents],
        "strides": geometry.stride,
        "window_dilations": geometry.dilation,
    }
    config: dict[str, Any] = {
        "dims": x.ndim,
        "input": {"data": _image(image_axes(geometry.ndim))},
        "kernel": {"filter": _kernel(axes)},
        "output": {"data": _image(image_axes(geometry.ndim))},
        "window": window,
        "feature_groups": groups,
    }
    if fusions:
        config["fusions"] = {"ops": list(fusions)}
    run = jax.ffi.ffi_call(
        TARGET,
        jax.ShapeDtypeStruct(shape, x.dtype),
        custom_call_api_version=2,
        legacy_backend_config=json.dumps({"onednn_conv_config": _as_text(config)}),
    )
    return run(x, w, *operands)


def matmul(
    a: jax.Array, b: jax.Array, transpose_a: bool = False, transpose_b: bool = False
) -> jax.Array:
    """The matrix product of the last two axes, for each element of those before."""
    rows, columns = (
        a.shape[-1 if transpose_a else -2],
        b.shape[-2 if transpose_b else -1],
    )
    config = {"transpose_a": transpose_a, "transpose_b": transpose_b}
    run = jax.ffi.ffi_call(
        PRODUCT,
        jax.ShapeDtypeStruct((*a.shape[:-2], rows, columns), a.dtype),
        custom_call_api_version=2,
        legacy_backend_config=json.dumps({"onednn_matmul_config": config}),
    )
    return run(a, b)


def _image(axes: Axes) -> dict[str, Any]:
    first, second, space = axes
    return {"batch_dim": first, "feature_dim": second, "spatial_dims": space}


def _kernel(axes: Axes) -> dict[str, Any]:
    first, second, space = axes
    return {
        "input_feature_dim": first,
        "output_feature_dim": second,
        "spatial_dims": space,
    }


def _as_text(value: Any) -> Any:
    """Writes numbers as text, as protobuf's JSON does."""
    if isinstance(value, dict):
        return {key: _as_text(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_text(entry) for entry in value]
    return value if isinstance(value, str) else str(int(value))
