"""`accelerate`: the same values and gradients, on contractions, through everything."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import jaxconv
from programs import counts

NUMBERS = ("NHWC", "HWIO", "NHWC")
Model = Callable[[Any, Any], Any]


def conv(x: Any, w: Any) -> Any:
    return lax.conv_general_dilated(
        x, w, (1, 1), "SAME", dimension_numbers=NUMBERS, feature_group_count=6
    )


@jax.custom_jvp
def with_jvp(x: Any, w: Any) -> Any:
    return jnp.tanh(conv(x, w))


@with_jvp.defjvp
def _jvp(primals: Any, tangents: Any) -> Any:
    y, (dx, dw) = conv(*primals), tangents
    change = conv(dx, primals[1]) + conv(primals[0], dw)
    return jnp.tanh(y), 3 * change / jnp.cosh(y) ** 2  # 3: to see that this is used


@jax.custom_vjp
def with_vjp(x: Any, w: Any) -> Any:
    return jnp.tanh(conv(x, w))


def _forward(x: Any, w: Any) -> Any:
    return with_vjp(x, w), (x, w)


def _backward(operands: Any, cotangent: Any) -> Any:
    _, pull = jax.vjp(lambda x, w: jnp.tanh(conv(x, w)), *operands)
    return pull(3 * cotangent)


with_vjp.defvjp(_forward, _backward)


def scanned(x: Any, w: Any) -> Any:
    return lax.scan(
        lambda c, k: (jnp.tanh(conv(c, k)), None), x, jnp.stack([w, 2 * w])
    )[0]


MODELS: dict[str, Model] = {
    "plain": conv,
    "jit": jax.jit(conv),
    "scan": scanned,
    "fori_loop": lambda x, w: lax.fori_loop(0, 2, lambda _, c: conv(c, w), x),
    "while": lambda x, w: lax.while_loop(
        lambda c: jnp.abs(conv(c, w)).max() > 1e-3, lambda c: conv(c, 0.1 * w), x
    ),
    "cond": lambda x, w: lax.cond(x.sum() > 0, conv, lambda x, w: conv(x, 2 * w), x, w),
    "switch": lambda x, w: lax.switch(1, [conv, lambda x, w: conv(2 * x, w)], x, w),
    "checkpoint": jax.checkpoint(lambda x, w: jnp.tanh(conv(x, w))),
    "custom_jvp": with_jvp,
    "custom_vjp": with_vjp,
    "vmap of both": lambda x, w: jax.vmap(conv)(x[:, None], jnp.stack([w, 2 * w])),
    "nested": jax.jit(jax.checkpoint(lambda x, w: scanned(with_vjp(x, w), w))),
    "conv_transpose": lambda x, w: lax.conv_transpose(
        x, jnp.tile(w, (1, 1, 6, 1)), (2, 2), "SAME", dimension_numbers=NUMBERS
    ),
    "patches": lambda x, w: (
        w.sum() * lax.conv_general_dilated_patches(x, (2, 3), (1, 1), "VALID")
    ),
}
FORWARD_ONLY = ("while",)


@pytest.fixture
def operands(rng: np.random.Generator) -> tuple[Any, Any]:
    x = jnp.asarray(rng.normal(size=(2, 9, 8, 6)))
    return x, jnp.asarray(rng.normal(size=(3, 3, 1, 6)) / 3)


def loss(model: Model, x: Any, w: Any) -> Any:
    return (model(x, w) ** 2).sum()


def step(model: Model) -> Callable[..., Any]:
    return jax.value_and_grad(partial(loss, model), (0, 1))


def close(got: Any, want: Any) -> None:
    def check(a: Any, b: Any) -> None:
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)

    jax.tree.map(check, got, want)


@pytest.mark.parametrize("name", MODELS)
def test_models_run_on_contractions(name: str, operands: tuple[Any, Any]) -> None:
    model = MODELS[name]
    want = jax.jit(model)(*operands)
    fast = jaxconv.accelerate(model)
    close(jax.jit(fast)(*operands), want)
    left, contractions = counts(fast, *operands)
    assert left == 0 < contractions == counts(model, *operands)[0]
    with jaxconv.accelerate():
        close(jax.jit(model)(*operands), want)
        assert counts(model, *operands)[0] == 0


@pytest.mark.parametrize("name", [name for name in MODELS if name not in FORWARD_ONLY])
def test_gradients_inside_and_outside(name: str, operands: tuple[Any, Any]) -> None:
    model = MODELS[name]
    want = jax.jit(step(model))(*operands)
    inside = jaxconv.accelerate(step(model))  # as a whole training step
    outside = step(jaxconv.accelerate(model))
    for fast in (inside, outside):
        close(jax.jit(fast)(*operands), want)
        left, contractions = counts(fast, *operands)
        assert left == 0 < contractions


@pytest.mark.parametrize("transform", ["jvp", "vmap", "hessian"])
def test_other_transformations(transform: str, operands: tuple[Any, Any]) -> None:
    x, w = operands

    def transformed(model: Model) -> Any:
        if transform == "jvp":
            return jax.jvp(model, (x, w), (2 * x, w + 1))
        if transform == "vmap":
            return jax.vmap(model, (1, None), 2)(jnp.stack([x, 2 * x, x + 1], 1), w)
        return jax.hessian(lambda s: loss(model, s * x, w))(2.0)

    close(transformed(jaxconv.accelerate(with_jvp)), transformed(with_jvp))


def test_the_decorator_and_errors_restore(operands: tuple[Any, Any]) -> None:
    @jaxconv.accelerate()
    def inside(x: Any, w: Any) -> tuple[int, int]:
        return counts(conv, x, w)

    assert inside(*operands) == (0, 1)
    assert counts(conv, *operands) == (1, 0)
    with pytest.raises(RuntimeError, match="on purpose"), jaxconv.accelerate():
        raise RuntimeError("on purpose")
    assert counts(conv, *operands) == (1, 0)
    assert "bind" not in vars(lax.conv_general_dilated_p)


def test_entered_again_while_entered(operands: tuple[Any, Any]) -> None:
    accelerated = jaxconv.accelerate()
    with accelerated:
        with accelerated:
            assert counts(conv, *operands) == (0, 1)
        assert counts(conv, *operands) == (0, 1)
    assert counts(conv, *operands) == (1, 0)


def test_other_threads_are_left_alone(operands: tuple[Any, Any]) -> None:
    """Two threads inside and outside at the same moment, and one leaving first."""
    accelerated = jaxconv.accelerate()
    entered, looked = threading.Barrier(2, timeout=60), threading.Barrier(2, timeout=60)
    found: dict[str, list[tuple[int, int]]] = {"inside": [], "outside": []}

    def inside() -> None:
        with accelerated:
            entered.wait()
            found["inside"].append(counts(conv, *operands))
            looked.wait()
        found["inside"].append(counts(conv, *operands))

    def outside() -> None:
        entered.wait()
        found["outside"].append(counts(conv, *operands))
        with accelerated:
            looked.wait()
            found["outside"].append(counts(conv, *operands))

    threads = [threading.Thread(target=fn) for fn in (inside, outside)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"inside": [(0, 1), (1, 0)], "outside": [(1, 0), (0, 1)]}


def test_jit_traces_again_inside(operands: tuple[Any, Any]) -> None:
    """One jitted function, used outside, inside and outside again."""
    traced: list[tuple[int, int]] = []

    @jax.jit
    def fn(x: Any, w: Any) -> Any:
        traced.append(counts(conv, x, w))
        return conv(x, w)

    want = fn(*operands)
    with jaxconv.accelerate():
        close(fn(*operands), want)
    close(fn(*operands), want)
    assert traced == [(1, 0), (0, 1)]


def test_a_jitted_function_compiles_once(operands: tuple[Any, Any]) -> None:
    """Each call rewrites the jaxpr anew, but for jit it is the same one."""
    fast = jaxconv.accelerate(jax.jit(conv))
    fast(*operands)
    compiled: list[str] = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, **__: compiled.append(event) if "compile" in event else None
    )
    fast(*operands)
    assert not [event for event in compiled if "backend_compile" in event]
    jax.jit(lambda x: x + 7.25)(operands[0])  # the listener does listen
    assert [event for event in compiled if "backend_compile" in event]


def test_static_arguments_and_results(operands: tuple[Any, Any]) -> None:
    def fn(x: Any, w: Any, *, name: str, scale: float) -> Any:
        y = scale * conv(x, w)
        return {"y": y, "name": name, "shape": y.shape}

    out = jaxconv.accelerate(fn)(*operands, name="depthwise", scale=2.0)
    assert (out["name"], out["shape"]) == ("depthwise", (2, 9, 8, 6))
    close(out["y"], 2.0 * conv(*operands))


def test_what_has_no_convolution_is_the_same_jaxpr(operands: tuple[Any, Any]) -> None:
    fn = jax.jit(lambda x, w: jnp.tanh(x).sum() * w)
    want = str(jax.make_jaxpr(fn)(*operands))
    assert str(jax.make_jaxpr(jaxconv.accelerate(fn))(*operands)) == want


@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
def test_sharded(axis_type: AxisType, operands: tuple[Any, Any]) -> None:
    x, w = operands
    mesh = jax.make_mesh((2,), ("batch",), axis_types=(axis_type,))
    with jax.set_mesh(mesh):
        image = jax.device_put(x, jax.NamedSharding(mesh, P("batch")))
        kernel = jax.device_put(w, jax.NamedSharding(mesh, P()))
        fast = jax.jit(jaxconv.accelerate(step(conv)))
        got = fast(image, kernel)
    close(got, step(conv)(x, w))


def test_inside_shard_map(operands: tuple[Any, Any]) -> None:
    x, w = operands
    mesh = jax.make_mesh((2,), ("batch",), axis_types=(AxisType.Auto,))

    def local(x: Any, w: Any) -> Any:
        return lax.psum((conv(x, w) ** 2).sum(), "batch")

    sharded = jax.shard_map(local, mesh=mesh, in_specs=(P("batch"), P()), out_specs=P())
    want = jax.value_and_grad(partial(loss, conv), (0, 1))(x, w)
    for fast in (
        jaxconv.accelerate(jax.value_and_grad(sharded, (0, 1))),
        jax.value_and_grad(jaxconv.accelerate(sharded), (0, 1)),
    ):
        close(jax.jit(fast)(x, w), want)
        assert counts(fast, x, w)[0] == 0


def test_a_function_is_asked_for() -> None:
    with pytest.raises(TypeError, match=r"^fn=3: is not callable\. Write accelerate"):
        jaxconv.accelerate(3)  # pyright: ignore
