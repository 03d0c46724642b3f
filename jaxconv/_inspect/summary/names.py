"""Names of layers: the paths of their parameters in the model, or name stacks."""

from __future__ import annotations

import functools
import inspect
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax

Key = int | str  # an attribute's name, which starts with a dot, or a mapping's key
Path = tuple[Key, ...]

COLLECTIONS = ("params", "batch_stats", "trainable", "non_trainable")
# A transformed function in a name stack, such as jvp(conv).
WRAPPED = re.compile(r"^[\w.]+\((.*)\)$")
OWN = re.compile(r"^jaxconv\.\w+$")


def path_of(keys: Iterable[Any]) -> Path:
    """A path of `jax.tree_util` without the frameworks' containers of single values."""
    found = [_key(key) for key in keys]
    while found and found[-1] in (".value", ".raw_value", "._value"):
        found.pop()
    while len(found) > 1 and str(found[0]).startswith("._"):  # private to a wrapper
        found = found[1:]
    if len(found) > 1 and str(found[0]).lstrip(".") in COLLECTIONS:
        found = found[1:]
    return tuple(found)


def _key(key: Any) -> Key:
    for name in ("idx", "key", "name"):
        if hasattr(key, name):
            value = getattr(key, name)
            if isinstance(value, int):
                return value
            return f".{value}" if name == "name" else str(value)
    return str(key)


def module(paths: Sequence[Path]) -> Path:
    """The path of the module that has all of these parameters."""
    if len(paths) > 1:
        return _common(paths)
    (path,) = paths
    return path[:-1] if len(path) > 1 and isinstance(path[-1], str) else path


def _common(paths: Sequence[Path]) -> Path:
    """The longest common prefix."""
    columns = itertools.takewhile(
        lambda column: len(set(column)) == 1, zip(*paths, strict=False)
    )
    return tuple(column[0] for column in columns)


def written(path: Path) -> str:
    """A path as in code, blocks[0].conv, or Block_0/Conv_0 for keys of mappings."""
    parts = [
        f"[{key}]" if isinstance(key, int) else key if key[:1] == "." else f"/{key}"
        for key in path
    ]
    return "".join(parts).lstrip("./").replace("/~/", "/")


def is_named(path: Path) -> bool:
    """Whether a path contains a word, not only numbers."""
    return _words(path) > 0


def scope(stack: str) -> str:
    """A name stack without transformations and without jaxconv's own names."""
    parts = list[str]()
    for part in _split(stack):
        while found := WRAPPED.match(part):
            part = found[1]
        parts += [p for p in part.split("/") if p and not OWN.match(p)]
    return "/".join(parts)


def _split(stack: str) -> Iterator[str]:
    """Splits a name stack at the slashes outside of parentheses."""
    depth, start = 0, 0
    for place, letter in enumerate(stack):
        depth += (letter == "(") - (letter == ")")
        if letter == "/" and depth == 0:
            yield stack[start:place]
            start = place + 1
    yield stack[start:]


def without_common(scopes: Sequence[str]) -> list[str]:
    """Removes the common prefix, which is the name of the model itself."""
    split = [scope.split("/") for scope in scopes]
    shared = len(_common([tuple(words[:-1]) for words in split]))
    return ["/".join(words[shared:]) for words in split]


# The arrays that a function holds -----------------------------------------------------


def held(fn: Callable[..., Any]) -> list[tuple[Path, Any]]:
    """Every array of the models that a function is, is bound to, or refers to.

    Wrappers often keep a list of the arrays of the model inside.  Of several paths to
    an array, the one with the most words is kept.
    """
    found: dict[int, tuple[Path, Any]] = {}
    for path, array in _arrays(fn, set(), 0):
        before, _ = found.get(id(array), (None, array))
        if before is None or _words(path) > _words(before):
            found[id(array)] = path, array
    return list(found.values())


def _words(path: Path) -> int:
    return sum(isinstance(key, str) for key in path)


def _arrays(owner: Any, done: set[int], depth: int) -> Iterator[tuple[Path, Any]]:
    if id(owner) in done or depth > DEEPEST:
        return
    done.add(id(owner))
    weights = getattr(owner, "weights", None)
    if isinstance(weights, list) and all(hasattr(w, "path") for w in weights):
        yield from _of_keras(weights)
        return
    for keys, leaf in _leaves(owner):
        if inspect.isclass(leaf):  # it may have shape and dtype, but is no array
            continue
        if hasattr(leaf, "shape") and hasattr(leaf, "dtype"):
            yield path_of(keys), leaf
        elif leaf is not owner and callable(leaf):
            yield from _arrays(leaf, done, depth + 1)
    for inner in _parts(owner):
        yield from _arrays(inner, done, depth + 1)


DEEPEST = 6  # levels of functions inside functions that are searched


def _of_keras(weights: list[Any]) -> list[tuple[Path, Any]]:
    """Keras' weights by their own paths, which all begin with the model's name."""
    paths = without_common([w.path for w in weights])
    return [
        (tuple(path.split("/")), w.value)
        for path, w in zip(paths, weights, strict=True)
    ]


def _leaves(owner: Any) -> list[tuple[Any, Any]]:
    try:
        return jax.tree_util.tree_flatten_with_path(owner)[0]
    except Exception:  # the leaves of such a container have no names
        return []


def _parts(owner: Any) -> Iterator[Any]:
    """The objects that a function refers to: its object, arguments and variables."""
    if isinstance(owner, functools.partial):
        yield from (owner.func, *owner.args, *owner.keywords.values())
        return
    for name in ("__self__", "__wrapped__"):
        inner = getattr(owner, name, None)
        if inner is not None and not inspect.ismodule(inner):
            yield inner
    if inspect.isfunction(owner):
        try:
            seen = inspect.getclosurevars(owner)
        except ValueError:  # a variable has no value yet
            return
        for value in (*seen.nonlocals.values(), *seen.globals.values()):
            if not inspect.ismodule(value) and not inspect.isclass(value):
                yield value
