"""Ints, shapes and choices by name."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NoReturn

import jax
import numpy as np

from jaxconv._core.errors import choice, fail, shown
from jaxconv._core.geometry import Ints
from jaxconv._core.spec import Layout

IntLike = int | Sequence[int]

PLATFORMS = ("cpu", "gpu", "cuda", "rocm", "tpu")


def function(name: str, value: Any) -> Any:
    if not callable(value):
        fail(name, value, "is not callable", "Write a function of arrays", TypeError)
    return value


def platform(value: Any) -> str | None:
    """A platform's name, where a GPU has several; None means JAX's default."""
    return None if value is None else choice("platform", value, PLATFORMS)


def layout(value: Any) -> Layout:
    return Layout(choice("layout", value, tuple(map(str, Layout))))


def integer(name: str, value: Any, least: int, whole: Any = None) -> int:
    """An int of at least ``least``.

    If it is an entry of a sequence, ``whole`` is that sequence, shown in an error.
    """
    got, part = (value, "") if whole is None else (whole, f"{shown(value)} ")
    if isinstance(value, bool | np.bool_):
        fail(name, got, f"{part}is a bool", "Write an int", TypeError)
    try:
        number = operator.index(value)
    except jax.errors.JAXTypeError:
        rule = f"{part}is traced, but sizes must be known"
        fail(name, got, rule, "Write an int", TypeError)
    except TypeError:
        fail(name, got, f"{part}is not an int", "Write an int", TypeError)
    if number < least:
        fail(name, got, f"{part}must be at least {least}", f"Write an int >= {least}")
    return number


def is_sequence(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def ints(name: str, value: Any, ndim: int, least: int) -> Ints:
    """One int per spatial axis, from such a sequence or from one int for all axes."""
    if not is_sequence(value):
        return (integer(name, value, least),) * ndim
    entries = tuple(integer(name, entry, least, value) for entry in value)
    if len(entries) != ndim:
        wrong_length(name, value, ndim)
    return entries


def known(name: str, shape: Ints, space: Ints) -> None:
    """Refuses symbolic sizes where numbers are needed."""
    sizes_known: list[Any] = [*space]
    if not all(isinstance(size, int | np.integer) for size in sizes_known):
        sizes = ", ".join(map(str, space))
        rule = f"has the symbolic sizes ({sizes}), which have to be numbers here"
        remedy = (
            "Export with numbers; only conv and conv_transpose take symbols in space"
        )
        fail(name, shape, rule, remedy)


def wrong_length(name: str, value: Any, ndim: int, extra: str = "") -> NoReturn:
    axes = "1 spatial axis" if ndim == 1 else f"{ndim} spatial axes"
    fail(
        name,
        value,
        f"has length {len(value)}, but there {'is' if ndim == 1 else 'are'} {axes}",
        f"Write an int for all axes or a tuple of {ndim}{extra}",
    )


def shape(name: str, value: Any) -> Ints:
    """A shape that is itself an argument."""
    if hasattr(value, "shape") and np.ndim(value) != 1:
        fail(name, value, "is an array, not a shape", "Write its .shape", TypeError)
    if not is_sequence(value):
        fail(name, value, "is not a shape", "Write a tuple of ints", TypeError)
    return tuple(integer(name, size, 0, value) for size in value)


def specs(args: Sequence[Any]) -> tuple[Any, ...]:
    """Arguments of a function to trace; a tuple of ints means a float32 shape."""
    return tuple(_spec(v) if type(v) is tuple else v for v in args)


def _spec(value: tuple[Any, ...]) -> Any:
    if len(value) < 2 or any(type(size) is not int or size < 0 for size in value):
        return value
    return jax.ShapeDtypeStruct(value, np.float32)
