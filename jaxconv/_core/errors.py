"""The form of every error: name=value: the rule. What to write instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

MOST = 8  # shown numbers of a vector, or arrays of a list
LONGEST = 160  # shown characters of a value


def fail(
    name: str, got: Any, rule: str, remedy: str, error: type[Exception] = ValueError
) -> NoReturn:
    """Raises ``error`` for an argument that the user passed."""
    raise error(f"{name}={shown(got)}: {rule}. {remedy}.")


def shown(value: Any) -> str:
    """The text of a value; of an array only type and shape, and long text is cut."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        shape: list[Any] = list(value.shape)
        if len(shape) > 1 or any(size > MOST for size in shape):
            return f"<array {getattr(value.dtype, 'name', value.dtype)}{shape}>"
    if type(value) in (tuple, list) and any(hasattr(v, "shape") for v in value):
        inside = ", ".join(map(shown, value[:MOST]))
        return f"<{type(value).__name__} of {len(value)}: {inside}>"
    text = " ".join(repr(value).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 4]} ..."


def choice(name: str, value: Any, options: Sequence[str]) -> Any:
    """Returns ``value`` if it is one of the options, else raises."""
    if not (isinstance(value, str) and value in options):
        listed = ", ".join(repr(option) for option in options)
        kind = ValueError if isinstance(value, str) else TypeError
        rule = "is not one of the known words"
        fail(name, value, rule, f"Write one of {listed}", kind)
    return value
