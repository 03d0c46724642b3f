"""Snippets for Haiku, in channels last."""

from __future__ import annotations

from typing import Any

from jaxconv._cli.snippets.base import Call, called, padded, program
from jaxconv._cli.snippets.last import FIRST, LAST

_IMPORTS = "import haiku as hk\nimport jax.numpy as jnp\nimport numpy as np"


def conv(call: Call) -> str:
    spread = call.spread
    named: dict[str, Any] = {
        "stride": spread["stride"],
        "rate": spread["dilation"],
        "feature_group_count": spread["groups"],
    }
    pads = [(0, 0)] * call.setup.spec.ndim if call.filled else list(call.pads)
    lines = [padded(call)] if call.filled else []
    return _layer("hk.ConvND", call, {"padding": pads, **named}, lines)


def transposed(call: Call) -> str:
    spread = call.spread
    if spread["groups"] or spread["dilation"]:
        return "# Haiku has no groups and no dilation in ConvNDTranspose."
    if call.filled:
        return "# Haiku has no adjoint of padding modes."
    if min(side for pair in call.border for side in pair) < 0:
        return "# Haiku pads the stretched input, and here by less than nothing."
    named = {"padding": list(call.border), "stride": spread["stride"]}
    axes = tuple(range(call.setup.spec.ndim))
    turned = [f"kernel = jnp.flip(kernel, {axes})"]
    return _layer("hk.ConvNDTranspose", call, named, turned)


def _layer(name: str, call: Call, named: dict[str, Any], before: list[str]) -> str:
    spec = call.setup.spec
    sizes = map(str, (spec.ndim, call.setup.outputs, spec.geometry.kernel))
    layer = called(name, *sizes, with_bias=False, name="layer", **named)
    body = layer.replace("\n", "\n    ")
    lines = (
        LAST,
        *before,
        "",
        "",
        "def forward(x):",
        f"    return {body}(x)",
        "",
        "",
        "model = hk.without_apply_rng(hk.transform(forward))",
        'y = model.apply({"layer": {"w": kernel}}, x)',
        FIRST,
    )
    return program(call, _IMPORTS, "\n".join(lines))
