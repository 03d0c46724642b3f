"""The record that defines a rule of the plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from jaxconv._core.spec import Case
from jaxconv._plan.place import Place


class Rule(NamedTuple):
    """The lowering ``name`` is best for cases that ``applies``, for a ``reason``."""

    name: str
    platforms: tuple[str, ...]
    applies: Callable[[Case], bool]
    reason: str
    limited: bool = True  # whether the plan's memory limit holds
    partitioned: bool = False  # whether it is for programs that XLA partitions
    onednn: bool = False  # whether it needs a place where oneDNN may be called

    def applies_at(self, case: Case, place: Place) -> bool:
        """Whether the rule is for this place and applies to this case."""
        here = place.platform in self.platforms and place.onednn >= self.onednn
        return here and place.partitioned == self.partitioned and self.applies(case)
