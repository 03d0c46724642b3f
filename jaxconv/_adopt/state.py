"""Calls of functions that change their arguments.

A traced function gets copies of its arguments, so its changes would be lost.  Changes
of Flax NNX modules, dictionaries and lists are applied to the originals after the call.
Two kinds of changes are errors: those of other objects among the arguments, and traced
arrays that are stored in an object that the function refers to.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any
from weakref import ref

import jax
from jax.core import Tracer
from jax.tree_util import keystr, tree_flatten_with_path

from jaxconv._adopt.graph import Call, explained, holds_nodes, is_node, unbound
from jaxconv._adopt.leaks import holder, trace_of
from jaxconv._core.errors import fail

Function = Callable[..., Any]
Evaluate = Callable[..., Any]

_WAY_OUT = (
    "Return the new value and store it outside, or call fn itself inside"
    " `with jaxconv.accelerate():`, which makes no copies"
)


def call(evaluate: Evaluate, fn: Function, args: Any, kwargs: Any) -> Any:
    """``fn(*args, **kwargs)`` by ``evaluate(pure, tree)``, with its changes of state.

    ``evaluate`` traces and computes ``pure``, which has no side effects.
    """
    fn, args, kwargs = unbound(fn, args, kwargs)
    given = (args, kwargs)
    nodes = Call() if holds_nodes(given) else None
    traces: list[Any] = []

    def pure(tree: Any) -> Any:
        inner = nodes.merge(tree, inner=True) if nodes else tree
        before, changed = _copy(inner), nodes.snapshot(inner) if nodes else bool
        with explained():
            out = fn(*inner[0], **inner[1])
        traces[:] = [ref(trace) for trace in _traces(tree)]
        kept = None  # an unchanged module is not updated, since it may be frozen
        if _changed(fn, before, inner):
            kept = inner
        elif changed() or (nodes and nodes.share(inner, out)):
            kept = _only_nodes(inner)
        return nodes.split((kept, out)) if nodes else (kept, out)

    with nodes or nullcontext():
        result = evaluate(pure, nodes.split(given) if nodes else given)
        _refuse_leaks(fn, given, traces)
        kept, out = nodes.merge(result, inner=False) if nodes else result
    _write_back(given, kept)
    return out


@dataclass(frozen=True)
class Adopted:
    """An accelerated tree that can be called, such as an Equinox module."""

    fn: Function
    evaluate: Evaluate

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return call(self.evaluate, self.fn, args, kwargs)


jax.tree_util.register_dataclass(Adopted, ["fn"], ["evaluate"])


def adopted(fn: Function, evaluate: Evaluate) -> Function:
    """A function with the arguments of fn that computes it by ``evaluate``."""
    leaf = jax.tree.structure(0)
    if not is_node(fn) and jax.tree.structure(fn) != leaf:
        return Adopted(fn, evaluate)

    @functools.wraps(fn)
    def run(*args: Any, **kwargs: Any) -> Any:
        return call(evaluate, fn, args, kwargs)

    return run


# Arguments that change ----------------------------------------------------------------


def _copy(tree: Any) -> Any:
    leaves, structure = jax.tree.flatten(tree, is_leaf=is_node)
    return jax.tree.unflatten(structure, leaves)


def _only_nodes(tree: Any) -> Any:
    return jax.tree.map(lambda v: v if is_node(v) else None, tree, is_leaf=is_node)


def _changed(fn: Function, before: Any, after: Any) -> bool:
    """Whether the function changed its arguments; refuses lost changes."""
    if _same(before, after):
        return False
    for path, value in _fixed(before, after, ()):
        place = ("args", "kwargs")[path[0].idx] + keystr(path[1:])
        kind = type(value).__name__
        rule = f"changes {place}, of type {kind}, of which it gets a copy"
        fail("fn", _name(fn), rule, _WAY_OUT)
    return True


def _same(a: Any, b: Any) -> bool:
    (first, one), (second, two) = (jax.tree.flatten(v, is_leaf=is_node) for v in (a, b))
    return one == two and all(map(lambda x, y: x is y, first, second))


def _fixed(old: Any, new: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, Any]]:
    """The changed objects that are neither dictionaries nor lists."""
    if is_node(old) or _same(old, new) or type(old) is not type(new):
        return
    children = zip(_children(old), _children(new), strict=False)
    if not isinstance(old, (dict, list, tuple)):
        yield path, old
    elif not isinstance(old, dict) or old.keys() == new.keys():
        for (key, a), (_, b) in children:
            yield from _fixed(a, b, (*path, *key))


def _children(tree: Any) -> list[tuple[Any, Any]]:
    return tree_flatten_with_path(tree, is_leaf=lambda v: v is not tree)[0]


def _write_back(old: Any, new: Any) -> None:
    """Applies the changes of copied dictionaries and lists to the originals."""
    if old is new or new is None or is_node(old) or type(old) is not type(new):
        return
    if isinstance(old, dict):
        merged = {key: _kept(old.get(key), value) for key, value in new.items()}
        if any(merged.get(key) is not value for key, value in old.items()) or (
            merged.keys() != old.keys()
        ):
            old.clear()
            old.update(merged)
    elif isinstance(old, list):
        longer = [*old, *[None] * len(new)]
        merged = [_kept(a, b) for a, b in zip(longer, new, strict=False)]
        if len(merged) != len(old) or any(map(lambda a, b: a is not b, merged, old)):
            old[:] = merged
    elif isinstance(old, tuple):
        for a, b in zip(old, new, strict=True):
            _write_back(a, b)


def _kept(old: Any, new: Any) -> Any:
    """The old container with its new content, or the new value if it is none."""
    if isinstance(old, (dict, list, tuple)) and type(old) is type(new):
        if isinstance(old, tuple) and len(old) != len(new):
            return new
        _write_back(old, new)
        return old
    return new


# Leaked traced arrays -----------------------------------------------------------------


def _traces(tree: Any) -> Iterator[Any]:
    """The trace of the arrays of a call; nothing if none is traced."""
    for leaf in jax.tree.leaves(tree):
        if isinstance(leaf, jax.Array) and isinstance(leaf, Tracer):
            yield trace_of(leaf)
            return


def _refuse_leaks(fn: Function, given: Any, traces: list[Any]) -> None:
    """Refuses a call after which an object still has an array of the ended trace."""
    for trace in (reference() for reference in traces):
        if trace is None:
            return
        found = holder([fn, *jax.tree.leaves(given, is_leaf=is_node)], trace)
        if found is not None:
            kind, place = found
            rule = f"leaves a traced array in {place}, of type {kind}"
            fail("fn", _name(fn), rule, _WAY_OUT)


def _name(fn: Function) -> str:
    return getattr(fn, "__name__", type(fn).__name__)
