"""What a rule of the plan is."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from jaxconv._core.spec import Case
from jaxconv._plan.place import Place


class Rule(NamedTuple):
    """Where ``applies`` holds on one of the platforms, ``name`` is best, and why."""

    name: str
    platforms: tuple[str, ...]
    applies: Callable[[Case], bool]
    reason: str
    limited: bool = True  # by the plan's memory limit
    partitioned: bool = False  # for programs that XLA partitions over devices
    onednn: bool = False  # only where oneDNN may be called

    def applies_at(self, case: Case, place: Place) -> bool:
        """Whether the rule is for such a place, and the case one of its cases."""
        here = place.platform in self.platforms and place.onednn >= self.onednn
        return here and place.partitioned == self.partitioned and self.applies(case)
