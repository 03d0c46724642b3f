"""What both primitives share: operands that vary alike, and emission of one program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.interpreters import mlir
from jax.sharding import AxisType, NamedSharding, PartitionSpec


def vary_alike(*operands: Any) -> Sequence[Any]:
    """Inside shard_map, makes all operands vary over the same mesh axes.

    The transpose of the cast is the psum that an unvarying operand's gradient needs.
    """
    axes = [jax.typeof(v).manual_axis_type.varying for v in operands]
    union = frozenset().union(*axes)
    return [
        jax.lax.pcast(v, tuple(union - have), to="varying") if union - have else v
        for v, have in zip(operands, axes, strict=True)
    ]


def like(shape: Sequence[int], *operands: jax.Array) -> jax.ShapeDtypeStruct:
    """An array of this shape to be, of the first operand's type.

    Inside shard_map it varies over every mesh axis that an operand varies over.
    """
    avals = [jax.typeof(v) for v in vary_alike(*operands)]
    mesh = avals[0].sharding.mesh
    if mesh.empty:
        return jax.ShapeDtypeStruct(shape, avals[0].dtype)
    whole = NamedSharding(mesh, PartitionSpec())
    kind = avals[0].manual_axis_type
    return jax.ShapeDtypeStruct(
        shape, avals[0].dtype, sharding=whole, manual_axis_type=kind
    )


def emit(ctx: Any, fun: Callable[..., Any], *operands: Any) -> Any:
    """Lowers ``fun`` in place of a primitive with one result."""
    sharding = ctx.avals_out[0].sharding
    if AxisType.Explicit in sharding.mesh.axis_types:
        fun = jax.sharding.auto_axes(fun, out_sharding=sharding)
    # Inside shard_map a lowering sees one shard; its loops need not say what varies.
    local = [
        v.update(manual_axis_type=type(v.manual_axis_type)()) for v in ctx.avals_in
    ]
    inner = ctx.replace(avals_in=local)
    return mlir.lower_fun(fun, multiple_results=False)(inner, *operands)
