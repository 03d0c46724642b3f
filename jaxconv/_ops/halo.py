"""Sharded space: the halo that a shard needs, and its exchange with neighbours."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax

from jaxconv._border import arguments as can
from jaxconv._border import limits
from jaxconv._border.arguments import IntLike, PaddingLike
from jaxconv._border.arrays import Shaped
from jaxconv._border.hints import explained
from jaxconv._border.windows import Windows
from jaxconv._core.exchange import around
from jaxconv._core.geometry import Axis, Ints

Pairs = tuple[tuple[int, int], ...]
MODES = ("zeros", "circular")


class Halo(NamedTuple):
    """The elements that one shard of an image reads beyond its own, per spatial axis.

    low, high: number of elements from the neighbours in front and behind; negative
      where the shard does not read its own first or last elements.
    padding, output_padding: for the call on the shard with its halo; on an axis that is
      not sharded, those of the whole call.
    output: the size of the shard's result.
    """

    low: Ints
    high: Ints
    padding: Pairs
    output_padding: Ints
    output: Ints


@explained
def halo(
    input_size: IntLike,
    kernel_size: IntLike,
    shards: IntLike,
    *,
    transposed: bool = False,
    stride: IntLike = 1,
    padding: PaddingLike = 0,
    output_padding: IntLike = 0,
    dilation: IntLike = 1,
) -> Halo:
    r"""The elements that one shard of an image needs from its neighbours.

    .. math::
        \mathit{low} = \mathit{lo}, \qquad \mathit{high} = d(k-1) + 1 - s - \mathit{lo}

    for `conv`; for `conv_transpose`, in elements of its argument,

    .. math::
        \mathit{low} = \lceil (d(k-1) - \mathit{lo}) / s \rceil, \qquad
        \mathit{high} = \lceil \mathit{lo} / s \rceil

    Letters: as in `conv`.

    Args:
      input_size: spatial sizes of the whole image, in elements.
      kernel_size: window sizes.  Two ints stand for one axis; a sequence in either
        place gives the number of axes.
      shards: number of equal parts of an axis; an int, or one per axis.
      transposed: whether the call is `conv_transpose` instead of `conv`.
      stride, padding, dilation: as in `conv` and `conv_transpose`.
      output_padding: as in `conv_transpose`.

    Returns:
      A `Halo`: one entry per axis in each field.

    Raises:
      ValueError: a sharded axis, of the input or the result, that the shards do not
        divide, or on which the input is not stride times the output: each shard would
        need a different halo.
      TypeError: anything that is not an int where one must be.

    Example:
      >>> import jaxconv
      >>> jaxconv.halo((64, 64), (5, 3), (4, 1), padding=(2, 1))
      Halo(low=(2, 0), high=(2, 0), padding=((0, 0), (1, 1)), output_padding=(0, 0),
           output=(16, 64))

    Elsewhere: XLA's partitioner computes the same internally; DistConv and PhysicsNeMo
    do in their layers.

    Source: the trilinear form in `conv`.
    """
    if not transposed and output_padding:
        rule = "belongs to a transposed convolution"
        remedy = "Leave it out, or write transposed=True"
        can.fail("output_padding", output_padding, rule, remedy)
    given: dict[str, Any] = {"input_size": input_size, "kernel_size": kernel_size}
    lengths = {len(v) for v in given.values() if can.is_sequence(v)}
    ndim = max(lengths, default=1)
    size, k = (can.ints(name, v, ndim, 1) for name, v in given.items())
    windows = Windows.read(ndim, stride, padding, dilation, "zeros", "kernel_size")
    if transposed:
        geometry, _ = windows.transpose(size, k, output_padding, None)
    else:
        geometry, _ = windows.conv(size, k)
    parts = can.ints("shards", shards, ndim, 1)
    cut = cut_transposed if transposed else cut_conv
    axes = enumerate(zip(geometry.axes, parts, strict=True))
    columns = zip(*(cut(axis, n, number) for number, (axis, n) in axes), strict=True)
    return Halo(*map(tuple, columns))


def cut_conv(
    axis: Axis, shards: int, number: int
) -> tuple[int, int, tuple[int, int], int, int]:
    """One axis of a convolution: low, high, padding, output_padding, output."""
    if shards == 1:
        return 0, 0, (axis.lo, max(0, axis.hi)), 0, axis.o
    check_cut(axis, shards, number)
    return axis.lo, axis.span - axis.s - axis.lo, (0, 0), 0, axis.o // shards


def cut_transposed(
    axis: Axis, shards: int, number: int
) -> tuple[int, int, tuple[int, int], int, int]:
    """One axis of a transposed convolution, whose argument and result are sharded.

    Element q of a shard's result is a sum over the p with p*s + t*d - lo = q, which run
    from ceil((q + lo - d(k-1))/s) to floor((q + lo)/s).
    """
    if shards == 1:
        own, low, high = axis.o, 0, 0
    else:
        check_cut(axis, shards, number)
        own = axis.o // shards
        low = -((axis.lo - axis.span + 1) // axis.s)
        high = -(-axis.lo // axis.s)
    size, first = axis.i // shards, axis.lo + low * axis.s
    last = (own + low + high - 1) * axis.s + axis.span - first - size
    return low, high, (first, max(0, last)), max(0, -last), size


def check_cut(axis: Axis, shards: int, number: int) -> None:
    """Refuses shards that are not equal on both sides, or need different halos."""
    where = f"on axis {number}"
    if axis.i != axis.s * axis.o:
        rule = f"cannot cut {where}, where a convolution of stride {axis.s} takes "
        rule += f"{axis.i} elements to {axis.o}: not {axis.s} times as many"
        remedy = 'Pad as for "SAME", or leave the axis whole'
        can.fail("shards", shards, rule, remedy)
    if axis.o % shards:
        rule = f"does not divide {axis.o} elements {where}"
        can.fail("shards", shards, rule, "Choose a divisor, or pad the image")


@explained
def exchange_halo(
    x: Shaped[jax.Array, "_ ..."],
    low: int,
    high: int,
    axis: int,
    axis_name: str,
    *,
    padding_mode: str = "zeros",
) -> Shaped[jax.Array, "_ ..."]:
    r"""Adds the nearest elements of its neighbours to a shard, inside `jax.shard_map`.

    .. math:: y_r[j] = x[r n + j - \mathit{low}], \quad 0 \le j < n + low + high

    for shard r of n elements, where x is the whole axis.

    Args:
      x: one shard of an array.
      low: number of elements from the shards in front; if negative, as many of the
        shard's own are removed.
      high: number of elements from the shards behind, likewise.
      axis: the axis of x that is sharded.
      axis_name: the mesh axis over which it is sharded.
      padding_mode: what is beyond the ends of the whole axis: "zeros", or "circular"
        for the elements of the other end.

    Returns:
      x with low + n + high elements on that axis.  Each side takes one
      collective-permute, or several if the halo is larger than a shard; so do its
      gradients.

    Raises:
      ValueError: an axis out of range for x; low or high that remove more elements than
        the shard has; an unknown padding_mode.
      TypeError: anything that is not an int where one must be.

    Example:
      >>> import jax, jax.numpy as jnp, jaxconv
      >>> from jax.sharding import PartitionSpec as P
      >>> mesh = jax.make_mesh((1,), ("rows",), (jax.sharding.AxisType.Auto,))
      >>> shard = lambda x: jaxconv.exchange_halo(x, 1, 2, 0, "rows")
      >>> rows = P("rows")
      >>> whole = jax.shard_map(shard, mesh=mesh, in_specs=rows, out_specs=rows)
      >>> whole(jnp.arange(1.0, 4.0))
      Array([0., 1., 2., 3., 0., 0.], dtype=float32)

    Elsewhere: `jax.lax.ppermute` is the primitive; mpi4jax and DistConv have such a
    function.

    Source: the definition above.
    """
    x = can.array("x", x)
    least = -(2**31)
    low, high = can.integer("low", low, least), can.integer("high", high, least)
    if not 0 <= can.integer("axis", axis, 0) < x.ndim:
        rule = f"is no axis of x, which has {x.ndim}"
        can.fail("axis", axis, rule, f"Write an int from 0 to {x.ndim - 1}")
    can.choice("padding_mode", padding_mode, MODES)
    size = x.shape[axis]
    if size == 0 and padding_mode == "circular" and max(low, high) > 0:
        rule = "has no elements on this axis that could come round"
        can.fail("x.shape", x.shape, rule, 'Write padding_mode="zeros"')
    if max(0, -low) + max(0, -high) > size:
        rule = f"cuts more off than the {size} elements that a shard has"
        can.fail("low", low, rule, f"Cut less, in low or in high={high}")
    longer = list(x.shape)
    longer[axis] += low + high
    longest = ("high", high) if high > low else ("low", low)
    limits.indexed(*longest, f"elements on axis {axis}", longer[axis])
    limits.array(*longest, longer)
    circular = padding_mode == "circular"
    with jax.named_scope("jaxconv.exchange_halo"):
        return around(x, low, high, axis, axis_name, circular=circular)


def with_halo(
    x: jax.Array, low: Ints, high: Ints, names: tuple[Any, ...], first: int
) -> jax.Array:
    """Exchanges halos on every axis from ``first`` on that has a mesh axis's name.

    Axes are exchanged one after another, so that corners are included.
    """
    for at, (a, b, name) in enumerate(zip(low, high, names, strict=True), start=first):
        if name is not None:
            x = exchange_halo(x, a, b, at, name)
    return x
