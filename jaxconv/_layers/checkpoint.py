"""Loads layers from PyTorch checkpoints, and checks that no convolution is left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxconv._core.errors import fail
from jaxconv._layers.sizes import arrange


class Checkpoint:
    """A state_dict, and the names of its entries that layers have taken."""

    def __init__(self, state_dict: Mapping[str, Any]) -> None:
        self._state = state_dict
        self._taken: set[str] = set()

    def take(
        self, path: Iterable[Any], kernel: jax.Array, bias: Any, layout: str
    ) -> tuple[jax.Array, jax.Array | None]:
        """The checkpoint's kernel and bias for the layer at a path.

        ``kernel`` and ``bias`` are those of the layer, which give shapes and types.
        """
        prefix = [str(part) for part in path]
        weight = arrange(self._entry([*prefix, "weight"]), layout).astype(kernel.dtype)
        self._fits([*prefix, "weight"], weight, kernel)
        name = ".".join([*prefix, "bias"])
        if bias is None:
            if name in self._state:
                remedy = "Make the layer with bias=True"
                fail("state_dict", name, "has no place in the model", remedy)
            return weight, None
        found = self._entry([*prefix, "bias"]).astype(bias.dtype)
        self._fits([*prefix, "bias"], found, bias)
        return weight, found

    def _entry(self, path: list[str]) -> jax.Array:
        name = ".".join(path)
        if name not in self._state:
            known = ", ".join(list(self._state)[:4])
            remedy = (
                f"Give the model's attributes PyTorch's names; there are {known} ..."
            )
            fail("state_dict", name, "is missing", remedy)
        self._taken.add(name)
        value = self._state[name]
        if hasattr(value, "detach"):  # a tensor, perhaps on a GPU or with a gradient
            value = value.detach().cpu().numpy()
        return jnp.asarray(np.asarray(value))

    def _fits(self, path: list[str], found: jax.Array, wanted: jax.Array) -> None:
        if found.shape != wanted.shape:
            rule = f"has the shape {found.shape}, the model's layer {wanted.shape}"
            fail("state_dict", ".".join(path), rule, "Make the layer of that size")

    def finish(self) -> None:
        """Refuses a checkpoint with convolutions that no layer has taken."""
        left = [
            name
            for name, value in self._state.items()
            if name.endswith("weight")
            and np.ndim(value) > 2
            and name not in self._taken
        ]
        if left:
            rule = "is a convolution that the model does not have"
            fail("state_dict", left[0], rule, "Add the layer, or leave the entry out")
