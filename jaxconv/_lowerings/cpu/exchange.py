"""``exchange``: the kernel's gradient with the parts of x and y exchanged.

For stride 1 the sum over p of x[p + t*d - lo] y[p] can be read the other way, as y
slid over x: the same contraction with the taps counted from the far end.  XLA's kernel
gradient takes the channels of the window as its output channels, and is fast only if
they are many; where y has few channels and x has many, x is the better window.
"""

from __future__ import annotations

from dataclasses import replace

import jax

from jaxconv._core.geometry import Geometry
from jaxconv._core.spec import Case, Spec
from jaxconv._lowerings.base import Lowering, flip
from jaxconv._lowerings.general import xla


def kernel(x: jax.Array, y: jax.Array, spec: Spec) -> jax.Array:
    g = spec.geometry
    low = tuple(axis.span - 1 - axis.lo for axis in g.axes)
    turned = Geometry(g.output, g.kernel, g.input, g.stride, g.dilation, low)
    out = xla.kernel(y, x, replace(spec, geometry=turned))
    return flip(out).swapaxes(-1, -2)


def refuse(case: Case) -> str | None:
    if max(case.geometry.stride) > 1:
        return "it needs stride 1"
    if case.groups > 1:
        return f"it does not take groups ({case.groups})"
    return None


def spreads(case: Case) -> str | None:
    return "from x near its border to every tap, also those that do not read it, as NaN"


LOWERING = Lowering(
    "exchange",
    "the kernel's gradient with y slid over x",
    {"kernel": kernel},
    refuse,
    xla.scratch,
    spreads=spreads,
)
