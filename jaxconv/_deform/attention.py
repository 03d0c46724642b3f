"""The sampling step of multi-scale deformable attention."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxconv._border import arguments as can
from jaxconv._border.arrays import Float, Operand
from jaxconv._border.hints import explained
from jaxconv._core.dtypes import accumulator
from jaxconv._core.geometry import Ints
from jaxconv._deform import read
from jaxconv._deform.aggregate import sum_terms
from jaxconv._deform.frame import Frame


@explained
def deform_attention_sample(
    values: Float[Operand, "*n pixels heads c"],
    spatial_shapes: Sequence[Sequence[int]],
    locations: Float[Operand, "*n q heads levels points axes"],
    weights: Float[Operand, "*n q heads levels points"],
) -> Float[jax.Array, "*n q heads*c"]:
    r"""Weighted sums of samples from maps of several sizes, as in Deformable DETR.

    .. math::
        y[n, q, m, c] = \sum_{l, k} A[n, q, m, l, k] \;
            x_l(n, m, c, \; \varphi[n, q, m, l, k] \cdot \mathit{size}_l - 1/2)

    Between pixels x is interpolated linearly, with zeros outside, as in `deform_conv`.
    A location of 0 is the outer edge of a map's first pixel, and 1 that of its last.

    Letters: query q, head m, level l, point k, channel c of the head; A weights,
    :math:`\varphi` locations; S number of pixels of all levels, L levels, d axes.

    Args:
      values: (N, S, M, C): the pixels of the first level row-major, then those of the
        next; or (S, M, C) without a batch; floating.
      spatial_shapes: the size of each level in ints, (height, width) in two dimensions.
      locations: (N, Q, M, L, K, d), with the LAST axis first (x before y).
      weights: (N, Q, M, L, K); no softmax is applied to them.

    Returns:
      (N, Q, M*C).

    Raises:
      ValueError: shapes that do not fit.
      TypeError: operands of different types, or not floating; sizes that are not ints.

    Example:
      >>> import jax.numpy as jnp, jaxconv
      >>> values = jnp.array([0.0, 10.0, 20.0, 30.0, 100.0]).reshape(5, 1, 1)
      >>> levels = ((2, 2), (1, 1))  # four pixels, and one
      >>> middle = jnp.full((1, 1, 2, 1, 2), 0.5)  # one query, head and point
      >>> ones = jnp.ones((1, 1, 2, 1))
      >>> jaxconv.deform_attention_sample(values, levels, middle, ones)
      Array([[115.]], dtype=float32)

    Elsewhere: the core of `MSDeformAttn` in Deformable DETR, mmcv and transformers,
    where spatial_shapes is an array; here sizes must be known when tracing.

    Source: Zhu et al., arXiv:2010.04159, equation 3.
    """
    given = read.arrays(values=values, locations=locations, weights=weights)
    levels = _levels(spatial_shapes)
    has_batch = _has_batch(given.values.shape, levels)
    maps, points, factor = read.with_batch(
        has_batch, given.values, given.locations, given.weights
    )
    _check(maps.shape, levels, points.shape, factor.shape)
    n, _, heads, channels = maps.shape
    wide = accumulator(maps.dtype)
    # The points become the terms of the sums: (n, points, queries, heads, levels, ...).
    points = jnp.moveaxis(points, 4, 1).astype(wide)
    factor = jnp.moveaxis(factor, 4, 1).astype(wide)
    start, total = 0, jnp.zeros((n, points.shape[2], heads, channels), wide)
    with jax.named_scope("jaxconv.deform_attention_sample"):
        for number, space in enumerate(levels):
            stop = start + math.prod(space)
            level = maps[:, start:stop].reshape(n, *space, heads * channels)
            start = stop
            places = [
                points[..., number, -1 - axis] * size - 0.5
                for axis, size in enumerate(space)
            ]
            frame = Frame(space, heads)
            y = sum_terms(frame, level.astype(wide), places, factor[..., number])
            total += y
    y = total.astype(maps.dtype).reshape(n, -1, heads * channels)
    return y if has_batch else y[0]


def _levels(spatial_shapes: Any) -> list[Ints]:
    name = "spatial_shapes"
    if isinstance(spatial_shapes, jax.Array) or not can.is_sequence(spatial_shapes):
        rule = f"is {can.a_kind(spatial_shapes)}, not a sequence of known sizes"
        remedy = "Write a tuple of tuples of ints"
        can.fail(name, spatial_shapes, rule, remedy, TypeError)
    levels = [can.shape(name, level) for level in spatial_shapes]
    if (
        not levels
        or {len(level) for level in levels} != {len(levels[0])}
        or not levels[0]
    ):
        rule = "is not a list of sizes, each with the same number of axes"
        can.fail(name, spatial_shapes, rule, "Write ((height, width), ...)")
    if any(0 in level for level in levels):
        can.fail(name, spatial_shapes, "has an empty level", "Leave that level out")
    return levels


def _has_batch(values: Ints, levels: list[Ints]) -> bool:
    pixels = sum(math.prod(level) for level in levels)
    if len(values) not in (3, 4) or values[-3] != pixels:
        rule = (
            f"must be (N, S, M, C) or (S, M, C) with S = {pixels} pixels of all levels"
        )
        can.fail("values.shape", values, rule, "Check spatial_shapes")
    return len(values) == 4


def _check(values: Ints, levels: list[Ints], locations: Ints, weights: Ints) -> None:
    n, heads, count, ndim = values[0], values[2], len(levels), len(levels[0])
    for level in levels:
        read.countable("spatial_shapes", level, Frame(level, heads))
    if len(locations) != 6:
        rule = f"has {len(locations)} axes with its batch, but needs (N, Q, M, L, K, d)"
        can.fail("locations.shape", locations, rule, "Add the missing axes")
    wanted = (n, locations[1], heads, count, locations[4], ndim)
    reason = f"(N, Q, M, L, K, d) with batch {n} and {heads} heads of values, {count} "
    reason += f"levels of {ndim} axes of spatial_shapes"
    read.matches("locations", locations, wanted, reason)
    reason = "(N, Q, M, L, K), as locations without its last axis"
    read.matches("weights", weights, wanted[:-1], reason)
