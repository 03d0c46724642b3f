"""Steps that all primitives share: types inside `shard_map`, and lowering in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.interpreters import mlir
from jax.sharding import AxisType, NamedSharding, PartitionSpec


def vary_alike(*operands: Any) -> Sequence[Any]:
    """Casts all operands to vary over the same mesh axes, inside `shard_map`.

    The transpose of the cast is a psum, which the gradient of an unvarying operand
    needs.
    """
    axes = [jax.typeof(v).manual_axis_type.varying for v in operands]
    union = frozenset().union(*axes)
    return [
        jax.lax.pcast(v, tuple(union - have), to="varying") if union - have else v
        for v, have in zip(operands, axes, strict=True)
    ]


def like(shape: Sequence[int], *operands: jax.Array) -> jax.ShapeDtypeStruct:
    """The shape and type of an array like the first operand, with another shape.

    Inside `shard_map` it varies over every mesh axis that any operand varies over.
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
    # Inside shard_map a lowering sees plain local arrays, so that its loops may start
    # from constants, which do not vary over the mesh.
    local = [
        v.update(manual_axis_type=type(v.manual_axis_type)()) for v in ctx.avals_in
    ]
    inner = ctx.replace(avals_in=local)
    return mlir.lower_fun(fun, multiple_results=False)(inner, *operands)
