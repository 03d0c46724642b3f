"""The plan's rule for programs that XLA partitions, where a contraction may not itself.

A contraction divides itself into shards (`partition`), but not in a program for TPUs or
an exported one, and not inside a `jax.shard_map` that leaves some mesh axes to XLA.
There it is a product per tap, with batch, channels and groups apart and space shifted
without a change of size: XLA partitions all of these rightly, over any axis.  Of
convolutions it makes wrong programs, and it gathers the image of one with groups
(docs/xla-notes.md).
"""

from __future__ import annotations

from jaxconv._plan.rule import Rule

EVERYWHERE = ("cpu", "cuda", "rocm", "tpu", "default")
REASON = "XLA partitions products per tap rightly, over any axis"

PARTITIONED: tuple[Rule, ...] = (
    Rule(
        "einsum",
        EVERYWHERE,
        lambda case: True,
        REASON,
        limited=False,
        partitioned=True,
    ),
)
