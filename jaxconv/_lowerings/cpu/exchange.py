"""``exchange``: the kernel's gradient with the roles of x and y exchanged.

For stride 1, the sum over p of x[p + t*d - lo] y[p] is with q = p + t*d - lo the sum
over q of y[q - t*d + lo] x[q].  That is the same contraction with y as its image, x as
its kernel, and taps in reverse.  The channels of the kernel are the output channels of
XLA's convolution, which is fast only if there are many.  So x is the better kernel if
it has many channels and y has few.
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
    exchanged = Geometry(g.output, g.kernel, g.input, g.stride, g.dilation, low)
    out = xla.kernel(y, x, replace(spec, geometry=exchanged))
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
    "the kernel's gradient as a convolution of y by x",
    {"kernel": kernel},
    refuse,
    xla.scratch,
    spreads=spreads,
)
