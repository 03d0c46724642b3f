"""jaxconv's primitives, written in those of lax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
from jax import lax

from jaxconv._core.geometry import Axis, Geometry
from jaxconv._core.spec import Role, Spec
from jaxconv._deform.form import Form, sample_p
from jaxconv._deform.form import run as sample
from jaxconv._plan.emit import run
from jaxconv._plan.place import Place

Edges = tuple[int, int]


def contraction(a: Any, b: Any, *, spec: Spec) -> jax.Array:
    """A contraction as one convolution of lax that can be differentiated.

    The gradient of a convolution whose padding exceeds d(k-1) has a negative padding,
    for which a CPU computes wrong values up to jaxlib 0.10.  The excess is therefore
    padded before the convolution, or for the role "input" added around the result.
    """
    edges = [_more(axis, spec.role) for axis in spec.geometry.axes]
    inside = replace(
        spec, geometry=_without(spec, edges), lowering="xla", sharding=None
    )
    if spec.role != "input":
        a = _padded(a, edges, inside, spec.operands[0])
    out = run(a, b, spec=inside, place=Place("default"))
    return _padded(out, edges, inside, "input") if spec.role == "input" else out


def _more(axis: Axis, role: Role) -> Edges:
    """The excess at both ends of the input: padding that is not the convolution's."""
    ends = (axis.lo, axis.hi)
    if role == "input":  # results that no window reaches
        low, high = (max(-end, 0) for end in ends)
        return (low, high) if low + high < axis.i else (0, 0)
    reach = axis.span - 1 if role == "output" else 0
    low, high = (max(end - reach, 0) for end in ends)
    return low, high


def _without(spec: Spec, edges: Sequence[Edges]) -> Geometry:
    """The geometry with the excess as part of the input, or for "input" without it."""
    sign = -1 if spec.role == "input" else 1
    g = spec.geometry
    return replace(
        g,
        input=tuple(
            i + sign * (low + high)
            for i, (low, high) in zip(g.input, edges, strict=True)
        ),
        low=tuple(lo - sign * low for lo, (low, _) in zip(g.low, edges, strict=True)),
    )


def _padded(v: jax.Array, edges: Sequence[Edges], spec: Spec, role: Role) -> jax.Array:
    if not any(map(any, edges)):
        return v
    config = [(0, 0, 0)] * v.ndim
    config[spec.lead : spec.lead + spec.ndim] = [(*edge, 0) for edge in edges]
    return lax.pad(v, v.dtype.type(0), config)


def sampling(a: Any, b: Any, index: Any, *, form: Form) -> jax.Array:
    """The sampler of deformable convolutions as gathers, scatters and products."""
    result = jax.eval_shape(partial(sample_p.bind, form=form), a, b, index)
    return sample(a, b, index, form=form, shape=result.shape, kind="default")
