"""summarize through transformations, loops and branches, and what it does not know."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax import lax

import jaxconv
import networks
from jaxconv import ReceptiveField
from jaxconv._inspect.summary import summarize
from networks import shaped

# Around and inside of other transformations -------------------------------------------


def once(x: Any, kernel: Any) -> Any:
    return jax.nn.relu(jaxconv.conv(x, kernel, padding=1))


@jax.custom_vjp
def custom(x: Any, kernel: Any) -> Any:
    return once(x, kernel)


custom.defvjp(
    lambda x, kernel: (once(x, kernel), None), lambda residual, g: (g, residual)
)


@jax.custom_jvp
def ruled(x: Any, kernel: Any) -> Any:
    return once(x, kernel)


ruled.defjvp(lambda primals, tangents: (once(*primals), tangents[0]))
WRAPPED = {
    "jit": jax.jit(once),
    "remat": jax.checkpoint(once),
    "custom_jvp": ruled,
    "custom_vjp": custom,
    "vmap": lambda x, kernel: jax.vmap(once, (0, None))(x[:, None], kernel)[:, 0],
}


@pytest.mark.parametrize("name", WRAPPED)
def test_calls_are_followed(name: str) -> None:
    x, kernel = shaped((2, 4, 9, 8), (4, 4, 3, 3))

    def fn(x: Any, kernel: Any) -> Any:
        return WRAPPED[name](once(x, kernel), kernel)

    summary = summarize(fn, x, kernel)
    assert [v.receptive_field["x"][0].size for v in summary.layers] == [3, 5]
    assert summary.unknown == ()
    assert summary.totals.parameters == 4 * 4 * 9  # shared, and counted once
    assert sum(layer.parameters for layer in summary.layers) == 2 * 4 * 4 * 9


def test_scan_counts_each_step_and_the_field_grows() -> None:
    x, kernels = shaped((1, 4, 9, 8), (5, 4, 4, 3, 3))

    def fn(x: Any, kernels: Any) -> Any:
        return lax.scan(lambda x, kernel: (once(x, kernel), None), x, kernels)[0]

    summary = summarize(fn, x, kernels)
    (layer,) = summary.layers
    assert layer.times == 5
    assert layer.receptive_field["x"] == (ReceptiveField(11, 1, -5),) * 2
    assert layer.parameters == summary.totals.parameters == 5 * 4 * 4 * 9
    assert summary.totals.convolutions == 5
    assert summary.totals.multiply_adds == 5 * layer.multiply_adds
    assert summary.results[0] == layer.receptive_field


def test_fori_loop_with_one_kernel() -> None:
    x, kernel = shaped((1, 4, 9, 8), (4, 4, 3, 3))

    def fn(x: Any, kernel: Any) -> Any:
        return lax.fori_loop(0, 3, lambda _, x: once(x, kernel), x)

    (layer,) = summarize(fn, x, kernel).layers
    assert (layer.times, layer.parameters) == (3, 144)
    assert layer.receptive_field["x"][1] == ReceptiveField(7, 1, -3)


def test_while_loops_are_counted_once_and_their_field_is_not_known() -> None:
    x, kernel = shaped((1, 4, 9, 8), (4, 4, 3, 3))

    def fn(x: Any, kernel: Any) -> Any:
        return lax.while_loop(lambda x: x.sum() < 9, lambda x: once(x, kernel), x)

    summary = summarize(fn, x, kernel)
    (layer,) = summary.layers
    assert layer.times == 1
    assert any("while" in note for note in layer.notes)
    assert layer.receptive_field["x"] == (None, None)
    assert any("while" in reason for reason in layer.unknown)


def test_branches_are_all_counted() -> None:
    x, kernel = shaped((1, 4, 9, 8), (4, 4, 3, 3))

    def fn(x: Any, kernel: Any, which: Any) -> Any:
        def twice(x: Any) -> Any:
            return once(once(x, kernel), kernel)

        y = lax.cond(which, lambda x: once(x, kernel), twice, x)
        return once(y, kernel)

    summary = summarize(fn, x, kernel, jax.ShapeDtypeStruct((), jnp.bool_))
    sizes = sorted(layer.receptive_field["x"][0].size for layer in summary.layers)
    assert sizes == [3, 3, 5, 7]
    assert sum(bool(layer.notes) for layer in summary.layers) == 3


def test_shard_map_counts_devices_and_keeps_fields() -> None:
    mesh = jax.sharding.AbstractMesh(
        (4,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,)
    )
    spec = jax.sharding.PartitionSpec
    x, kernel = shaped((8, 4, 9, 7), (4, 4, 3, 3))

    def local(x: Any, kernel: Any) -> Any:
        y = once(x, kernel)
        return y, lax.psum(y.sum(axis=0), "batch")

    fn = jax.shard_map(
        local, mesh=mesh, in_specs=(spec("batch"), spec()),
        out_specs=(spec("batch"), spec()),
    )  # fmt: skip
    summary = summarize(lambda x, kernel: once(fn(x, kernel)[0], kernel), x, kernel)
    first, second = summary.layers
    assert (first.times, second.times) == (4, 1)
    assert 4 * first.multiply_adds == second.multiply_adds
    assert second.receptive_field["x"][0] == ReceptiveField(5, 1, -2)
    summed = summarize(lambda x, kernel: fn(x, kernel)[1], x, kernel)
    assert summed.results[0]["x"][0] == ReceptiveField(3, 1, -1)


def test_gradients_have_all_three_roles() -> None:
    x, kernel = shaped((2, 4, 9, 8), (4, 4, 3, 3))
    fn = jax.grad(lambda x, kernel: (once(x, kernel) ** 2).sum(), (0, 1))
    summary = summarize(fn, x, kernel)
    kinds = sorted(layer.kind for layer in summary.layers)
    assert kinds == ["convolution", "kernel gradient", "transposed"]
    work = {layer.multiply_adds for layer in summary.layers}
    assert len(work) == 1
    (gradient,) = (v for v in summary.layers if v.kind == "kernel gradient")
    assert (gradient.parameters, gradient.receptive_field) == (0, {})


def test_squeeze_and_excite_sees_everything() -> None:
    x, kernel = shaped((1, 4, 30, 20), (4, 4, 3, 3))

    def fn(x: Any, kernel: Any) -> Any:
        y = once(x, kernel)
        gate = jax.nn.sigmoid(y.mean((2, 3), keepdims=True))
        return once(y * gate, kernel)

    last = summarize(fn, x, kernel).layers[-1]
    assert last.receptive_field["x"] == (
        ReceptiveField(30, 0, 0),
        ReceptiveField(20, 0, 0),
    )


def test_kernels_that_are_computed_from_the_image_are_no_parameters() -> None:
    x, weights = shaped((1, 4, 9, 8), (4, 4 * 4 * 9))

    def fn(x: Any, weights: Any) -> Any:
        kernel = (x.mean((2, 3)) @ weights).reshape(4, 4, 3, 3)
        return jaxconv.conv(x, kernel)

    summary = summarize(fn, x, weights)
    assert summary.layers[0].parameters == summary.totals.parameters == 0
    assert summary.totals.parameters_elsewhere == 4 * 4 * 4 * 9
    assert summary.totals.products == 4 * 4 * 4 * 9


# What is not understood ---------------------------------------------------------------


def test_unknown_operations_are_named_and_not_guessed() -> None:
    x, kernel = shaped((1, 4, 9, 8), (4, 4, 3, 3))

    def fn(x: Any, kernel: Any, rows: Any) -> Any:
        y = once(x, kernel)
        with jax.named_scope("warp"):
            y = y[:, :, rows]
        return once(y, kernel)

    rows = jax.ShapeDtypeStruct((9,), jnp.int32)
    summary = summarize(fn, x, kernel, rows)
    first, second = summary.layers
    assert first.receptive_field["x"][0] == ReceptiveField(3, 1, -1)
    rows, columns = second.receptive_field["x"]
    assert rows is None
    assert second.unknown
    assert columns == ReceptiveField(5, 1, -2)
    assert [primitive for primitive, _ in summary.unknown] == ["gather"]
    assert "warp" in summary.unknown[0][1]
    assert "Not followed: gather" in str(summary)


def test_no_primitive_makes_it_fail() -> None:
    """Also those that hold functions of their own; convolutions inside are listed."""
    x, kernel = shaped((1, 4, 9, 8), (4, 4, 3, 3))

    def fn(x: Any, kernel: Any) -> Any:
        y = jax.lax.custom_linear_solve(
            lambda v: jaxconv.conv(v, kernel, padding=1),
            once(x, kernel),
            lambda matvec, b: matvec(b),
            lambda _, b: b,
        )
        spectrum = jnp.linalg.svd(y[0, 0], compute_uv=False)
        y = jax.pure_callback(lambda v: v, y, y) * spectrum.sum()
        return once(y, kernel)

    summary = summarize(fn, x, kernel)
    assert len(summary.layers) == 3  # the solver's own among them
    names = {primitive for primitive, _ in summary.unknown}
    assert names == {"svd", "pure_callback"}
    assert summary.layers[-1].receptive_field["x"] == (None, None)


def test_leaves_that_are_no_arrays_stay_as_they_are() -> None:
    x, kernel = shaped((1, 4, 9, 8), (4, 4, 3, 3))

    def fn(model: Any, x: Any) -> Any:
        return model["act"](jaxconv.conv(x, model["kernel"]))

    summary = summarize(fn, {"kernel": kernel, "act": jax.nn.relu}, x)
    assert list(summary.inputs) == ["x"]
    assert summary.layers[0].parameters == 144


def test_nothing_to_list() -> None:
    summary = summarize(jnp.sin, jnp.zeros((3,)))
    assert str(summary) == "no convolutions"
    assert summary.totals.multiply_adds == 0
    pooled = summarize(lambda x: networks.pool(x, 3, 2, 1), *shaped((1, 9, 8, 2)))
    assert pooled.results[0]["x"][1] == ReceptiveField(3, 2, -1)
