"""The names that ``implementation=`` takes."""

from __future__ import annotations

from typing import Any

from jaxconv._core.errors import choice, fail
from jaxconv._core.spec import OPERANDS, Case, Role
from jaxconv._lowerings import LOWERINGS

_FUNCTIONS = {"conv": "output", "conv_transpose": "input"}


def lowerings(role: Role) -> tuple[str, ...]:
    """The names that ``implementation=`` takes, for one role of a contraction.

    Args:
      role: "output" (`conv`), "input" (`conv_transpose`, and conv's gradient with
        respect to x) or "kernel" (both functions' gradient with respect to the kernel).

    Returns:
      The names, "xla" first.

    Raises:
      ValueError: an unknown role.

    Example:
      >>> import jaxconv
      >>> "window" in jaxconv.lowerings("output")
      True

    Elsewhere: no counterpart; PyTorch and XLA leave no choice.

    Source: the lowering modules themselves.
    """
    word: Any = role
    if isinstance(word, str) and word in _FUNCTIONS:
        meant = _FUNCTIONS[word]
        fail("role", role, "is a function and no role", f"Write {meant!r}, its role")
    choice("role", role, tuple(OPERANDS))
    return tuple(name for name, lowering in LOWERINGS.items() if role in lowering.roles)


def admissible(case: Case) -> list[str]:
    """The names of the lowerings that do not refuse the case."""
    return [
        name for name in lowerings(case.role) if LOWERINGS[name].refuse(case) is None
    ]
