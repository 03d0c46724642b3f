"""The matrix of a convolution: entry by entry, sparse, transposed, differentiated."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import sparse as jsparse

import jaxconv
import oracle
from cases import arrange, over_layouts, random
from oracle import close

Rng = np.random.Generator
Ints = tuple[int, ...]


class Layer(NamedTuple):
    space: Ints
    window: Ints
    groups: int
    c: int
    o: int
    options: dict[str, Any]

    def kernel(self, rng: Rng, dtype: Any = np.float64) -> np.ndarray:
        return random(rng, (self.groups * self.o, self.c, *self.window), dtype)

    def shape(self, layout: str) -> Ints:
        channels = self.groups * self.c
        if layout == "channels_first":
            return (channels, *self.space)
        return (*self.space, channels)

    def columns(self, w: np.ndarray, layout: str) -> np.ndarray:
        """What the definition makes of every unit image, side by side."""
        count = self.groups * self.c * math.prod(self.space)
        units = np.eye(count).reshape(count, *self.shape(layout))
        if layout == "channels_last":
            units = np.moveaxis(units, -1, 1)
        n = len(self.space)
        options = {"stride": 1, "dilation": 1, "padding": 0, **self.options}
        s, d = (np.broadcast_to(options[v], n) for v in ("stride", "dilation"))
        given = np.array(options["padding"])
        pads = (
            given if given.ndim == 2 else np.broadcast_to(given.reshape(-1, 1), (n, 2))
        )
        o = tuple(
            map(oracle.windows, self.space, self.window, s, d, pads[:, 0], pads[:, 1])
        )
        window = oracle.Window(
            self.space, self.window, o, tuple(s), tuple(d), tuple(pads[:, 0])
        )
        mode = options.get("padding_mode", "zeros")
        y = oracle.contract("output", units, w, window, self.groups, mode)
        return arrange(y, "input", layout).reshape(count, -1).T


LAYERS = {
    "line": Layer((7,), (3,), 1, 2, 3, {"stride": 2, "padding": [(1, 2)]}),
    "plane": Layer((5, 4), (3, 2), 1, 2, 3, {}),
    "plane strided and dilated": Layer(
        (6, 5), (2, 3), 1, 3, 2, {"stride": (2, 1), "dilation": (3, 2), "padding": 1}
    ),
    "grouped": Layer((4, 5), (2, 3), 3, 2, 1, {"padding": (1, 0), "groups": 3}),
    "depthwise": Layer((5, 3), (2, 2), 4, 1, 2, {"stride": 2, "groups": 4}),
    "volume": Layer((3, 4, 2), (2, 1, 2), 1, 2, 3, {"padding": (0, 1, 1)}),
    "reflect": Layer(
        (5, 4), (3, 2), 1, 2, 2,
        {"padding": [(3, 1), (0, 2)], "padding_mode": "reflect"},
    ),
    "replicate": Layer(
        (6,), (4,), 1, 2, 3, {"padding": 7, "padding_mode": "replicate"}
    ),
    "circular": Layer(
        (4, 3), (2, 3), 2, 1, 2,
        {"padding": (2, 3), "groups": 2, "padding_mode": "circular", "stride": (1, 2)},
    ),
}  # fmt: skip
over_layers = pytest.mark.parametrize("name", LAYERS)


@over_layers
@over_layouts
def test_dense_and_sparse_are_conv_of_unit_images(
    name: str, layout: str, rng: Rng
) -> None:
    layer = LAYERS[name]
    w = layer.kernel(rng)
    kernel = jnp.asarray(arrange(w, "kernel", layout))
    given = {"layout": layout, **layer.options}
    want = layer.columns(w, layout)
    dense = jaxconv.conv_matrix(kernel, layer.shape(layout), **given)
    close(dense, want, w[0].size, np.float64)
    sparse = jaxconv.conv_matrix(kernel, layer.shape(layout), sparse=True, **given)
    assert isinstance(sparse, jsparse.BCOO)
    assert sparse.shape == want.shape
    close(sparse.todense(), want, w[0].size, np.float64)
    assert sparse.nse >= np.count_nonzero(want)
    if "padding_mode" not in layer.options:
        assert sparse.nse == np.count_nonzero(want)


@pytest.mark.parametrize("name", ["plane strided and dilated", "grouped", "reflect"])
@over_layouts
def test_products_with_it_and_its_transpose(name: str, layout: str, rng: Rng) -> None:
    layer = LAYERS[name]
    kernel = jnp.asarray(arrange(layer.kernel(rng), "kernel", layout))
    given = {"layout": layout, **layer.options}
    matrix = jaxconv.conv_matrix(kernel, layer.shape(layout), sparse=True, **given)
    x = jnp.asarray(random(rng, layer.shape(layout)))
    y = jaxconv.conv(x, kernel, **given)
    close((matrix @ x.ravel()).reshape(y.shape), np.asarray(y), 40, np.float64)
    z = jaxconv.conv_transpose(y, kernel, output_size=layer.space, **given)
    close((matrix.T @ y.ravel()).reshape(x.shape), np.asarray(z), 200, np.float64)


@pytest.mark.parametrize("name", ["line", "grouped", "circular"])
@pytest.mark.parametrize("sparse", [False, True])
def test_differentiable_in_the_kernel(name: str, sparse: bool, rng: Rng) -> None:
    """The gradient of <y, C x> is that of <y, conv(x)>; under jit too."""
    layer = LAYERS[name]
    kernel = jnp.asarray(layer.kernel(rng))
    shape = layer.shape("channels_first")
    x = jnp.asarray(random(rng, shape))

    def by_conv(kernel: Any) -> Any:
        return jnp.sin(jaxconv.conv(x, kernel, **layer.options)).sum()

    def by_matrix(kernel: Any) -> Any:
        c = jaxconv.conv_matrix(kernel, shape, sparse=sparse, **layer.options)
        return jnp.sin(c @ x.ravel()).sum()

    found = jax.jit(jax.grad(by_matrix))(kernel)
    close(found, np.asarray(jax.grad(by_conv)(kernel)), 100, np.float64)
    along = jnp.asarray(layer.kernel(rng))
    _, tangent = jax.jvp(by_matrix, (kernel,), (along,))
    close(tangent, np.asarray((found * along).sum()), 100, np.float64)


def test_under_jit_and_vmap(rng: Rng) -> None:
    layer = LAYERS["plane"]
    kernels = jnp.stack([jnp.asarray(layer.kernel(rng)) for _ in range(3)])
    shape = layer.shape("channels_first")
    many = jax.jit(jax.vmap(lambda w: jaxconv.conv_matrix(w, shape)))(kernels)
    for matrix, kernel in zip(many, kernels, strict=True):
        np.testing.assert_array_equal(matrix, jaxconv.conv_matrix(kernel, shape))


@pytest.mark.parametrize("dtype", ["bfloat16", "int8", "complex64"])
def test_the_type_is_the_kernels(dtype: str, rng: Rng) -> None:
    layer = LAYERS["plane"]
    w = jnp.asarray(layer.kernel(rng)).astype(dtype)
    shape = layer.shape("channels_first")
    dense = jaxconv.conv_matrix(w, shape)
    sparse = jaxconv.conv_matrix(w, shape, sparse=True)
    assert dense.dtype == sparse.dtype == jnp.dtype(dtype)
    np.testing.assert_array_equal(dense, sparse.todense())


def test_a_large_sparse_matrix_never_exists_dense(rng: Rng) -> None:
    """Half a million columns and rows: dense it would take a terabyte."""
    side = 512
    kernel = jnp.asarray(random(rng, (2, 1, 2, 3), np.float32))
    x = jnp.asarray(random(rng, (1, side, side), np.float32))
    matrix = jaxconv.conv_matrix(kernel, x.shape, padding=((0, 1), (1, 1)), sparse=True)
    rows, columns = matrix.shape
    assert (rows, columns) == (2 * side**2, side**2)
    assert rows * columns * 4 > 5e11
    assert matrix.nse == 2 * side * (3 * side - 2) * 2 - 2 * (3 * side - 2)
    y = jaxconv.conv(x, kernel, padding=((0, 1), (1, 1)))
    close((matrix @ x.ravel()).reshape(y.shape), np.asarray(y), 6, np.float32)
    traced = jax.make_jaxpr(lambda w: jaxconv.conv_matrix(w, (1, 32, 32), sparse=True))(
        kernel
    )
    sizes = [v.aval.size for e in traced.jaxpr.eqns for v in e.outvars]
    assert max(sizes) <= 2 * 12 * 32 * 32  # never rows times columns
