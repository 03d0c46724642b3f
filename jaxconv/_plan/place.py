"""Where a contraction will run: everything that the plan knows besides the case."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax

from jaxconv._plan import onednn


class Place(NamedTuple):
    """A platform, and the kind of program that a lowering becomes part of.

    partitioned: XLA partitions the program over several devices.
    exporting: `jax.export` makes the program, so it may run on another machine.
    onednn: oneDNN may be called.
    """

    platform: str
    partitioned: bool = False
    exporting: bool = False
    onednn: bool = False

    @classmethod
    def here(cls, platform: str | None = None) -> Place:
        """One device of a platform, by default of JAX's default platform."""
        return cls._with_onednn(platform_name(platform or jax.default_backend()))

    @classmethod
    def of(cls, ctx: Any, platform: str) -> Place:
        """The place that a primitive is lowered for, from its lowering context."""
        module = ctx.module_context
        exporting = module.lowering_parameters.for_export
        shared = partitioned(module.axis_context)
        return cls._with_onednn(platform, shared, exporting)

    @classmethod
    def _with_onednn(cls, *place: Any) -> Place:
        bare = cls(*place)
        return bare._replace(onednn=onednn.obstacle(*place) is None)


def platform_name(backend: str) -> str:
    """Converts the name of a JAX backend to that of a lowering platform."""
    return {"gpu": "cuda"}.get(backend, backend)


def partitioned(axis_context: Any) -> bool:
    """Whether XLA partitions the program over more than one device."""
    mesh = getattr(axis_context, "mesh", None)
    if mesh is None:
        return getattr(axis_context, "num_devices", 1) > 1
    manual = frozenset(axis_context.manual_axes)  # partitioned by shard_map
    return math.prod(n for name, n in mesh.shape.items() if name not in manual) > 1
