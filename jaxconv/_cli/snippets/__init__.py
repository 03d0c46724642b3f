"""The same call written in PyTorch, lax, Flax, Keras, Equinox and Haiku.

Every snippet is a whole program: it makes the same random ``x`` and ``kernel`` in
jaxconv's layout (channels first, the kernel of the convolution), leaves the same
numbers in ``y``, and prints their shape.  Where a library has no such call, a comment
says why.
"""

from __future__ import annotations

from jaxconv._cli.snippets import equinox, first, haiku, last
from jaxconv._cli.snippets.base import Call as Call


def snippets(call: Call) -> dict[str, str]:
    """By library's name: lines of Python, or a comment that says why there are none."""
    back = call.transposed
    return {
        "jaxconv": first.jaxconv(call),
        "PyTorch": first.torch_transposed(call) if back else first.torch(call),
        "lax": first.lax_transposed(call) if back else first.lax(call),
        "Flax nnx": last.flax_transposed(call) if back else last.flax(call),
        "Keras": last.keras_transposed(call) if back else last.keras(call),
        "Equinox": equinox.transposed(call) if back else equinox.conv(call),
        "Haiku": haiku.transposed(call) if back else haiku.conv(call),
    }
