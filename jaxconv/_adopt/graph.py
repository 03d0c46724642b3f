"""Modules of Flax NNX as arguments and results of traced functions.

A module refers to variables that may be shared and that change in place.  As in Flax'
own transformations, a call splits all modules among the arguments into arrays and
static parts, merges them into copies for the function, and applies the changes of the
copies to the originals.  Flax is used only if the program has imported it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from inspect import ismethod
from typing import Any, NamedTuple

import jax

Function = Callable[..., Any]

_WAY_OUT = (
    "The function that jaxconv.accelerate was given changes a module that is none of"
    " its arguments. Pass the module as an argument, as to nnx.jit: its state is"
    " updated then."
)


class Parts(NamedTuple):
    """A module split into a static definition and a tree of arrays."""

    definition: Any
    state: Any


def is_node(value: Any) -> bool:
    """Whether a value is a module, an optimizer, random numbers or a variable."""
    graph = getattr(sys.modules.get("flax.nnx"), "graph", None)
    if graph is None or isinstance(value, jax.Ref):
        return False
    return graph.is_graph_node(value)


def holds_nodes(tree: Any) -> bool:
    return any(map(is_node, jax.tree.leaves(tree, is_leaf=is_node)))


def unbound(
    fn: Function, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Function, tuple[Any, ...], dict[str, Any]]:
    """The call with a module that fn is, or is bound to, as its first argument."""
    if isinstance(fn, partial) and holds_nodes((fn.args, fn.keywords)):
        return unbound(fn.func, (*fn.args, *args), {**fn.keywords, **kwargs})
    if ismethod(fn) and is_node(fn.__self__):
        return unbound(fn.__func__, (fn.__self__, *args), kwargs)
    if is_node(fn):
        return type(fn).__call__, (fn, *args), kwargs
    return fn, args, kwargs


@contextmanager
def explained() -> Generator[None]:
    """Adds a remedy to Flax' error about a module from outside that would change."""
    try:
        yield
    except Exception as error:
        if type(error).__name__ == "TraceContextError":
            error.add_note(_WAY_OUT)
        raise


class Call:
    """The context of one call of a function with modules among its arguments."""

    def __init__(self) -> None:
        self._nnx = sys.modules["flax.nnx"]
        self._updates = self._nnx.update_context(self)

    def __enter__(self) -> Call:
        self._updates.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self._updates.__exit__(*details)

    def snapshot(self, tree: Any) -> Callable[[], bool]:
        """Returns a function that says whether a tree's modules have changed since."""
        nodes = [v for v in jax.tree.leaves(tree, is_leaf=is_node) if is_node(v)]
        before, values = self._flat(nodes)

        def changed() -> bool:
            after, now = self._flat(nodes)
            return before != after or any(map(lambda a, b: a is not b, values, now))

        return changed

    def share(self, one: Any, other: Any) -> bool:
        """Whether both trees contain a common module or variable."""
        return not self._nodes(one).isdisjoint(self._nodes(other))

    def _nodes(self, tree: Any) -> set[int]:
        tops = [v for v in jax.tree.leaves(tree, is_leaf=is_node) if is_node(v)]
        parts = (part for top in tops for _, part in self._nnx.iter_graph(top))
        return {id(part) for part in parts if is_node(part)}

    def _flat(self, nodes: list[Any]) -> tuple[Any, list[Any]]:
        definition, state = self._nnx.split(nodes)
        leaves, structure = jax.tree.flatten(state)
        return (definition, structure), leaves

    def split(self, tree: Any) -> Any:
        """Splits every module of a tree."""
        with self._nnx.split_context(self) as context:

            def apart(value: Any) -> Any:
                return Parts(*context.split(value)) if is_node(value) else value

            return jax.tree.map(apart, tree, is_leaf=is_node)

    def merge(self, tree: Any, *, inner: bool) -> Any:
        """Merges the modules of a tree, into copies (inner) or updated originals."""
        with explained(), self._nnx.merge_context(self, inner=inner) as context:

            def together(value: Any) -> Any:
                return context.merge(*value) if _is_parts(value) else value

            return jax.tree.map(together, tree, is_leaf=_is_parts)


def _is_parts(value: Any) -> bool:
    return isinstance(value, Parts)
