"""``lines``: one product per tap, for long axes with few channels on a TPU.

A TPU stores either the channels or the last spatial axis along its registers, whichever
is longer.  XLA's convolutions need the channels there, so XLA transposes long axes with
few channels before and after them.  Products of shifted slices need no transposes.  All
groups are merged into one block (`blocks`).
"""

from __future__ import annotations

import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np

from jaxconv._core.spec import Case, Role, Spec
from jaxconv._lowerings import blocks as _blocks
from jaxconv._lowerings.base import (
    Lowering,
    adjoint_kernel,
    dot,
    frame,
    framed_bytes,
    summed_bytes,
)
from jaxconv._lowerings.images import window

TAPS = 256  # the most taps; with more it takes too long to compile


def output(x: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    w = w.transpose(spec.to_last("kernel"))
    x = frame(x, spec.geometry.read_extents, spec.lead)
    return _sum_of_products(x, w, spec)


def input(y: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    """The output role of the flipped kernel, for stride 1."""
    w = adjoint_kernel(w.transpose(spec.to_last("kernel")), spec.groups)
    y = frame(y, spec.geometry.spread_extents, spec.lead)
    return _sum_of_products(y, w, spec)


def kernel(x: jax.Array, y: jax.Array, spec: Spec) -> jax.Array:
    """The blocks on the diagonal of the dense gradient."""
    g = spec.geometry
    x = frame(x, g.read_extents, spec.lead)
    positions = (0, *range(spec.lead, spec.lead + spec.ndim))  # batch and space
    products = [dot(part, y, (positions, positions), spec) for part in _parts(x, spec)]
    w = jnp.stack(products).reshape(*g.kernel, *products[0].shape)
    w = _blocks.narrow(w, spec.groups, spec.groups)
    return w.transpose(spec.from_last("kernel"))


def _sum_of_products(v: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    """The sum over taps of products, from (n, *space, channels) to the layout."""
    w = _blocks.widen(w, spec.groups, spec.groups)
    w = w.reshape(-1, *w.shape[-2:])
    channel = (spec.axis(spec.operands[0], "c" if spec.role == "output" else "o"),)
    terms = (
        dot(part, tap, (channel, (0,)), spec)
        for part, tap in zip(_parts(v, spec), w, strict=True)
    )
    total = functools.reduce(operator.add, terms)
    return total.transpose(spec.from_last(spec.role))


def _parts(v: jax.Array, spec: Spec) -> list[jax.Array]:
    """The slice that each tap reads at all positions."""
    g = spec.geometry
    size = g.input if spec.role == "input" else g.output
    starts = map(g.start, np.ndindex(g.kernel))
    return [window(v, start, size, g.stride, spec.lead) for start in starts]


def refuse(case: Case) -> str | None:
    if case.geometry.taps > TAPS:
        return f"it writes out at most {TAPS} products, not {case.geometry.taps}"
    if case.role == "input" and max(case.geometry.stride) > 1:
        return "the input role needs stride 1"
    return None


def scratch(case: Case) -> int:
    """The padded image, a slice and a product of every tap, and block kernels."""
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
    "one product of all channels per tap, without transposing long axes",
    {"output": output, "input": input, "kernel": kernel},
    refuse,
    scratch,
    spreads=spreads,
    native=True,
)
