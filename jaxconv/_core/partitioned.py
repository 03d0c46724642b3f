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
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec

from jaxconv._core.geometry import Ints
from jaxconv._core.primitive import emit
from jaxconv._core.tiles import Tiling, digits

Digits = tuple[Ints, ...]  # of each axis of an array, those that cut it


class Shards(NamedTuple):
    """The program of one device: how operands and result lie, and what it computes."""

    operands: tuple[Digits, ...]
    result: Digits
    compute: Callable[..., jax.Array]


Divide = Callable[[Any, tuple[Any, ...], tuple[Digits, ...], Ints], Shards]
Rule = Callable[[Any, tuple[Any, ...]], tuple[str, dict[str, int]]]


def names(used: Ints) -> tuple[str, ...]:
    """The mesh axes of these digits, inside `Shards.compute`."""
    return tuple(f"digit{place}" for place in used)


def can_partition(ctx: Any) -> bool:
    """Whether a primitive lowered in this context may partition itself.

    Not within a `jax.shard_map` of some axes only, where devices have other numbers; an
    exported program would have to take this Python code along; and the compiler for
    TPUs does not call it (jax-ml/jax#38196), nor does the older partitioner, GSPMD.
    """
    module = ctx.module_context
    if module.lowering_parameters.for_export or "tpu" in module.platforms:
        return False
    if not getattr(jax.config, "jax_use_shardy_partitioner", True):
        return False
    return getattr(module.axis_context, "num_devices", 1) > 1


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
            lambda *v: whole(*v[:-1]), static_argnums=(operands, operands + 1)
        )
        self.call.def_partition(
            self._partition, sharding_rule=self._spread, decode_shardings=False
        )

    def emit(self, ctx: Any, static: Any, *operands: Any) -> Any:
        """Lowers the function in place of a primitive with one result."""
        total = ctx.module_context.axis_context.num_devices
        module = _with_devices(ctx.module_context)
        fun = partial(_call, self.call, (static, total))
        return emit(ctx.replace(module_context=module), fun, *operands)

    def _partition(
        self, static: Any, total: int, mesh: Any, args: Any, result: Any
    ) -> Any:
        del mesh  # that of the whole program, if it has one only
        arrays = (*args, result)
        found = digits(total, [_tiling(v) for v in arrays])
        if found is None:  # no mesh has all of these: every device computes the whole
            found = digits(total, [None for _ in arrays])
        assert found is not None
        runs, used = found
        bases = tuple(run.base for run in runs)
        lying = tuple(
            tuple(axes[: len(v.shape)]) or ((),) * len(v.shape)
            for v, axes in zip(arrays, used, strict=True)
        )
        shards = self.divide(static, arrays, lying, bases)
        place = partial(_place, AbstractMesh(bases, names(tuple(range(len(bases))))))
        operands = tuple(map(place, shards.operands))
        result_place = place(shards.result)
        compute = _without_mesh(shards.compute)
        return result_place.mesh, compute, result_place, operands

    def _spread(self, static: Any, total: int, mesh: Any, *types: Any) -> Any:
        del total, mesh
        arrays = (v for some in types for v in some)
        shapes = tuple(jax.ShapeDtypeStruct(v.shape, np.float32) for v in arrays)
        return self.rule(static, shapes)


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


def _call(call: Callable[..., Any], static: tuple[Any, ...], *operands: Any) -> Any:
    with jax.named_scope(f"jaxconv.{static[0].role}"):
        return call(*operands, *static)


def _with_devices(module: Any) -> Any:
    """The module's context, with as many devices as its program is for.

    Nobody asks which they are: the lowering of a custom partitioning counts them, and
    gives them back with the shardings.  JAX names them only to primitives that it then
    refuses to lower for an abstract mesh, or for two meshes at once.
    """
    context = module.axis_context
    devices = (jax.devices()[0],) * context.num_devices
    context = replace(context, device_assignment=devices, abstract_mesh=None)
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
