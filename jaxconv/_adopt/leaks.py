"""Finds an object that still has an array of a trace that has ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from functools import partial
from inspect import isclass, isfunction, ismethod, ismodule
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

MOST = 100_000  # the most objects that are searched
_ATOMS = (jax.Array, np.ndarray, str, bytes, int, float, complex, type(None))


def holder(roots: list[Any], trace: Any) -> tuple[str, str] | None:
    """The type and path of an object reachable from the roots that holds a tracer."""
    queue = deque((root, _label(root), root) for root in roots)
    seen: dict[int, Any] = {}  # keeps objects alive, so that ids stay unique
    while queue and len(seen) < MOST:
        value, path, owner = queue.popleft()
        if isinstance(value, Tracer) and trace_of(value) is trace:
            return type(owner).__name__, path
        if id(value) in seen or isinstance(value, _ATOMS):
            continue
        seen[id(value)] = value
        plain = isinstance(value, (list, tuple, set, Mapping))
        owned = owner if plain else value
        queue.extend((child, path + step, owned) for step, child in _children(value))
    return None


def trace_of(value: Any) -> Any:
    return getattr(value, "_trace", None)


def _label(value: Any) -> str:
    return getattr(value, "__name__", type(value).__name__)


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    if ismodule(value) or isclass(value):
        return
    if isinstance(value, Mapping):
        yield from ((f"[{key!r}]", v) for key, v in list(value.items()))
    elif isinstance(value, (list, tuple, deque)):
        yield from ((f"[{n}]", v) for n, v in enumerate(list(value)))
    elif isinstance(value, (set, frozenset)):
        yield from (("{...}", v) for v in list(value))
    elif isinstance(value, partial):
        yield from ((".func", value.func), (".args", value.args))
        yield ".keywords", value.keywords
    elif ismethod(value):
        yield ".__self__", value.__self__
    if isfunction(value):
        yield from _variables(value)
    yield from _attributes(value)


def _variables(fn: Any) -> Iterator[tuple[str, Any]]:
    """The outer variables that a function, or a function inside it, uses."""
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        try:
            yield f", {name}", cell.cell_contents
        except ValueError:  # not yet assigned
            continue
    names: set[str] = set()
    codes = [fn.__code__]
    while codes:
        code = codes.pop()
        names.update(code.co_names)
        codes += [c for c in code.co_consts if hasattr(c, "co_names")]
    for name in sorted(names & fn.__globals__.keys()):
        found = fn.__globals__[name]
        if not isfunction(found) or found.__module__ == fn.__module__:
            yield f", {name}", found


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    for name, v in list(getattr(value, "__dict__", {}).items()):
        yield f".{name}", v
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                yield f".{name}", getattr(value, name)
