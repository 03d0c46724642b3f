"""The same call written in PyTorch, lax, Flax and Keras.

Every snippet takes ``x`` and ``kernel`` as NumPy arrays in jaxconv's layout (channels
first, the kernel of the convolution) and leaves the same numbers in ``y``.  Where a
library has no such call, a comment says why.
"""

from __future__ import annotations

from jaxconv._cli.snippets import first, last
from jaxconv._cli.snippets.base import Call as Call


def snippets(call: Call) -> dict[str, str]:
    """By library's name: lines of Python, or a comment that says why there are none."""
    back = call.transposed
    return {
        "jaxconv": first.jaxconv(call),
        "PyTorch": first.torch_transposed(call) if back else first.torch(call),
        "lax": first.lax_transposed(call) if back else first.lax(call),
        "Flax": last.flax_transposed(call) if back else last.flax(call),
        "Keras": last.keras_transposed(call) if back else last.keras(call),
    }
