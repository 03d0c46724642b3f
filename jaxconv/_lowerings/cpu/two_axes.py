"""``rows`` and ``slices``: convolutions of one or of many spatial axes as 2-D ones.

XLA's fast convolution on a CPU has two spatial axes.  A 1-D image becomes an image of
height 1 (``rows``).  Of more than two axes the leading ones are merged into the batch,
and each of their taps is one 2-D convolution of the slices that it reads; these are
added up (``slices``).
"""

from __future__ import annotations

import functools
import math
import operator
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from jaxconv._core.axes import Input, Kernel, Output
from jaxconv._core.dtypes import accumulator
from jaxconv._core.geometry import Axis, Geometry, Ints
from jaxconv._core.spec import Case, Role, Spec
from jaxconv._lowerings.base import (
    Compute,
    Lowering,
    frame,
    framed_bytes,
    reduced,
    summed_bytes,
    widened_bytes,
)
from jaxconv._lowerings.images import window

HEIGHT = Axis(1, 1, 1, 1, 1, 0)


# One axis -----------------------------------------------------------------------------


def contract(a: jax.Array, b: jax.Array, spec: Spec, run: Compute) -> jax.Array:
    """Any role; the axis of height is the first of a kernel, the second of an image."""
    height = {"kernel": 0, "input": 1, "output": 1}
    first, second = (height[operand] for operand in spec.operands)
    a, b = jnp.expand_dims(a, first), jnp.expand_dims(b, second)
    return run(a, b, _row(spec)).squeeze(height[spec.role])


def _row(spec: Spec) -> Spec:
    return reduced(spec, geometry=Geometry.of((HEIGHT, *spec.geometry.axes)))


def inner_row(case: Case) -> Case:
    return case._replace(spec=_row(case.spec))


def refuse_planes(case: Case) -> str | None:
    if case.spec.ndim != 1:
        return f"it needs one spatial dimension, not {case.spec.ndim}"
    return None


def scratch_row(case: Case, inner: int) -> int:
    return inner


# More than two axes -------------------------------------------------------------------


def output(x: Input, w: Kernel, spec: Spec, run: Compute) -> Output:
    lead, plane = _parts(spec)
    x = frame(x, lead.read_extents)
    return _added(x, w, lead, plane, run)


def input(y: Output, w: Kernel, spec: Spec, run: Compute) -> Input:
    """Flips the leading axes of the kernel; their stride must be 1."""
    lead, plane = _parts(spec)
    y = frame(y, lead.spread_extents)
    w = jnp.flip(w, tuple(range(lead.ndim)))
    return _added(y, w, replace(lead, output=lead.input), plane, run)


def _added(
    v: jax.Array, w: jax.Array, lead: Geometry, plane: Spec, run: Compute
) -> jax.Array:
    """The sum over the leading taps, with the leading axes split from the batch."""
    taps = np.ndindex(lead.kernel)
    terms = (run(_slices(v, tap, lead), w[tap], plane) for tap in taps)
    total = functools.reduce(operator.add, terms)
    return total.reshape(-1, *lead.output, *total.shape[1:])


def kernel(x: Input, y: Output, spec: Spec, run: Compute) -> Kernel:
    lead, plane = _parts(spec)
    x = frame(x, lead.read_extents)
    y = y.reshape(-1, *y.shape[spec.ndim - 1 :])
    parts = [run(_slices(x, tap, lead), y, plane) for tap in np.ndindex(lead.kernel)]
    return jnp.stack(parts).reshape(*lead.kernel, *parts[0].shape)


def _slices(v: jax.Array, tap: Ints, lead: Geometry) -> jax.Array:
    """The slices that a tap reads, as a batch."""
    v = window(v, lead.start(tap), lead.output, lead.stride)
    return v.reshape(-1, *v.shape[lead.ndim + 1 :])


def _parts(spec: Spec) -> tuple[Geometry, Spec]:
    """The geometry of the leading axes, and the spec of one slice's contraction.

    Its results are added up, so they have the accumulator type.
    """
    *lead, height, width = spec.geometry.axes
    wide = np.promote_types(spec.dtype, accumulator(spec.dtype))
    plane = Geometry.of((height, width))
    return Geometry.of(lead), reduced(spec, geometry=plane, dtype=wide)


def inner(case: Case) -> Case:
    """The contraction of all slices that one leading tap reads."""
    _, plane = _parts(case.spec)
    sizes = case.sizes._replace(n=case.sizes.n * _slices_read(case))
    return case._replace(spec=plane, sizes=sizes)


def _slices_read(case: Case) -> int:
    """The number of slices of an image that one leading tap reads."""
    lead, _ = _parts(case.spec)
    return math.prod(lead.input if case.role == "input" else lead.output)


def refuse(case: Case) -> str | None:
    if case.spec.ndim < 3:
        return "it needs at least three spatial dimensions"
    if case.role == "input" and max(case.geometry.stride[:-2]) > 1:
        return "the input role needs stride 1 in all dimensions but the last two"
    return None


def scratch(case: Case, inner: int) -> int:
    """The padded image, slices, and the results of all leading taps."""
    *lead, _, _ = case.geometry.kernel
    taps = math.prod(lead)
    image: Role = "output" if case.role == "input" else "input"
    strided = max(case.geometry.stride[:-2]) > 1
    read = _slices_read(case) / math.prod(case.spec.space(image)[:-2])
    copies = taps if strided or case.role == "kernel" else 1
    slices = math.ceil(copies * read * case.bytes(image))
    results = case.bytes("output")  # transposed
    if case.role != "kernel":
        results = taps * summed_bytes(case)
    framed = framed_bytes(case, image) + case.bytes("kernel")
    return framed + max(slices, inner) + results + widened_bytes(case)


ROWS = Lowering(
    "rows",
    "a 1-D convolution as a 2-D one of height 1",
    {"output": contract, "input": contract, "kernel": contract},
    refuse_planes,
    scratch_row,
    inner=inner_row,
)

SLICES = Lowering(
    "slices",
    "2-D convolutions of slices, added over the taps in depth",
    {"output": output, "input": input, "kernel": kernel},
    refuse,
    scratch,
    inner=inner,
)
