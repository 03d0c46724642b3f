"""Primitives that partition themselves, where XLA would partition them.

XLA's partitioner asks a custom partitioning how its operands lie and what one device
computes.  Here the question is put in digits of a device's number (`tiles`), and the
answer is given in them, whatever the mesh is: XLA alone knows it.
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
    """The program of one device: how operands and result lie, and what it computes."""

    operands: tuple[Digits, ...]
    result: Digits
    compute: Callable[..., jax.Array]


Divide = Callable[[Any, tuple[Any, ...], tuple[Digits, ...], Ints], Shards]
Rule = Callable[[Any, tuple[Any, ...]], tuple[str, dict[str, int]]]


def can_partition(ctx: Any) -> bool:
    """Whether a primitive lowered in this context may partition itself.

    An exported program would have to take this Python code along; and the compiler for
    TPUs does not call it (jax-ml/jax#38196), nor does the older partitioner, GSPMD.
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


def made_whole(fun: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """The function inside a `jax.shard_map`, cut over no axis that is left to XLA.

    For programs that cannot partition themselves: XLA's partitioner ends the process
    where it has gathers to partition there.
    """

    def whole(v: jax.Array) -> jax.Array:
        return jax.lax.with_sharding_constraint(v, PartitionSpec())

    return lambda *operands: whole(fun(*map(whole, operands)))


class Partitioned:
    """A function of arrays and one static argument, the last, that partitions itself.

    ``divide(static, arrays, digits, bases)`` is the program of one device; the arrays
    are operands and result, by shape and type.  ``rule(static, arrays)`` says in the
    words of `custom_partitioning` which axes have their sharding in common.
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
        # The result's sharding is XLA's to say.
        fun = partial(_call, self.call, replace(static, sharding=None), devices)
        return emit(ctx.replace(module_context=module), fun, *operands)

    def _partition(
        self, static: Any, devices: Devices, mesh: Any, args: Any, result: Any
    ) -> Any:
        del mesh  # that of the whole program, if it has one only
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
    """The function, to be traced once, as outside of any mesh from now until then.

    JAX traces it right after this call, but would give its arguments the types of a
    mesh with explicit axes if the program is compiled inside `jax.set_mesh`.
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
    """The module's context, with as many devices as its program is for.

    Nobody asks which they are: the lowering of a custom partitioning counts them, and
    gives them back with the shardings.  JAX names them only to primitives that it then
    refuses to lower for an abstract mesh, or for two meshes at once.
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
    """How an array lies, as XLA has decided; None where each device has the whole."""
    sharding = v.sharding._to_xla_hlo_sharding(len(v.shape))
    if not sharding.is_tiled() or sharding.subgroup_types():
        return None
    shape = tuple(sharding.tile_assignment_dimensions())
    return Tiling(shape, tuple(sharding.tile_assignment_devices()))


def _place(mesh: AbstractMesh, axes: Digits) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec(*(names(used) or None for used in axes)))
