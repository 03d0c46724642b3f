"""What a rule of the plan is."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from jaxconv._core.spec import Case


class Rule(NamedTuple):
    """Where ``applies`` holds on one of the platforms, ``name`` is best, and why."""

    name: str
    platforms: tuple[str, ...]
    applies: Callable[[Case], bool]
    reason: str
    limited: bool = True  # by the plan's memory limit, as all but a platform's xla are
