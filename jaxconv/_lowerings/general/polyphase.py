"""``polyphase``: a transposed convolution of stride s as one convolution of stride 1.

Result u, counted from the first padding element, is the sum over positions p and taps t
with u = p*s + t*d.  So result m*s + r uses only the taps with t*d = r modulo s: each
residue r, a phase, is a convolution of stride 1 over y with a part of the kernel.  The
phases have the same geometry if their kernels are filled up with zeros.  They are then
one convolution with s times as many output channels, and depth-to-space moves the
residues from channels into space.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import lax

from jaxconv._core.axes import Input, Kernel, Output
from jaxconv._core.geometry import Axis, Geometry, Ints
from jaxconv._core.spec import Case, Sizes, Spec
from jaxconv._lowerings.base import Compute, Lowering, pad, reduced, summed_bytes
from jaxconv._lowerings.phases import Phases


def input(y: Output, w: Kernel, spec: Spec, run: Compute) -> Input:
    """The input role; ``run`` computes the convolution of all phases."""
    g = spec.geometry
    plans = [Phases(axis) for axis in g.axes]
    index = tuple(slice(p.start, p.start + p.size + p.width - 1) for p in plans)
    y = pad(y, [p.low for p in plans], [p.high for p in plans])[(slice(None), *index)]
    x = run(y, _phase_kernel(w, plans, spec), phases_spec(spec))
    x = _depth_to_space(x, g.stride, spec.groups)
    return x[(slice(None), *(p.inside for p in plans))]


def _phase_kernel(w: jax.Array, plans: list[Phases], spec: Spec) -> jax.Array:
    """The kernel of all phases: (*window, c, (g, o)) to (*width, o, (g, *residues, c)).

    Dilated and padded with zeros to width*s elements, an axis splits into (width,
    residues): tap t*d = q*s + r becomes tap q of phase r.  It is flipped, because tap q
    reads y[m - q].
    """
    n, groups = spec.ndim, spec.groups
    zero = jnp.zeros((), w.dtype)
    extra = [(0, p.width * p.axis.s - p.axis.span, p.axis.d - 1) for p in plans]
    w = lax.pad(w, zero, [*extra, (0, 0, 0), (0, 0, 0)])
    c, o = w.shape[-2], w.shape[-1] // groups
    split = [size for p in plans for size in (p.width, p.axis.s)]
    w = lax.rev(w.reshape(*split, c, groups, o), tuple(range(0, 2 * n, 2)))
    widths, residues = range(0, 2 * n, 2), range(1, 2 * n, 2)
    w = w.transpose(*widths, 2 * n + 2, 2 * n + 1, *residues, 2 * n)
    return w.reshape(*(p.width for p in plans), o, -1)


def _depth_to_space(x: jax.Array, stride: Ints, groups: int) -> jax.Array:
    """From (n, *m, (g, *s, c)) to (n, m*s, ..., (g, c))."""
    n, space = len(stride), x.shape[1:-1]
    x = x.reshape(x.shape[0], *space, groups, *stride, -1)
    pairs = [axis for a in range(n) for axis in (1 + a, n + 2 + a)]
    x = x.transpose(0, *pairs, n + 1, 2 * n + 2)
    merged = [m * s for m, s in zip(space, stride, strict=True)]
    return x.reshape(x.shape[0], *merged, -1)


def phases_spec(spec: Spec) -> Spec:
    """The spec of the convolution of all phases: stride 1, no padding."""
    plans = map(Phases, spec.geometry.axes)
    axes = (Axis(p.size + p.width - 1, p.width, p.size, 1, 1, 0) for p in plans)
    return reduced(spec, role="output", geometry=Geometry.of(axes))


def inner(case: Case) -> Case:
    n, c, o = case.sizes
    sizes = Sizes(n, o, c * math.prod(case.geometry.stride))
    return case._replace(spec=phases_spec(case.spec), sizes=sizes)


def refuse(case: Case) -> str | None:
    if math.prod(case.geometry.stride) == 1:
        return "with stride 1 there is only one phase"
    return None


def spreads(case: Case) -> str | None:
    if case.geometry.taps == math.prod(_padded(axis) for axis in case.geometry.axes):
        return None
    return "from y to results that use it only by zeros added to the kernel, as NaN"


def _padded(axis: Axis) -> int:
    """The number of taps of all phases, with the added zeros."""
    return Phases(axis).width * axis.s


def scratch(case: Case, inner_bytes: int = 0) -> int:
    """The padded argument, the result before depth-to-space, and the kernel twice."""
    conv = inner(case)
    copied = conv.bytes("input") + 2 * conv.bytes("kernel")
    return copied + max(2 * summed_bytes(conv), inner_bytes)


LOWERING = Lowering(
    "polyphase",
    "one stride-1 convolution per residue of the stride, interleaved",
    {"input": input},
    refuse,
    scratch,
    spreads=spreads,
    inner=inner,
)
