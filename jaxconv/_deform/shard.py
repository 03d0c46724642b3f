"""Deformable convolution of one shard of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxconv._border import arguments as can
from jaxconv._border import limits
from jaxconv._border.arguments import IntLike, PaddingLike
from jaxconv._border.arrays import Count, Field, Kernel, Sampled
from jaxconv._border.hints import explained
from jaxconv._border.windows import Windows
from jaxconv._core.geometry import Geometry, Ints
from jaxconv._deform import read
from jaxconv._deform.conv import kernel_groups
from jaxconv._deform.read import Options
from jaxconv._ops.halo import check_cut, with_halo


@explained
def deform_conv_shard(
    x: Field,
    offset: Field,
    kernel: Kernel,
    halo: IntLike,
    axis_names: Sequence[str | None],
    *,
    mask: Field | None = None,
    stride: IntLike = 1,
    padding: PaddingLike = 0,
    dilation: IntLike = 1,
    layout: str = "channels_first",
    implementation: str | None = None,
    memory_limit: int | None = None,
    precision: Any = None,
) -> tuple[Sampled, Count]:
    r"""`deform_conv` of one shard of an image, inside `jax.shard_map`, with a halo.

    .. math::
        |\Delta[n, t, p]| \le \mathit{halo} \;\Rightarrow\; y_r[n, o, p] =
            y[n, o, r \cdot \mathit{out}/R + p]

    for shard r of R, where y is the result of `deform_conv` on the whole image.  An
    offset may point anywhere, so `jit` alone has to gather the whole image.  With a
    halo, each shard receives only the nearest elements of its neighbours.  Samples that
    need others are counted in the second result.

    Letters: as in `deform_conv`.

    Args:
      x: one shard of the input, (N, C, \*space), with its batch axis.
      offset: the same shard of the offsets, (N, G*T*d, \*out).
      kernel: weights, (O, C/groups, \*window), the same on every shard.
      halo: the longest offset, in elements of x, for which every position is computed
        correctly; an int or one per axis.
      axis_names: for each spatial axis the mesh axis over which it is sharded, or None
        if it is not.
      mask: the same shard of the factors, (N, G*T, \*out); or None.
      stride, padding, dilation: as for the whole image.
      layout, implementation, memory_limit, precision: as in `deform_conv`.

    Returns:
      The shard of the result, (N, O, \*out), and the number of samples, of all shards
      over ``axis_names``, that are beyond the halo but within the image.  Those read
      zeros instead of the image.  If the number is 0, the result is that of
      `deform_conv`.

    Raises:
      ValueError: as `deform_conv`; also names that are not one per axis, and an axis
        whose input is not stride times its output.
      TypeError: operands of different types, or not floating.

    Example:
      >>> import jax, jax.numpy as jnp, jaxconv
      >>> from jax.sharding import PartitionSpec as P
      >>> mesh = jax.make_mesh((1,), ("rows",), (jax.sharding.AxisType.Auto,))
      >>> x = jnp.array([[[0.0, 10.0, 20.0, 30.0]]])
      >>> offset = jnp.array([[[0.0, 0.5, -0.25, 9.0]]])
      >>> one = jnp.ones((1, 1, 1))
      >>> def shard(x, offset):
      ...     return jaxconv.deform_conv_shard(x, offset, one, 1, ("rows",))
      >>> rows = P(None, None, "rows")
      >>> whole = jax.shard_map(
      ...     shard, mesh=mesh, in_specs=(rows, rows), out_specs=(rows, P())
      ... )
      >>> y, beyond = whole(x, offset)
      >>> y, int(beyond)
      (Array([[[ 0. , 15. , 17.5,  0. ]]], dtype=float32), 0)

    Elsewhere: no counterpart.

    Source: as `deform_conv`; `exchange_halo` moves the rows.
    """
    given = read.arrays(x=x, offset=offset, kernel=kernel, mask=mask)
    shape = given.kernel.shape
    ndim, arranged = can.spatial_rank(shape), can.layout(layout)
    if not can.has_batch(given.x.shape, ndim):
        rule = "has no batch axis, which a shard needs"
        can.fail("x.shape", given.x.shape, rule, "Write x[None], and offset[None]")
    names, reach = _names(axis_names, ndim), can.ints("halo", halo, ndim, 0)
    groups = kernel_groups(given.x.shape, given.x.shape, shape, arranged)
    windows = Windows.read(ndim, stride, padding, dilation, "zeros")
    local = arranged.space(given.x.shape)
    shards = tuple(1 if name is None else int(lax.axis_size(name)) for name in names)
    size = tuple(a * b for a, b in zip(local, shards, strict=True))
    whole, _ = windows.conv(size, arranged.window(shape))
    geometry, low, high = _local(whole, shards, reach)
    longest = max(geometry.input)
    limits.indexed("halo", reach, "elements along an axis of a shard", longest)
    options = Options(implementation, memory_limit, precision)
    first = arranged.lead
    with jax.named_scope("jaxconv.deform_conv_shard"):
        image = with_halo(given.x, low, high, names, first)
        call = read.deform(
            "output",
            geometry,
            arranged,
            groups,
            image.shape,
            given.offset,
            given.mask,
            options,
        )
        starts = [
            lax.axis_index(name) * n - lo if name is not None else jnp.zeros((), int)
            for name, n, lo in zip(names, local, low, strict=True)
        ]
        beyond = _beyond(call.positions(given.offset), starts, geometry.input, size)
        y = call(image, call.columns(given.offset, given.mask), given.kernel)
        return y, _sum(beyond, names)


def _names(axis_names: Any, ndim: int) -> tuple[str | None, ...]:
    if not can.is_sequence(axis_names) or len(axis_names) != ndim:
        rule = f"is not one name, or None, for each of {ndim} spatial axes"
        remedy = f"Write a tuple of {ndim}"
        can.fail("axis_names", axis_names, rule, remedy)
    return tuple(axis_names)


def _local(whole: Geometry, shards: Ints, reach: Ints) -> tuple[Geometry, Ints, Ints]:
    """The geometry of a shard with its halo, and the halo in front and behind."""
    inputs, outputs, lows, low, high = [], [], [], [], []
    axes = enumerate(zip(whole.axes, shards, reach, strict=True))
    for number, (axis, count, more) in axes:
        front = behind = 0
        if count > 1:
            check_cut(axis, count, number)
            front = max(0, axis.lo + more)
            behind = max(0, axis.span - axis.s - axis.lo + more)
        inputs.append(axis.i // count + front + behind)
        outputs.append(axis.o // count)
        lows.append(axis.lo - front)
        low.append(front)
        high.append(behind)
    geometry = Geometry(
        tuple(inputs),
        whole.kernel,
        tuple(outputs),
        whole.stride,
        whole.dilation,
        tuple(lows),
    )
    return geometry, tuple(low), tuple(high)


def _beyond(
    positions: Sequence[jax.Array], starts: Sequence[jax.Array], have: Ints, size: Ints
) -> jax.Array:
    """The number of samples that need a pixel of the image that the shard lacks.

    A sample reads cell = floor(position) and cell + 1 on every axis; at an integer
    position cell + 1 has weight 0.
    """
    near = jnp.ones(positions[0].shape, bool)
    missed = jnp.zeros(positions[0].shape, bool)
    for position, start, n, total in zip(positions, starts, have, size, strict=True):
        at = start.astype(position.dtype)
        near &= (position + at >= -1) & (position + at < total)
        cell = jnp.floor(position)
        front = (position < 0) & (jnp.minimum(cell + 1, -1) + at >= 0)
        behind = (position > n - 1) & (jnp.maximum(cell, n) + at < total)
        missed |= front | behind
    return (near & missed).sum(dtype=jnp.int32)


def _sum(count: jax.Array, names: Sequence[str | None]) -> jax.Array:
    cut = tuple(dict.fromkeys(name for name in names if name is not None))
    return lax.psum(count, cut) if cut else count
