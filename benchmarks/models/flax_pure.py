"""A Flax NNX module as pure functions of its parameters and its state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flax import nnx

from benchmarks.models import Model, Tree, fill


def pure(
    module: nnx.Module,
    batch: Tree,
    predict: Callable[[Any, Tree], Any],
    loss: Callable[[Any, Tree], Any],
) -> Model:
    """Of a module that holds shapes; ``predict`` and ``loss`` take it and the batch."""
    graph, *shapes = nnx.split(module, nnx.Param, ...)
    variables = tuple(fill(shapes))

    def pure_predict(variables: Tree, batch: Tree) -> Any:
        merged = nnx.merge(graph, *variables, copy=True)
        merged.eval()
        return predict(merged, batch)

    def pure_loss(params: Tree, state: Tree, batch: Tree) -> Any:
        merged = nnx.merge(graph, params, state, copy=True)
        value = loss(merged, batch)
        return value, nnx.split(merged, nnx.Param, ...)[2]

    return Model(variables, batch, pure_predict, pure_loss)
