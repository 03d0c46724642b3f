"""Snippets in channels first: jaxconv, PyTorch and lax."""

from __future__ import annotations

from typing import Any

from jaxconv._cli.snippets.base import Call, called, program, unless


def jaxconv(call: Call) -> str:
    name = "jaxconv.conv_transpose" if call.transposed else "jaxconv.conv"
    named = {
        **call.spread,
        "padding": call.padding,
        "output_padding": unless(call.output_padding, 0),
        "padding_mode": call.setup.mode if call.filled else None,
    }
    body = f"y = {called(name, 'x', 'kernel', **named)}"
    return program(call, "import numpy as np\n\nimport jaxconv", body)


# PyTorch ------------------------------------------------------------------------------

_TORCH = "import numpy as np\nimport torch\nimport torch.nn.functional as F"


def _torch(call: Call, body: str) -> str:
    operands = "x, kernel = torch.from_numpy(x), torch.from_numpy(kernel)\n"
    return program(call, _TORCH, operands + body)


def _torch_pad(call: Call) -> str:
    """F.pad takes the last axis first."""
    flat = [side for pair in reversed(call.pads) for side in pair]
    mode = call.setup.mode if call.filled else None
    return called("F.pad", "x", str(flat), mode=mode)


def torch(call: Call) -> str:
    name, named = f"F.conv{call.setup.spec.ndim}d", call.spread
    if call.even and not call.filled:
        named = {"padding": call.padding, **named}
        return _torch(call, f"y = {called(name, 'x', 'kernel', **named)}")
    y = called(name, "x", "kernel", **named)
    return _torch(call, f"x = {_torch_pad(call)}\ny = {y}")


def torch_transposed(call: Call) -> str:
    ndim = call.setup.spec.ndim
    if call.filled:
        return _torch(call, _torch_adjoint(call))
    named = {"output_padding": unless(call.output_padding, 0), **call.spread}
    if call.even:
        named = {"padding": call.padding, **named}
    whole = called(f"F.conv_transpose{ndim}d", "x", "kernel", **named)
    cut = "" if call.even else f"\ny = {call.crop}  # the padding differs by side"
    return _torch(call, f"y = {whole}{cut}")


def _torch_adjoint(call: Call) -> str:
    """The gradient of the matching convolution, for padding modes."""
    name = f"F.conv{call.setup.spec.ndim}d"
    forward = called(name, _torch_pad(call), "kernel", **call.spread)
    lines = (
        "",
        "",
        "def forward(x):",
        f"    return {forward}{call.first}",
        "",
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
    imports = f"{numpy}import numpy as np\nfrom jax import lax"
    return program(call, imports, f"y = {_lax_forward(call)}")


def lax_transposed(call: Call) -> str:
    """Not `lax.conv_transpose`, which has no groups and takes another padding."""
    numpy = "import jax.numpy as jnp\n" if call.filled else ""
    forward = _lax_forward(call).replace("\n", "\n    ")
    imports = f"import jax\n{numpy}import numpy as np\nfrom jax import lax"
    lines = (
        "",
        "",
        "def forward(x):",
        f"    return {forward}{call.first}",
        "",
        "",
        f"inner = jax.ShapeDtypeStruct({call.inner}, x.dtype)",
        "(y,) = jax.linear_transpose(forward, inner)(x)",
    )
    return program(call, imports, "\n".join(lines))
