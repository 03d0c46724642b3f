"""The tables of docs/frameworks.md, and the layers they name behind one interface."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

PAGE = Path(__file__).parent.parent / "docs" / "frameworks.md"
TEXT = PAGE.read_text()
WINDOW = (3, 4)
C_IN, C_OUT = 6, 4
SPACE = (9, 8)


@contextlib.contextmanager
def quick_to_compile() -> Iterator[None]:
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)


@contextlib.contextmanager
def defaults() -> Iterator[None]:
    """JAX as users have it, which the libraries rely on, and quick to compile."""
    with (
        quick_to_compile(),
        jax.enable_x64(False),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        yield


class Row(NamedTuple):
    """A line of a table: the call, its fixed options, the cells by their column."""

    call: str
    options: dict[str, Any]
    cells: dict[str, str]

    @property
    def library(self) -> str:
        return self.call.split(".")[0]

    @property
    def channels_last(self) -> bool:
        return self.cells["kernel"].startswith("(*window")

    @property
    def padding(self) -> list[str]:
        """The forms that padding takes, the default first."""
        return self.cells["padding, the default first"].split(", ")

    def names(self, column: str) -> list[str]:
        """The arguments that a column names."""
        return re.findall(r"`(\w+)`", self.cells[column])

    @property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        kind = self.load()
        return inspect.signature(
            kind.__init__ if inspect.isclass(kind) else kind
        ).parameters

    def load(self) -> Any:
        reason = f"{self.library} is not installed"
        pytest.importorskip(self.library, reason=reason)
        module, _, name = self.call.rpartition(".")
        return getattr(importlib.import_module(module), name)


def table(heading: str) -> list[Row]:
    """The rows below a heading; "the same" stands for the cell above."""
    part = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0].replace("\\", "")
    lines = [line for line in part.splitlines() if line.startswith("|")]
    columns, _, *body = (
        [cell.strip() for cell in line[1:-1].split("|")] for line in lines
    )
    rows: list[Row] = []
    for line in body:
        cells = dict(zip(columns, line, strict=True))
        for column in columns:
            if cells[column] == "the same":
                cells[column] = rows[-1].cells[column]
        call, *options = re.findall(r"`([^`]+)`", cells["call"])
        rows.append(Row(call, dict(map(_option, options)), cells))
    return rows


def _option(text: str) -> tuple[str, Any]:
    name, value = text.split("=")
    return name, True if value == "True" else value.strip('"')


def over(rows: list[Row]) -> pytest.MarkDecorator:
    names = [", ".join([row.call, *row.options]) for row in rows]
    return pytest.mark.parametrize("row", rows, ids=names)


def kernel_shape(row: Row, groups: int) -> tuple[int, ...]:
    """What a cell such as (out, in/groups, *window) says."""
    sizes = {"in": (C_IN,), "out": (C_OUT,), "*window": WINDOW}
    sizes |= {"in/groups": (C_IN // groups,), "out/groups": (C_OUT // groups,)}
    names = row.cells["kernel"].strip("()").split(", ")
    return tuple(size for name in names for size in sizes[name])


class Layer(NamedTuple):
    kernel: np.ndarray
    bias: np.ndarray
    call: Callable[[Any], Any]  # of images as the library arranges them


def build(
    row: Row, rng: np.random.Generator, groups: int, /, **arguments: Any
) -> Layer:
    """A layer with random weights; the arguments are the library's own."""
    kind, arguments = row.load(), row.options | arguments
    if row.library in _MAKERS:
        return _MAKERS[row.library](kind, arguments)
    # A function of jaxconv or lax, with a kernel as the table says, and no bias.
    kernel = rng.standard_normal(kernel_shape(row, groups)).astype(np.float32)
    bias = np.zeros(C_OUT, np.float32)
    return Layer(kernel, bias, lambda x: kind(jnp.asarray(x), kernel, **arguments))


def _torch(kind: Any, arguments: dict[str, Any]) -> Layer:
    import torch

    layer = kind(C_IN, C_OUT, WINDOW, **arguments)
    weights = (p.detach().numpy() for p in (layer.weight, layer.bias))
    return Layer(*weights, lambda x: layer(torch.from_numpy(x)).detach().numpy())


def _flax(kind: Any, arguments: dict[str, Any]) -> Layer:
    from flax import nnx

    init = nnx.initializers.normal()
    layer = kind(C_IN, C_OUT, WINDOW, bias_init=init, rngs=nnx.Rngs(1), **arguments)
    return Layer(np.array(layer.kernel[...]), np.array(layer.bias[...]), layer)


def _keras(kind: Any, arguments: dict[str, Any]) -> Layer:
    layer = kind(C_OUT, WINDOW, bias_initializer="random_normal", **arguments)
    layer.build((None, None, None, C_IN))
    return Layer(*(np.array(weight.value) for weight in layer.weights), layer)


def _equinox(kind: Any, arguments: dict[str, Any]) -> Layer:
    layer = kind(C_IN, C_OUT, WINDOW, key=jax.random.key(1), **arguments)
    return Layer(np.array(layer.weight), np.array(layer.bias).reshape(-1), layer)


def _haiku(kind: Any, arguments: dict[str, Any]) -> Layer:
    import haiku as hk

    def forward(x: Any) -> Any:
        init = hk.initializers.RandomNormal()
        return kind(C_OUT, WINDOW, b_init=init, name="layer", **arguments)(x)

    model = hk.without_apply_rng(hk.transform(forward))
    params = model.init(jax.random.key(1), np.zeros((1, *SPACE, C_IN), np.float32))
    weights = {name: np.array(value) for name, value in params["layer"].items()}
    return Layer(weights["w"], weights["b"], lambda x: model.apply(params, x))


_MAKERS: Mapping[str, Callable[[Any, dict[str, Any]], Layer]] = {
    "torch": _torch,
    "flax": _flax,
    "keras": _keras,
    "equinox": _equinox,
    "haiku": _haiku,
}


def images(row: Row, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The same images as the row's library and as jaxconv arranges them."""
    x = rng.standard_normal((2, C_IN, *SPACE)).astype(np.float32)
    if row.library == "equinox":
        x = x[0]
    return (np.moveaxis(x, -3, -1) if row.channels_last else x), x


def exchange(kernel: np.ndarray, groups: int) -> np.ndarray:
    """(a, b/groups, *window) to (b, a/groups, *window)."""
    a, b, *window = kernel.shape
    parts = kernel.reshape(groups, a // groups, b, *window).swapaxes(1, 2)
    return parts.reshape(groups * b, a // groups, *window)
