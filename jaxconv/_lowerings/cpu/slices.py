"""``slices``: a 3-D convolution as 2-D convolutions of its slices, summed over depth.

XLA's fast convolution has two spatial dimensions.  The leading ones join the batch;
each of their taps is one 2-D convolution over the slices that it reads.
"""

from __future__ import annotations

import functools
import math
import operator
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from jaxconv._core.geometry import Geometry, Ints, read_extent, spread_extent
from jaxconv._core.spec import Case, Role, Sizes, Spec
from jaxconv._lowerings.base import (
    Lowering,
    frame,
    framed_bytes,
    summed_bytes,
    widened_bytes,
)
from jaxconv._lowerings.cpu import chunks
from jaxconv._lowerings.general import xla


def output(x: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    lead, plane = _parts(spec)
    x = frame(x, [read_extent(axis) for axis in lead.axes])
    terms = (
        xla.output(_slices(x, tap, lead), w[tap], plane)
        for tap in np.ndindex(lead.kernel)
    )
    return _stacked(functools.reduce(operator.add, terms), lead.output)


def input(y: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    """With stride 1 in the leading axes, whose taps are then turned around."""
    lead, plane = _parts(spec)
    y = frame(y, [spread_extent(axis) for axis in lead.axes])
    turned = replace(lead, output=lead.input)
    w = jnp.flip(w, tuple(range(lead.ndim)))
    terms = (
        xla.input(_slices(y, tap, turned), w[tap], plane)
        for tap in np.ndindex(lead.kernel)
    )
    return _stacked(functools.reduce(operator.add, terms), lead.input)


def kernel(x: jax.Array, y: jax.Array, spec: Spec) -> jax.Array:
    lead, plane = _parts(spec)
    x = frame(x, [read_extent(axis) for axis in lead.axes])
    y = y.reshape(-1, *y.shape[spec.ndim - 1 :])
    case = Case(plane, Sizes(y.shape[0], x.shape[-1], y.shape[-1]), y.dtype)
    compute = chunks.kernel if chunks.gains(case, 4) else xla.kernel
    parts = [
        compute(_slices(x, tap, lead), y, plane) for tap in np.ndindex(lead.kernel)
    ]
    return jnp.stack(parts).reshape(*lead.kernel, *parts[0].shape)


def _stacked(v: jax.Array, lead: Ints) -> jax.Array:
    """The batch of slices with its leading axes apart again."""
    return v.reshape(-1, *lead, *v.shape[1:])


def _parts(spec: Spec) -> tuple[Geometry, Spec]:
    """The geometry of the leading axes, and the contraction of one slice."""
    g = spec.geometry
    fields = ("input", "kernel", "output", "stride", "dilation", "low")
    lead = Geometry(*(getattr(g, name)[:-2] for name in fields))
    plane = Geometry(*(getattr(g, name)[-2:] for name in fields))
    return lead, replace(spec, geometry=plane)


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


def spreads(case: Case) -> str | None:
    return xla.spreads(case._replace(spec=_parts(case.spec)[1]))


def scratch(case: Case) -> int:
    """The padded image, slices, and the results of all leading taps, to be added."""
    *lead, _, _ = case.geometry.kernel
    taps = math.prod(lead)
    image: Role = "output" if case.role == "input" else "input"
    strided = max(case.geometry.stride[:-2]) > 1
    slices = (taps if strided or case.role == "kernel" else 1) * case.bytes(image)
    results = case.bytes("output")  # put in order
    if case.role != "kernel":
        results = taps * summed_bytes(case)
    framed = framed_bytes(case, image) + case.bytes("kernel")
    return framed + slices + results + widened_bytes(case)


LOWERING = Lowering(
    "slices",
    "2-D convolutions of slices, added over the taps in depth",
    {"output": output, "input": input, "kernel": kernel},
    refuse,
    scratch,
    spreads=spreads,
)
