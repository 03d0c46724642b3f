"""How jaxconv refuses: name=value: the rule. What to write instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn


def fail(
    name: str, got: Any, rule: str, remedy: str, error: type[Exception] = ValueError
) -> NoReturn:
    raise error(f"{name}={got!r}: {rule}. {remedy}.")


def choice(name: str, value: Any, options: Sequence[str]) -> Any:
    """The value, which has to be one of these words."""
    if not (isinstance(value, str) and value in options):
        listed = ", ".join(repr(option) for option in options)
        kind = ValueError if isinstance(value, str) else TypeError
        rule = "is not one of the known words"
        fail(name, value, rule, f"Write one of {listed}", kind)
    return value
