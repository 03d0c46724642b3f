"""Snippets in channels last: Flax and Keras."""

from __future__ import annotations

from typing import Any

from jaxconv._cli.snippets.base import Call, called

_LAST = "x, kernel = jnp.moveaxis(x, 1, -1), jnp.moveaxis(kernel, (1, 0), (-2, -1))\n"
_FIRST = "y = jnp.moveaxis(y, -1, 1)"
_FLAX = "import flax.linen as nn\nimport jax.numpy as jnp\n\n"
_KERAS = "import jax.numpy as jnp\nimport keras\n\n"


def _padded(call: Call) -> str:
    """A line that pads x, channels last."""
    widths = [(0, 0), *call.pads, (0, 0)]
    return f"x = {called('jnp.pad', 'x', str(widths), mode=call.mode)}\n"


def flax(call: Call) -> str:
    spread, padding = call.spread, list(call.pads)
    named: dict[str, Any] = {
        "strides": spread["stride"],
        "kernel_dilation": spread["dilation"],
        "feature_group_count": spread["groups"],
    }
    if not call.filled:
        return _flax_layer("nn.Conv", call, padding, named)
    none = [(0, 0)] * len(padding)
    return _flax_layer("nn.Conv", call, none, named, _padded(call))


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
    return _flax_layer("nn.ConvTranspose", call, list(call.border), named)


def _flax_layer(
    name: str, call: Call, padding: Any, named: dict[str, Any], pad: str = ""
) -> str:
    window = call.setup.spec.geometry.kernel
    fixed = {"padding": padding, **named, "use_bias": False}
    layer = called(name, str(call.setup.outputs), str(window), **fixed)
    lines = (
        f"{_FLAX}{_LAST}{pad}layer = {layer}",
        'y = layer.apply({"params": {"kernel": kernel}}, x)',
        _FIRST,
    )
    return "\n".join(lines)


def _keras(name: str, call: Call) -> str:
    named = {
        "strides": call.spread["stride"],
        "padding": "valid",
        "data_format": "channels_last",
        "dilation_rate": call.spread["dilation"],
    }
    return f"y = {called(name, 'x', 'kernel', **named)}\n{_FIRST}"


def keras(call: Call) -> str:
    pad = _padded(call) if any(map(any, call.pads)) else ""
    return f"{_KERAS}{_LAST}{pad}{_keras('keras.ops.conv', call)}"


def keras_transposed(call: Call) -> str:
    if call.setup.spec.groups > 1:
        return "# Keras has no groups in conv_transpose."
    if call.filled:
        return "# Keras has no adjoint of padding modes."
    lines = [f"{_KERAS}{_LAST}{_keras('keras.ops.conv_transpose', call)}"]
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
    return "\n".join(lines)
