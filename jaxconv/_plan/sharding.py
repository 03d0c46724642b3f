"""Which lowering runs where XLA is to partition it.

Under `jit` with sharded operands the plan does not know which axes are sharded: XLA
decides that after the lowering.  So it takes a lowering that XLA partitions over every
axis: batch, channels and groups apart, space with only the rows that cross a border.
Most others merge axes, cut a sharded one at odd places or loop along it, and there XLA
gathers the whole image.  Inside `jax.shard_map` a lowering sees one shard, and the plan
chooses freely.
"""

from __future__ import annotations

import math
from typing import Any

from jaxconv._core.spec import Case
from jaxconv._lowerings import LOWERINGS
from jaxconv._lowerings.base import DIRECT
from jaxconv._plan import choose as _plan
from jaxconv._plan.choose import Choice

DENSE = "XLA partitions a convolution without groups over any axis"
GROUPED = "XLA gathers grouped convolutions whole, but partitions products per tap"


def partitioned(axis_context: Any) -> bool:
    """Whether XLA partitions what is lowered here over more than one device."""
    mesh = getattr(axis_context, "mesh", None)
    if mesh is None:
        return getattr(axis_context, "num_devices", 1) > 1
    shared = (n for name, n in mesh.shape.items() if name not in manual(axis_context))
    return math.prod(shared) > 1


def manual(axis_context: Any) -> frozenset[str]:
    """The mesh axes whose shards the function handles itself, as in shard_map."""
    return frozenset(axis_context.manual_axes)


def choose(case: Case, platform: str) -> Choice:
    """The lowering asked for, else one that XLA partitions over any axis.

    Depthwise convolutions it partitions as such, which a CPU runs slowly.
    """
    named = LOWERINGS.get(case.spec.lowering or "")
    if named is not None and named.refuse(case) is None:
        return _plan.choose(case, platform)
    grouped = case.groups > 1 and (platform == "cpu" or not case.depthwise)
    lowering = LOWERINGS["einsum" if grouped else "xla"]
    if case.spec.lowering == DIRECT and lowering.spreads(case) is not None:
        return _plan.choose(case, platform)
    return Choice(lowering, GROUPED if grouped else DENSE)
