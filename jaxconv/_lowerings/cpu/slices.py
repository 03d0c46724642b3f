"""``slices``: a 3-D convolution as 2-D convolutions of its slices, summed over depth.

XLA's fast convolution on a CPU has two spatial axes.  The leading axes are merged into
the batch, and each of their taps is one 2-D convolution of the slices that it reads.
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
from jaxconv._core.geometry import Geometry, Ints, read_extent, spread_extent
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


def output(x: Input, w: Kernel, spec: Spec, run: Compute) -> Output:
    lead, plane = _parts(spec)
    x = frame(x, [read_extent(axis) for axis in lead.axes])
    terms = (
        run(_slices(x, tap, lead), w[tap], plane) for tap in np.ndindex(lead.kernel)
    )
    return _stacked(functools.reduce(operator.add, terms), lead.output)


def input(y: Output, w: Kernel, spec: Spec, run: Compute) -> Input:
    """Flips the leading axes of the kernel; their stride must be 1."""
    lead, plane = _parts(spec)
    y = frame(y, [spread_extent(axis) for axis in lead.axes])
    turned = replace(lead, output=lead.input)
    w = jnp.flip(w, tuple(range(lead.ndim)))
    terms = (
        run(_slices(y, tap, turned), w[tap], plane) for tap in np.ndindex(lead.kernel)
    )
    return _stacked(functools.reduce(operator.add, terms), lead.input)


def kernel(x: Input, y: Output, spec: Spec, run: Compute) -> Kernel:
    lead, plane = _parts(spec)
    x = frame(x, [read_extent(axis) for axis in lead.axes])
    y = y.reshape(-1, *y.shape[spec.ndim - 1 :])
    parts = [run(_slices(x, tap, lead), y, plane) for tap in np.ndindex(lead.kernel)]
    return jnp.stack(parts).reshape(*lead.kernel, *parts[0].shape)


def _stacked(v: jax.Array, lead: Ints) -> jax.Array:
    """Splits the batch of slices into the batch and its leading axes."""
    return v.reshape(-1, *lead, *v.shape[1:])


def _parts(spec: Spec) -> tuple[Geometry, Spec]:
    """The geometry of the leading axes, and the spec of one slice's contraction.

    Its results are added up, so they have the accumulator type.
    """
    g = spec.geometry
    fields = ("input", "kernel", "output", "stride", "dilation", "low")
    lead = Geometry(*(getattr(g, name)[:-2] for name in fields))
    plane = Geometry(*(getattr(g, name)[-2:] for name in fields))
    wide = np.promote_types(spec.dtype, accumulator(spec.dtype))
    return lead, reduced(spec, geometry=plane, dtype=wide)


def inner(case: Case) -> Case:
    """The contraction of all slices that one leading tap reads."""
    _, plane = _parts(case.spec)
    sizes = case.sizes._replace(n=case.sizes.n * inner_slices(case))
    return case._replace(spec=plane, sizes=sizes)


def inner_slices(case: Case) -> int:
    """The number of slices of an image that one leading tap reads."""
    lead, _ = _parts(case.spec)
    return math.prod(lead.input if case.role == "input" else lead.output)


def _slices(v: jax.Array, tap: Ints, lead: Geometry) -> jax.Array:
    """The slices that a tap reads, as a batch."""
    start = [t * d for t, d in zip(tap, lead.dilation, strict=True)]
    stop = [
        b + (n - 1) * s + 1
        for b, n, s in zip(start, lead.output, lead.stride, strict=True)
    ]
    v = v[(slice(None), *map(slice, start, stop, lead.stride))]
    return v.reshape(-1, *v.shape[lead.ndim + 1 :])


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
    read = inner_slices(case) / math.prod(case.spec.space(image)[:-2])
    copies = taps if strided or case.role == "kernel" else 1
    slices = math.ceil(copies * read * case.bytes(image))
    results = case.bytes("output")  # transposed
    if case.role != "kernel":
        results = taps * summed_bytes(case)
    framed = framed_bytes(case, image) + case.bytes("kernel")
    return framed + max(slices, inner) + results + widened_bytes(case)


LOWERING = Lowering(
    "slices",
    "2-D convolutions of slices, added over the taps in depth",
    {"output": output, "input": input, "kernel": kernel},
    refuse,
    scratch,
    inner=inner,
)
