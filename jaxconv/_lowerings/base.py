"""The record that defines a lowering, and the steps that most lowerings share.

A lowering computes one or more roles in plain JAX.  Its operands have channels last and
one type: x (n, *space, c), kernel (*window, c, o), y (n, *space, o), with channels
group-major.  Its result has channels last too, and that type or a wider one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxconv._core.dtypes import accumulator
from jaxconv._core.geometry import Extent, Ints, read_extent, spread_extent
from jaxconv._core.spec import Case, Layout, Role, Spec

DIRECT = "direct"  # any lowering in which NaN and infinity do not spread
Compute = Callable[[jax.Array, jax.Array, Spec], jax.Array]
Reduce = Callable[[jax.Array, jax.Array, Spec, Compute], jax.Array]
Steps = Sequence[tuple[str, jax.Array | None]]  # after a contraction, with operands


def reduced(spec: Spec, **changes: Any) -> Spec:
    """The spec of an inner case, with channels last.

    Of the user's wish for a lowering only "direct" applies to an inner case.
    """
    wish = spec.lowering if spec.lowering == DIRECT else None
    return replace(spec, layout=Layout.LAST, lowering=wish, sharding=None, **changes)


@dataclass(frozen=True)
class Lowering:
    """A named way to compute some roles.

    refuse: the reason why a case cannot be computed this way, or None.
    scratch: an upper bound of the bytes that it needs beside operands and result.
    by_hand: whether it is written for teaching; the plan never chooses such a lowering.
    native: whether operands and result have the layout of the spec, not channels last.
    spreads: describes the results that a NaN or an infinity in an operand reaches
      beyond those of direct convolution of zero-padded operands; None if there are
      none.  The cause is a zero that the lowering adds to an operand: 0 * inf is NaN.
    inner: the case that this lowering reduces its own case to.  The roles then take one
      more argument, ``run``, which contracts operands of the inner spec by the lowering
      that the plan chooses for them.  ``scratch`` gets the bytes that this takes as
      its second argument, and ``spreads`` does not include what the inner one spreads.
    finishes: the steps after the output role that it computes in the same pass:
      "shift", which must be first, adds a vector of channels, "add" an array like the
      result, and the others are activations.  The role then takes ``after``, the steps;
      it gets none where all windows read nothing but padding.
    """

    name: str
    summary: str
    roles: Mapping[Role, Compute] | Mapping[Role, Reduce]
    refuse: Callable[[Case], str | None] = lambda case: None
    scratch: Callable[[Case], int] | Callable[[Case, int], int] = lambda case: 0
    by_hand: bool = False
    native: bool = False
    spreads: Callable[[Case], str | None] = lambda case: None
    inner: Callable[[Case], Case] | None = None
    finishes: frozenset[str] = frozenset()


def dot(a: jax.Array, b: jax.Array, summed: tuple[Ints, Ints], spec: Spec) -> jax.Array:
    """The product, summed over these axes of a and of b in the accumulator type."""
    return lax.dot_general(
        a,
        b,
        (summed, ((), ())),
        precision=spec.precision,
        preferred_element_type=accumulator(a.dtype),
    )


def einsum(formula: str, a: jax.Array, b: jax.Array, spec: Spec) -> jax.Array:
    """`jax.numpy.einsum` of two operands, which adds up as `dot` does."""
    return jnp.einsum(
        formula,
        a,
        b,
        precision=spec.precision,
        preferred_element_type=accumulator(a.dtype),
    )


class XlaOptions(TypedDict, total=False):
    """More arguments of `jax.lax.conv_general_dilated`, by its names."""

    lhs_dilation: Sequence[int]
    rhs_dilation: Sequence[int]
    feature_group_count: int
    batch_group_count: int


def convolve(
    x: jax.Array,
    w: jax.Array,
    extents: Sequence[Extent],
    spec: Spec,
    *axes: Ints,
    sums: np.dtype | None,
    window_strides: Sequence[int] | None = None,
    **options: Unpack[XlaOptions],
) -> jax.Array:
    """``lax.conv_general_dilated`` with the zeros of the extents as padding.

    It adds up in the type ``sums``.  ``axes`` are those of both operands and of the
    result, as in lax's ``ConvDimensionNumbers``; by default the output role's with
    channels last.
    """
    n = spec.ndim
    image = (0, n + 1, *range(1, n + 1))
    return lax.conv_general_dilated(
        x,
        w,
        window_strides or (1,) * n,
        [(e.low, e.high) for e in extents],
        dimension_numbers=lax.ConvDimensionNumbers(
            *(axes or (image, (n + 1, n, *range(n)), image))
        ),
        precision=spec.precision,
        preferred_element_type=sums,
        **options,
    )


def native_sums(x: jax.Array, spec: Spec) -> np.dtype | None:
    """The type in which accelerators add up; None leaves it to the unit.

    The result of 16-bit floats has 16 bits.  GPUs and TPUs sum in float32 anyway.  With
    a float32 result, XLA would convert the operands on a GPU, so that its matrix units
    for 16 bits are not used, and write twice the bytes on a TPU.
    """
    as_is = jnp.issubdtype(x.dtype, jnp.floating) and x.dtype == spec.dtype
    return None if as_is else accumulator(x.dtype)


def framed_bytes(case: Case, operand: Role) -> int:
    """Bytes of an image after `frame`."""
    extent = read_extent if operand == "input" else spread_extent
    extents = map(extent, case.geometry.axes)
    framed = math.prod(e.low + e.high + e.stop - e.start for e in extents)
    return case.bytes(operand) // math.prod(case.spec.space(operand)) * framed


def summed_bytes(case: Case) -> int:
    """Bytes of the result in the accumulator type."""
    itemsize = case.spec.dtype.itemsize
    wide = max(itemsize, accumulator(case.dtype).itemsize)
    return case.bytes(case.role) // itemsize * wide


def widened_bytes(case: Case) -> int:
    """Bytes of operands and result in the accumulator type, or 0 if it is no wider."""
    factor = accumulator(case.dtype).itemsize // case.dtype.itemsize
    return factor * case.operand_bytes if factor > 1 else 0


def cut(v: jax.Array, extents: Sequence[Extent], lead: int = 1) -> jax.Array:
    """Slices off what no window reads; the spatial axes begin at ``lead``."""
    index = (slice(e.start, e.stop) for e in extents)
    return v[(*(slice(None),) * lead, *index)]


def pad(
    v: jax.Array, low: Sequence[int], high: Sequence[int], lead: int = 1
) -> jax.Array:
    """Pads the axes from ``lead`` on with zeros; no width may be negative."""
    config = [(0, 0, 0)] * v.ndim
    config[lead : lead + len(low)] = [(*p, 0) for p in zip(low, high, strict=True)]
    return lax.pad(v, jnp.zeros((), v.dtype), config)


def frame(v: jax.Array, extents: Sequence[Extent], lead: int = 1) -> jax.Array:
    """`cut` and `pad`: the axes from ``lead`` on as the windows read them."""
    if any(e.empty for e in extents):
        size = [e.low + e.high + e.stop - e.start for e in extents]
        return jnp.zeros(
            (*v.shape[:lead], *size, *v.shape[lead + len(size) :]), v.dtype
        )
    low, high = [e.low for e in extents], [e.high for e in extents]
    return pad(cut(v, extents, lead), low, high, lead)


def spread(v: jax.Array, stride: Ints) -> jax.Array:
    """Inserts stride-1 zeros between the elements of the spatial axes (axes 1 to n).

    It uses reshape, because XLA would merge an interior ``lax.pad`` into a convolution.
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


def kept_whole(v: jax.Array) -> jax.Array:
    """The same values, which XLA's CPU compiler computes in a loop of their own.

    It would otherwise give a sum that only a reduction reads, such as a pooling, to a
    library together with the reduction, and write every shifted image to memory for it.
    That library has no clamp.
    """
    if not jnp.issubdtype(v.dtype, jnp.floating):
        return v
    infinity = np.array(np.inf, v.dtype)
    return lax.clamp(-infinity, v, infinity)


def flip(w: jax.Array) -> jax.Array:
    """The flipped kernel: every spatial axis is reversed."""
    return lax.rev(w, tuple(range(w.ndim - 2)))


def swap_channels(w: jax.Array, groups: int) -> jax.Array:
    """From a kernel (*window, c, (g, o)) to (*window, o, (g, c))."""
    *window, c, o = w.shape
    w = w.reshape(*window, c, groups, o // groups)
    return jnp.swapaxes(w, -1, -3).reshape(*window, o // groups, c * groups)


def adjoint_kernel(w: jax.Array, groups: int) -> jax.Array:
    """The flipped kernel with swapped channels: the input role convolves y with it."""
    return swap_channels(flip(w), groups)
