"""``rows``: a 1-D convolution as a 2-D one with images of height 1.

XLA's fast convolution on a CPU needs exactly two spatial axes.
"""

from __future__ import annotations

import jax

from jaxconv._core.geometry import Geometry
from jaxconv._core.spec import Case, Spec
from jaxconv._lowerings.base import Compute, Lowering, reduced


def contract(a: jax.Array, b: jax.Array, spec: Spec, run: Compute) -> jax.Array:
    """Any role; the axis of height is the first of a kernel, the second of an image."""
    height = {"kernel": 0, "input": 1, "output": 1}
    first, second = (height[operand] for operand in spec.operands)
    a, b = jax.numpy.expand_dims(a, first), jax.numpy.expand_dims(b, second)
    return run(a, b, _flat(spec)).squeeze(height[spec.role])


def _flat(spec: Spec) -> Spec:
    g = spec.geometry
    one = Geometry(
        (1, *g.input),
        (1, *g.kernel),
        (1, *g.output),
        (1, *g.stride),
        (1, *g.dilation),
        (0, *g.low),
    )
    return reduced(spec, geometry=one)


def inner(case: Case) -> Case:
    return case._replace(spec=_flat(case.spec))


def refuse(case: Case) -> str | None:
    if case.spec.ndim != 1:
        return f"it needs one spatial dimension, not {case.spec.ndim}"
    return None


def scratch(case: Case, inner: int) -> int:
    return inner


LOWERING = Lowering(
    "rows",
    "a 1-D convolution as a 2-D one of height 1",
    {"output": contract, "input": contract, "kernel": contract},
    refuse,
    scratch,
    inner=inner,
)
