"""Snippets in channels first: jaxconv, PyTorch and lax."""

from __future__ import annotations

from typing import Any

from jaxconv._cli.snippets.base import Call, called, unless


def jaxconv(call: Call) -> str:
    name = "jaxconv.conv_transpose" if call.transposed else "jaxconv.conv"
    named = {
        **call.spread,
        "padding": call.padding,
        "output_padding": unless(call.output_padding, 0),
        "padding_mode": call.setup.mode if call.filled else None,
    }
    return f"import jaxconv\n\ny = {called(name, 'x', 'kernel', **named)}"


# PyTorch ------------------------------------------------------------------------------

_TORCH = """\
import torch
import torch.nn.functional as F

x, kernel = torch.from_numpy(x), torch.from_numpy(kernel)
"""


def _torch_pad(call: Call) -> str:
    """F.pad takes the last axis first."""
    flat = [side for pair in reversed(call.pads) for side in pair]
    mode = call.setup.mode if call.filled else None
    return called("F.pad", "x", str(flat), mode=mode)


def torch(call: Call) -> str:
    name, named = f"F.conv{call.setup.spec.ndim}d", call.spread
    if call.even and not call.filled:
        named = {"padding": call.padding, **named}
        return f"{_TORCH}y = {called(name, 'x', 'kernel', **named)}"
    y = called(name, "x", "kernel", **named)
    return f"{_TORCH}x = {_torch_pad(call)}\ny = {y}"


def torch_transposed(call: Call) -> str:
    ndim = call.setup.spec.ndim
    if call.filled:
        return _TORCH + _torch_adjoint(call)
    named = {"output_padding": unless(call.output_padding, 0), **call.spread}
    if call.even:
        named = {"padding": call.padding, **named}
    whole = called(f"F.conv_transpose{ndim}d", "x", "kernel", **named)
    cut = "" if call.even else f"\ny = {call.crop}  # the padding differs by side"
    return f"{_TORCH}y = {whole}{cut}"


def _torch_adjoint(call: Call) -> str:
    """Padding modes: the gradient of the convolution that is undone."""
    name = f"F.conv{call.setup.spec.ndim}d"
    forward = called(name, _torch_pad(call), "kernel", **call.spread)
    lines = (
        "def forward(x):",
        f"    return {forward}{call.first}",
        "",
        f"inner = torch.zeros({call.inner}, dtype=x.dtype)",
        "(y,) = torch.func.vjp(forward, inner)[1](x)",
    )
    return "\n".join(lines)


# lax ----------------------------------------------------------------------------------


def _lax_forward(call: Call) -> str:
    geometry, spread = call.setup.spec.geometry, call.spread
    x, padding = "x", list(call.pads)
    if call.filled:
        widths = [(0, 0), (0, 0), *call.pads]
        x = called("jnp.pad", "x", str(widths), mode=call.mode)
        padding = [(0, 0)] * geometry.ndim
    named: dict[str, Any] = {
        "rhs_dilation": spread["dilation"],
        "feature_group_count": spread["groups"],
    }
    sizes = str(geometry.stride), str(padding)
    return called("lax.conv_general_dilated", x, "kernel", *sizes, **named)


def lax(call: Call) -> str:
    numpy = "import jax.numpy as jnp\n" if call.filled else ""
    return f"{numpy}from jax import lax\n\ny = {_lax_forward(call)}"


def lax_transposed(call: Call) -> str:
    """Not `lax.conv_transpose`, which has no groups and takes another padding."""
    numpy = "import jax.numpy as jnp\n" if call.filled else ""
    forward = _lax_forward(call).replace("\n", "\n    ")
    lines = (
        f"import jax\n{numpy}from jax import lax\n",
        "def forward(x):",
        f"    return {forward}{call.first}",
        "",
        f"inner = jax.ShapeDtypeStruct({call.inner}, x.dtype)",
        "(y,) = jax.linear_transpose(forward, inner)(x)",
    )
    return "\n".join(lines)
