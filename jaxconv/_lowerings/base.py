"""What a lowering is, and the few steps that most of them share.

A lowering computes one or more roles in plain JAX.  It gets channels-last operands of
one type (x (n, *space, c), kernel (*window, c, o), y (n, *space, o), channels
group-major) and returns the result channels last, in that type or a wider one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxconv._core.dtypes import accumulator
from jaxconv._core.geometry import Extent, Ints, read_extent, spread_extent
from jaxconv._core.spec import Case, Role, Spec

DIRECT = "direct"  # asks for any lowering in which NaN and infinity do not spread
Compute = Callable[[jax.Array, jax.Array, Spec], jax.Array]
Reduce = Callable[[jax.Array, jax.Array, Spec, Compute], jax.Array]


def reduced(spec: Spec, **changes: Any) -> Spec:
    """The spec of an inner case: channels last, and only "direct" is asked for."""
    wish = spec.lowering if spec.lowering == DIRECT else None
    return replace(
        spec, layout="channels_last", lowering=wish, sharding=None, **changes
    )


def _accepts(case: Case) -> str | None:
    return None


def _no_scratch(case: Case) -> int:
    return 0


def _as_direct(case: Case) -> str | None:
    return None


@dataclass(frozen=True)
class Lowering:
    """A named way to compute some roles.

    ``refuse`` gives the reason why a case cannot be computed this way, or None.
    ``scratch`` bounds the bytes it needs beside operands and result.  A lowering
    ``by_hand`` is written for teaching, and the plan never picks it.  A ``native`` one
    takes and returns the layout of its spec instead of channels last.

    ``spreads`` describes which results a NaN or an infinity in an operand reaches
    beyond those of direct convolution of the zero-padded operands (zeros put into an
    operand multiply it: 0 * inf is NaN); None if there are no such results.

    A lowering with ``inner`` reduces its case to that other one.  Its roles take one
    more argument, ``run``, which contracts operands of the inner spec by whatever the
    plan chooses for them; ``scratch`` is given the bytes that this needs, and
    ``spreads`` leaves out what it adds.
    """

    name: str
    summary: str
    roles: Mapping[Role, Compute] | Mapping[Role, Reduce]
    refuse: Callable[[Case], str | None] = _accepts
    scratch: Callable[[Case], int] | Callable[[Case, int], int] = _no_scratch
    by_hand: bool = False
    native: bool = False
    spreads: Callable[[Case], str | None] = _as_direct
    inner: Callable[[Case], Case] | None = None


def dot(a: jax.Array, b: jax.Array, summed: tuple[Ints, Ints], spec: Spec) -> jax.Array:
    """The product, summed over these axes of a and of b in the type to add up in."""
    return lax.dot_general(
        a,
        b,
        (summed, ((), ())),
        precision=spec.precision,
        preferred_element_type=accumulator(a.dtype),
    )


def framed_bytes(case: Case, operand: Role) -> int:
    """Bytes of an image as `frame` makes it."""
    extent = read_extent if operand == "input" else spread_extent
    extents = map(extent, case.geometry.axes)
    framed = math.prod(e.low + e.high + e.stop - e.start for e in extents)
    return case.bytes(operand) // math.prod(case.spec.space(operand)) * framed


def summed_bytes(case: Case) -> int:
    """Bytes of the result in the type to add up in."""
    itemsize = case.spec.dtype.itemsize
    wide = max(itemsize, accumulator(case.dtype).itemsize)
    return case.bytes(case.role) // itemsize * wide


def widened_bytes(case: Case) -> int:
    """Bytes of operands and result in the type to add up in, if that is a wider one."""
    factor = accumulator(case.dtype).itemsize // case.dtype.itemsize
    return factor * case.operand_bytes if factor > 1 else 0


def cut(v: jax.Array, extents: Sequence[Extent], lead: int = 1) -> jax.Array:
    """Of each spatial axis, ``lead`` and those after it, what is read at all."""
    index = (slice(e.start, e.stop) for e in extents)
    return v[(*(slice(None),) * lead, *index)]


def pad(
    v: jax.Array, low: Sequence[int], high: Sequence[int], lead: int = 1
) -> jax.Array:
    """Zeros around the axes from ``lead`` on, never a negative number of them."""
    config = [(0, 0, 0)] * v.ndim
    config[lead : lead + len(low)] = [(*p, 0) for p in zip(low, high, strict=True)]
    return lax.pad(v, jnp.zeros((), v.dtype), config)


def frame(v: jax.Array, extents: Sequence[Extent], lead: int = 1) -> jax.Array:
    """The axes from ``lead`` on as all windows read them: cut, and zeros around."""
    if any(e.empty for e in extents):
        size = [e.low + e.high + e.stop - e.start for e in extents]
        return jnp.zeros(
            (*v.shape[:lead], *size, *v.shape[lead + len(size) :]), v.dtype
        )
    low, high = [e.low for e in extents], [e.high for e in extents]
    return pad(cut(v, extents, lead), low, high, lead)


def spread(v: jax.Array, stride: Ints) -> jax.Array:
    """stride-1 zeros between the elements of the spatial axes (axes 1 to n).

    Built by reshaping: XLA would fold an interior ``lax.pad`` into a convolution.
    """
    for axis, s in enumerate(stride, start=1):
        if s > 1:
            shape = v.shape
            config = [(0, 0, 0)] * (v.ndim + 1)
            config[axis + 1] = (0, s - 1, 0)
            v = lax.pad(jnp.expand_dims(v, axis + 1), jnp.zeros((), v.dtype), config)
            v = v.reshape(*shape[:axis], shape[axis] * s, *shape[axis + 1 :])
            v = lax.slice_in_dim(v, 0, (shape[axis] - 1) * s + 1, axis=axis)
    return v


def flip(w: jax.Array) -> jax.Array:
    """The kernel turned by 180 degrees: every spatial axis reversed."""
    return lax.rev(w, tuple(range(w.ndim - 2)))


def swap_channels(w: jax.Array, groups: int) -> jax.Array:
    """A kernel (*window, c, (g, o)) as (*window, o, (g, c))."""
    *window, c, o = w.shape
    w = w.reshape(*window, c, groups, o // groups)
    return jnp.swapaxes(w, -1, -3).reshape(*window, o // groups, c * groups)
