"""The plan's rules for programs that XLA partitions over devices.

Under `jit` with sharded operands the plan does not know which axes are sharded: XLA
decides that after the lowering.  So it takes a lowering that XLA partitions over every
axis: batch, channels and groups apart, space with only the rows that cross a border.
Most others merge axes, cut a sharded one at odd places or loop along it, and there XLA
gathers the whole image.  Inside `jax.shard_map` a lowering sees one shard, and the plan
chooses freely.
"""

from __future__ import annotations

from jaxconv._core.spec import Case
from jaxconv._plan.rule import Rule

OTHERS = ("cuda", "rocm", "tpu", "default")
REASON = "XLA gathers grouped convolutions whole, but partitions products per tap"


def _groups(case: Case) -> bool:
    return case.groups > 1


def _not_depthwise(case: Case) -> bool:
    """XLA partitions depthwise convolutions as such, which a CPU runs slowly."""
    return case.groups > 1 and not case.depthwise


PARTITIONED: tuple[Rule, ...] = (
    Rule("einsum", ("cpu",), _groups, REASON, limited=False, partitioned=True),
    Rule("einsum", OTHERS, _not_depthwise, REASON, limited=False, partitioned=True),
    Rule(
        "xla",
        ("cpu", *OTHERS),
        lambda case: True,
        "XLA partitions a convolution without groups over any axis",
        limited=False,
        partitioned=True,
    ),
)
