"""Snippets for Equinox, whose layers are channels first and take one image."""

from __future__ import annotations

import math
from typing import Any

from jaxconv._cli.snippets.base import Call, Code, called, program, unless

_IMPORTS = "import equinox as eqx\nimport jax\n{}import numpy as np"


def conv(call: Call) -> str:
    named: dict[str, Any] = {
        **call.spread,
        "padding": list(call.pads) if any(map(any, call.pads)) else None,
        "padding_mode": call.setup.mode.upper() if call.filled else None,
    }
    return _layer("eqx.nn.Conv", call, named, "kernel")


def transposed(call: Call) -> str:
    if call.filled:
        return "# Equinox has no adjoint of padding modes."
    if min(side for pair in call.border for side in pair) < 0:
        return "# Equinox pads the stretched input, and here by less than nothing."
    if call.first:
        return "# Equinox takes an output_padding below the stride only."
    named: dict[str, Any] = {
        **call.spread,
        "padding": list(call.pads) if any(map(any, call.pads)) else None,
        "output_padding": unless(call.output_padding, 0),
    }
    axes = tuple(range(2, 2 + call.setup.spec.ndim))
    turned = f"jnp.flip(kernel, {axes})"
    return _layer("eqx.nn.ConvTranspose", call, named, f"{turned}{_exchanged(call)}")


def _exchanged(call: Call) -> str:
    """What takes (in, out/groups, ...) to (out, in/groups, ...), group by group."""
    groups, window = call.setup.spec.groups, call.setup.spec.geometry.kernel
    if groups == 1:
        return ".swapaxes(0, 1)"
    inputs, outputs = (channels // groups for channels in call.channels)
    parts = (groups, inputs, outputs, math.prod(window))
    whole = (groups * outputs, inputs, *window)
    return f".reshape({parts}).swapaxes(1, 2).reshape({whole})"


def _layer(name: str, call: Call, named: dict[str, Any], weight: str) -> str:
    spec = call.setup.spec
    sizes = map(str, (spec.ndim, *call.channels, spec.geometry.kernel))
    fixed = {"use_bias": False, **named, "key": Code("jax.random.key(0)")}
    layer = called(name, *sizes, **fixed)
    numpy = "import jax.numpy as jnp\n" if "jnp" in weight else ""
    lines = (
        f"layer = {layer}",
        f"weight = {weight}",
        "layer = eqx.tree_at(lambda layer: layer.weight, layer, weight)",
        "y = jax.vmap(layer)(x)",
    )
    return program(call, _IMPORTS.format(numpy), "\n".join(lines))
