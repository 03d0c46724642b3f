"""An Equinox module as pure functions of its parameters."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from benchmarks.models import Model, Tree, fill


def pure(module: eqx.Module, batch: tuple[jax.Array, jax.Array]) -> Model:
    """Of a module that holds shapes; the loss is the mean square off the batch's last.

    It is smooth, so that rounding does not turn signs in the gradients.
    """
    shapes, static = eqx.partition(
        module, lambda v: isinstance(v, jax.ShapeDtypeStruct)
    )
    params = fill(shapes, out_axis=0)

    def predict(variables: Tree, batch: Tree) -> jax.Array:
        return jax.vmap(eqx.combine(variables[0], static))(batch[0])

    def loss(params: Tree, state: Tree, batch: Tree) -> tuple[jax.Array, Any]:
        result = predict((params, state), batch)
        return jnp.mean((result - batch[1]) ** 2), state

    return Model((params, ()), batch, predict, loss)
