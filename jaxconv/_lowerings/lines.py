"""``lines``: along one axis, one product of all channels per tap, on a matrix unit.

A TPU keeps whichever of channels and positions is longer along its registers.  XLA's
convolutions want the channels there, and turn a line of few channels around before and
after.  Products of its shifted slices take it as it lies.  All groups make one block
(`_blocks`).
"""

from __future__ import annotations

import functools
import operator

import jax
import jax.numpy as jnp
from jax import lax

from jaxconv._geometry import read_extent, spread_extent
from jaxconv._lowerings import _blocks
from jaxconv._lowerings._base import (
    Lowering,
    accumulator,
    flip,
    frame,
    framed_bytes,
    summed_bytes,
    swap_channels,
)
from jaxconv._lowerings._images import window
from jaxconv._spec import Case, Role, Spec


def output(x: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    w = w.transpose(spec.to_last("kernel"))
    x = frame(x, [read_extent(axis) for axis in spec.geometry.axes], spec.lead)
    return _sum_of_products(x, w, spec)


def input(y: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    """With stride 1: the output role of the turned kernel."""
    w = swap_channels(flip(w.transpose(spec.to_last("kernel"))), spec.groups)
    y = frame(y, [spread_extent(axis) for axis in spec.geometry.axes], spec.lead)
    return _sum_of_products(y, w, spec)


def kernel(x: jax.Array, y: jax.Array, spec: Spec) -> jax.Array:
    """Of the dense gradient, what lies within the groups."""
    g = spec.geometry
    x = frame(x, [read_extent(axis) for axis in g.axes], spec.lead)
    positions = (0, spec.lead)  # batch and space
    products = [
        _dot(part, y, (positions, positions), spec)
        for part in _parts(x, g.output[0], spec)
    ]
    w = _blocks.narrow(jnp.stack(products), spec.groups, spec.groups)
    return w.transpose(spec.from_last("kernel"))


def _sum_of_products(v: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    """As (n, positions, channels), and from there to the layout."""
    w = _blocks.widen(w, spec.groups, spec.groups)
    channel = (spec.axis(spec.operands[0], "c" if spec.role == "output" else "o"),)
    parts = _parts(v, spec.space(spec.role)[0], spec)
    terms = (
        _dot(part, tap, (channel, (0,)), spec)
        for part, tap in zip(parts, w, strict=True)
    )
    total = functools.reduce(operator.add, terms)
    return total.transpose(spec.from_last(spec.role))


def _parts(v: jax.Array, size: int, spec: Spec) -> list[jax.Array]:
    """What each tap reads."""
    (axis,) = spec.geometry.axes
    return [
        window(v, (t * axis.d,), (size,), (axis.s,), spec.lead) for t in range(axis.k)
    ]


def _dot(
    a: jax.Array,
    b: jax.Array,
    contracted: tuple[tuple[int, ...], tuple[int, ...]],
    spec: Spec,
) -> jax.Array:
    return lax.dot_general(
        a,
        b,
        (contracted, ((), ())),
        precision=spec.precision,
        preferred_element_type=accumulator(a.dtype),
    )


def refuse(case: Case) -> str | None:
    if case.spec.ndim != 1:
        return f"it needs one spatial dimension, not {case.spec.ndim}"
    if case.role == "input" and max(case.geometry.stride) > 1:
        return "the input role needs stride 1"
    return None


def scratch(case: Case) -> int:
    """The framed line, a slice and a product for every tap at once, wide kernels."""
    image: Role = "output" if case.role == "input" else "input"
    parts = framed_bytes(case, image) * (1 + case.geometry.taps)
    kernels = 3 * case.groups * case.bytes("kernel")
    return parts + (1 + case.geometry.taps) * summed_bytes(case) + kernels


def spreads(case: Case) -> str | None:
    if case.groups == 1 or case.role == "kernel":
        return None
    return f"from an image into the {case.groups} groups, as NaN"


LOWERING = Lowering(
    "lines",
    "along one axis, one product of all channels per tap",
    {"output": output, "input": input, "kernel": kernel},
    refuse,
    scratch,
    spreads=spreads,
    native=True,
)
