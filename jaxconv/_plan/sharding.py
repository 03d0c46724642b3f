"""The plan's rule for contractions that XLA partitions.

A contraction usually partitions itself (`partition`).  It cannot do so in a program for
TPUs or in an exported program.  There it is computed as one product per tap, with
separate axes for batch, groups and channels, and with spatial shifts that do not change
sizes.  XLA partitions these correctly over any axis.  Its programs for partitioned
convolutions are wrong in some cases, and it gathers the whole image for grouped ones
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
