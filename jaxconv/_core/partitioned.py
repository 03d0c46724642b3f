"""Primitives that tell XLA's partitioner what one device computes.

While it compiles, XLA's partitioner calls back into a custom partitioning.  It gives
the shardings of operands and result, and asks for the shardings that are wanted and for
the program of one device.  The shardings are lists of device numbers; the mesh is not
always known.  So a device's number is written in digits (`tiles`), one for each prime
factor of a mesh axis, and each digit is an axis of the mesh that the program of one
device uses in its collectives (`devices`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

from jaxconv._core.devices import Devices, Digits, names
from jaxconv._core.geometry import Ints
from jaxconv._core.primitive import emit
from jaxconv._core.tiles import Tiling


class Shards(NamedTuple):
    """The program of one device.

    operands: the digits that shard each axis of each operand.
    result: those of the result.
    compute: from the shards of the operands to the shard of the result.
    """

    operands: tuple[Digits, ...]
    result: Digits
    compute: Callable[..., jax.Array]


Divide = Callable[[Any, tuple[Any, ...], tuple[Digits, ...], Ints], Shards]
Rule = Callable[[Any, tuple[Any, ...]], tuple[str, dict[str, int]]]


def can_partition(ctx: Any) -> bool:
    """Whether a primitive lowered in this context may partition itself.

    An exported program cannot contain this Python code.  The TPU compiler
    (jax-ml/jax#38196) and the older partitioner, GSPMD, never call it.
    """
    module = ctx.module_context
    if module.lowering_parameters.for_export or "tpu" in module.platforms:
        return False
    if not getattr(jax.config, "jax_use_shardy_partitioner", True):
        return False
    return Devices.of(module.axis_context).total > 1


def in_some_axes(ctx: Any) -> bool:
    """Whether this is inside a `jax.shard_map` that leaves mesh axes to XLA."""
    devices = Devices.of(ctx.module_context.axis_context)
    return devices.some and devices.total > 1


def made_whole(
    fun: Callable[..., jax.Array], kept: Ints = ()
) -> Callable[..., jax.Array]:
    """The function with operands and result replicated over the mesh axes left to XLA.

    It is for the inside of a `jax.shard_map` in programs that cannot partition
    themselves: XLA's partitioner ends the process for gathers there.

    kept: the array axes, of operands and result alike, that may stay sharded.
    """

    def whole(v: jax.Array) -> jax.Array:
        free = PartitionSpec.UNCONSTRAINED
        parts = [free if axis in kept else None for axis in range(v.ndim)]
        return jax.lax.with_sharding_constraint(v, PartitionSpec(*parts))

    return lambda *operands: whole(fun(*map(whole, operands)))


class Partitioned:
    """A function of arrays and a last, static argument, that partitions itself.

    whole: the function of unsharded arrays.
    operands: the number of arrays that it takes.
    divide: ``divide(static, arrays, digits, bases)`` is the program of one device, from
      shapes and types of operands and result, the digits that shard each of them, and
      the base of each digit.
    rule: ``rule(static, arrays)`` is the sharding rule of `custom_partitioning`: which
      axes of operands and result are sharded alike.
    """

    def __init__(
        self, whole: Callable[..., Any], operands: int, divide: Divide, rule: Rule
    ) -> None:
        self.divide, self.rule = divide, rule
        self.call = custom_partitioning(
            lambda static, devices, *v: whole(*v[:operands], static),
            static_argnums=(0, 1),
        )
        self.call.def_partition(
            self._partition, sharding_rule=self._spread, decode_shardings=False
        )
        self.operands = operands

    def emit(self, ctx: Any, static: Any, *operands: Any) -> Any:
        """Lowers the function in place of a primitive with one result."""
        devices = Devices.of(ctx.module_context.axis_context)
        module = _with_devices(ctx.module_context)
        # XLA decides the sharding of the result.
        fun = partial(_call, self.call, replace(static, sharding=None), devices)
        return emit(ctx.replace(module_context=module), fun, *operands)

    def _partition(
        self, static: Any, devices: Devices, mesh: Any, args: Any, result: Any
    ) -> Any:
        del mesh  # known only if the program has a single mesh
        given, compass = args[: self.operands], args[self.operands :]
        arrays = (*given, result)
        found = devices.digits([_tiling(v) for v in arrays], [*map(_tiling, compass)])
        lying = tuple(
            axes[: len(v.shape)] or ((),) * len(v.shape)
            for v, axes in zip(arrays, found.used, strict=True)
        )
        shards = self.divide(static, arrays, lying, found.bases)
        place = partial(_place, found.group)
        operands = (*map(place, shards.operands), *(v.sharding for v in compass))
        compute = _without_mesh(lambda *v: shards.compute(*v[: self.operands]))
        return devices.mesh(found.bases), compute, place(shards.result), operands

    def _spread(self, static: Any, devices: Devices, mesh: Any, *types: Any) -> Any:
        del mesh
        (*operands, result) = (
            jax.ShapeDtypeStruct(v.shape, np.float32) for some in types for v in some
        )
        arrays = (*operands[: self.operands], result)
        text, sizes = self.rule(static, arrays)
        if devices.some:  # the compass
            axes = " ".join(f"device{at}" for at in range(len(devices.shape)))
            text = text.replace(" ->", f", {axes} ->")
        return text, sizes


def _without_mesh(fun: Callable[..., Any]) -> Callable[..., Any]:
    """Leaves the surrounding mesh until ``fun`` has been traced once.

    JAX traces the function right after this call.  If the program is compiled inside
    `jax.set_mesh`, JAX would give the function's arguments explicitly sharded types of
    that mesh, so the mesh must be left before they are made.
    """
    outside = jax.sharding.use_abstract_mesh(AbstractMesh((), ()))
    outside.__enter__()

    def traced(*args: Any) -> Any:
        try:
            return fun(*args)
        finally:
            outside.__exit__(None, None, None)

    return traced


def _call(call: Any, static: Any, devices: Devices, *operands: Any) -> Any:
    with jax.named_scope(f"jaxconv.{static.role}"):
        return call(static, devices, *operands, *devices.compass())


def _with_devices(module: Any) -> Any:
    """The module's context with a list of devices of the right length.

    The lowering of a custom partitioning uses only the number of devices.  JAX gives
    the devices to primitives that ask for them, but refuses to lower those for an
    abstract mesh, or for two meshes at once.
    """
    context = module.axis_context
    first = jax.devices()[0]
    if hasattr(context, "mesh"):
        mesh = np.full(tuple(context.mesh.axis_sizes), first, object)
        context = replace(context, mesh=Mesh(mesh, context.mesh.axis_names))
    else:
        assigned = (first,) * context.num_devices
        context = replace(context, device_assignment=assigned, abstract_mesh=None)
    return module.replace(axis_context=context)


def _tiling(v: Any) -> Tiling | None:
    """The sharding that XLA has chosen for an array; None if it is replicated."""
    sharding = v.sharding._to_xla_hlo_sharding(len(v.shape))
    if not sharding.is_tiled() or sharding.subgroup_types():
        return None
    shape = tuple(sharding.tile_assignment_dimensions())
    return Tiling(shape, tuple(sharding.tile_assignment_devices()))


def _place(mesh: AbstractMesh, axes: Digits) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec(*(names(used) or None for used in axes)))
