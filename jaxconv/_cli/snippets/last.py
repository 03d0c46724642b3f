"""Snippets in channels last: Flax and Keras."""

from __future__ import annotations

from typing import Any

from jaxconv._cli.snippets.base import Call, Code, called, padded, program

LAST = "x, kernel = jnp.moveaxis(x, 1, -1), jnp.moveaxis(kernel, (1, 0), (-2, -1))"
FIRST = "y = jnp.moveaxis(y, -1, 1)"
_FLAX = "import jax.numpy as jnp\nimport numpy as np\nfrom flax import nnx"
_KERAS = """\
import os

os.environ["KERAS_BACKEND"] = "jax"  # before Keras is imported
import jax.numpy as jnp
import keras
import numpy as np"""


# Flax ---------------------------------------------------------------------------------


def flax(call: Call) -> str:
    spread, padding = call.spread, list(call.pads)
    named: dict[str, Any] = {
        "strides": spread["stride"],
        "kernel_dilation": spread["dilation"],
        "feature_group_count": spread["groups"],
    }
    if not call.filled:
        return _flax_layer("nnx.Conv", call, padding, named)
    none = [(0, 0)] * len(padding)
    return _flax_layer("nnx.Conv", call, none, named, padded(call))


def flax_transposed(call: Call) -> str:
    spread = call.spread
    if spread["groups"]:
        return "# Flax has no groups in ConvTranspose."
    if call.filled:
        return "# Flax has no adjoint of padding modes."
    if min(side for pair in call.border for side in pair) < 0:
        return "# Flax pads the stretched input, and here by less than nothing."
    named = {
        "strides": spread["stride"],
        "kernel_dilation": spread["dilation"],
        "transpose_kernel": True,
    }
    return _flax_layer("nnx.ConvTranspose", call, list(call.border), named)


def _flax_layer(
    name: str, call: Call, padding: Any, named: dict[str, Any], pad: str = ""
) -> str:
    sizes = *map(str, call.channels), str(call.setup.spec.geometry.kernel)
    fixed = {"padding": padding, **named, "use_bias": False}
    layer = called(name, *sizes, **fixed, rngs=Code("nnx.Rngs(0)"))
    lines = (
        LAST,
        *([pad] if pad else []),
        f"layer = {layer}",
        "layer.kernel[...] = kernel",
        "y = layer(x)",
        FIRST,
    )
    return program(call, _FLAX, "\n".join(lines))


# Keras --------------------------------------------------------------------------------


def _keras(name: str, call: Call) -> list[str]:
    named = {
        "strides": call.spread["stride"],
        "padding": "valid",
        "data_format": "channels_last",
        "dilation_rate": call.spread["dilation"],
    }
    return [f"y = {called(name, 'x', 'kernel', **named)}", FIRST]


def keras(call: Call) -> str:
    pad = [padded(call)] if any(map(any, call.pads)) else []
    lines = [LAST, *pad, *_keras("keras.ops.conv", call)]
    return program(call, _KERAS, "\n".join(lines))


def keras_transposed(call: Call) -> str:
    if call.setup.spec.groups > 1:
        return "# Keras has no groups in conv_transpose."
    if call.filled:
        return "# Keras has no adjoint of padding modes."
    lines = [LAST, *_keras("keras.ops.conv_transpose", call)]
    full = [
        (axis.o - 1) * axis.s + max(axis.span, axis.s)
        for axis in call.setup.spec.geometry.axes
    ]
    ends = [lo + n for (lo, _), n in zip(call.pads, call.size, strict=True)]
    beyond = [(0, max(0, b - n)) for b, n in zip(ends, full, strict=True)]
    if any(map(any, beyond)):
        lines.append(f"y = jnp.pad(y, {[(0, 0), (0, 0), *beyond]})  # output_padding")
    if any(map(any, call.pads)) or list(call.size) != full:
        lines.append(f"y = {call.crop}")
    return program(call, _KERAS, "\n".join(lines))
