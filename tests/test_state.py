"""`accelerate` on what changes state: nothing is lost without a word."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxconv

STEPS = 2
Step = Callable[..., Any]


pytestmark = pytest.mark.usefixtures("as_users_have_it")


@pytest.fixture
def x(rng: np.random.Generator) -> Any:
    return jnp.asarray(rng.normal(size=(4, 9, 8, 3)), np.float32)


def conv(x: Any, w: Any) -> Any:
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=numbers)


def contractions(fn: Step, *args: Any) -> int:
    return str(jax.make_jaxpr(fn)(*args)).count("jaxconv_contract[")


def check(got: Any, wanted: Any) -> None:
    def one(a: Any, b: Any) -> None:
        if jnp.issubdtype(jnp.result_type(a), jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)

    jax.tree.map(one, got, wanted)


# Flax NNX -----------------------------------------------------------------------------


def network() -> tuple[Any, Any]:
    """A model with statistics and random numbers, and the optimizer of its weights."""
    nnx = pytest.importorskip("flax.nnx", reason="flax is not installed")
    optax = pytest.importorskip("optax", reason="optax is not installed")

    class Network(nnx.Module):
        def __init__(self) -> None:
            rngs = nnx.Rngs(0)
            self.wide = nnx.Conv(3, 6, (3, 3), rngs=rngs)
            self.norm = nnx.BatchNorm(6, rngs=rngs)
            self.dropout = nnx.Dropout(0.3, rngs=rngs)
            self.deep = nnx.Conv(6, 6, (3, 2), feature_group_count=6, rngs=rngs)
            self.out = nnx.Linear(6, 4, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            x = self.dropout(nnx.relu(self.norm(self.wide(x))))
            return self.out(nnx.relu(self.deep(x)).mean((1, 2)))

    model = Network()
    return model, nnx.Optimizer(model, optax.sgd(0.1, momentum=0.9), wrt=nnx.Param)


def train(model: Any, optimizer: Any, x: Any) -> Any:
    from flax import nnx

    def loss(model: Any) -> Any:
        return (model(x) ** 2).sum()

    value, gradients = nnx.value_and_grad(loss)(model)
    optimizer.update(model, gradients)
    return value


def trained(wrap: Callable[[Step], Step], x: Any) -> tuple[list[float], Any]:
    """The losses of some steps, and all that they leave behind."""
    from flax import nnx

    model, optimizer = network()
    step = wrap(train)
    losses = [float(step(model, optimizer, x)) for _ in range(STEPS)]
    return losses, (nnx.state(model), nnx.state(optimizer))


@pytest.mark.parametrize("order", ["jit of accelerate", "accelerate of jit", "no jit"])
def test_training_steps_of_nnx(order: str, x: Any) -> None:
    nnx = pytest.importorskip("flax.nnx", reason="flax is not installed")
    wraps: dict[str, Callable[[Step], Step]] = {
        "jit of accelerate": lambda step: nnx.jit(jaxconv.accelerate(step)),
        "accelerate of jit": lambda step: jaxconv.accelerate(nnx.jit(step)),
        "no jit": jaxconv.accelerate,
    }
    losses, state = trained(nnx.jit, x)
    assert len(set(losses)) == STEPS
    got, left = trained(wraps[order], x)
    np.testing.assert_allclose(got, losses, rtol=1e-4)
    check(left, state)


def test_modules_that_are_called(x: Any) -> None:
    """The module itself, its method, a partial of it: statistics as without."""
    plain, _ = network()
    fast, _ = network()
    ways = [
        (plain, jaxconv.accelerate(fast)),
        (plain.__call__, jaxconv.accelerate(fast.__call__)),
        (plain, jaxconv.accelerate(partial(lambda model, x: model(x), fast))),
        (plain, lambda x: jaxconv.accelerate(lambda m, *, x: m(x))(fast, x=x)),
    ]
    for slow, quick in ways:
        before = plain.norm.mean[...]
        check(quick(x), slow(x))
        check(fast.norm.mean[...], plain.norm.mean[...])
        assert np.abs(plain.norm.mean[...] - before).max() > 1e-5


def test_a_module_that_only_predicts(x: Any) -> None:
    """jit may see it as a constant, as it may without."""
    nnx = pytest.importorskip("flax.nnx", reason="flax is not installed")
    model, _ = network()
    model = nnx.view(model, deterministic=True, use_running_average=True)
    fast = jaxconv.accelerate(model)
    check(jax.jit(fast)(x), model(x))
    assert contractions(fast, x) == 2


def test_a_gradient_of_an_accelerated_loss(x: Any) -> None:
    nnx = pytest.importorskip("flax.nnx", reason="flax is not installed")

    def loss(model: Any) -> Any:
        return (model(x) ** 2).sum()

    plain, fast = network()[0], network()[0]
    check(nnx.grad(jaxconv.accelerate(loss))(fast), nnx.grad(loss)(plain))
    check(nnx.state(fast), nnx.state(plain))


def test_parts_that_come_go_and_are_returned(x: Any) -> None:
    nnx = pytest.importorskip("flax.nnx", reason="flax is not installed")
    model, _ = network()

    def fn(model: Any, others: dict[str, Any]) -> Any:
        model.memory = nnx.Cache(x.sum(0))
        del model.dropout
        others["again"] = model
        return model.wide

    others: dict[str, Any] = {}
    assert jaxconv.accelerate(fn)(model, others) is model.wide
    assert others["again"] is model
    assert not hasattr(model, "dropout")
    check(model.memory[...], x.sum(0))


def test_a_module_from_outside_that_changes(x: Any) -> None:
    model, _ = network()
    with pytest.raises(Exception, match="different trace level") as caught:
        jaxconv.accelerate(lambda x: model(x))(x)
    assert "Pass the module as an argument" in caught.value.__notes__[0]


# Other libraries ----------------------------------------------------------------------


def test_equinox_modules_stay_trees(x: Any) -> None:
    eqx = pytest.importorskip("equinox", reason="equinox is not installed")
    layer = eqx.nn.Conv2d(9, 4, 3, key=jax.random.key(0))
    fast = jaxconv.accelerate(layer)
    image = x[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(eqx.filter_jit(fast)(image), layer(image))
        gradient = eqx.filter_grad(lambda layer: (layer(image) ** 2).sum())
        check(jax.tree.leaves(gradient(fast)), jax.tree.leaves(gradient(layer)))
    assert contractions(fast, image) == 1


def test_equinox_state_goes_by_hand(x: Any) -> None:
    eqx = pytest.importorskip("equinox", reason="equinox is not installed")

    def made() -> Any:
        make = eqx.nn.make_with_state(eqx.nn.BatchNorm)
        return make(3, "batch", mode="ema", inference=False)

    def run(norm: Any, state: Any) -> Any:
        return jax.vmap(norm, (0, None), (0, None), axis_name="batch")(
            jnp.moveaxis(x, -1, 1), state
        )

    wanted, got = run(*made()), jaxconv.accelerate(run)(*made())
    check(jax.tree.leaves(got), jax.tree.leaves(wanted))


def test_haiku_with_state(x: Any) -> None:
    hk = pytest.importorskip("haiku", reason="haiku is not installed")

    def forward(x: Any) -> Any:
        x = hk.Conv2D(6, 3)(x)
        return hk.BatchNorm(True, True, 0.9)(x, is_training=True)

    model = hk.without_apply_rng(hk.transform_with_state(forward))
    params, state = model.init(jax.random.key(0), x)
    fast = jaxconv.accelerate(model.apply)
    check(fast(params, state, x), model.apply(params, state, x))
    assert contractions(fast, params, state, x) == 1


def test_keras_stateless_calls_and_the_others(x: Any) -> None:
    keras = pytest.importorskip("keras", reason="keras is not installed")
    layers = keras.layers
    model = keras.Sequential([layers.Conv2D(6, 3), layers.BatchNormalization()])
    model.build(x.shape)
    weights = [
        [v.value for v in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables)
    ]
    stateless = partial(model.stateless_call, training=True)
    fast = jaxconv.accelerate(stateless)
    check(fast(*weights, x), stateless(*weights, x))
    assert contractions(fast, *weights, x) == 1
    check(jaxconv.accelerate(model)(x), model(x))
    match = r"^fn='Sequential': leaves a traced array in .*moving_mean.*, of type Var"
    with pytest.raises(ValueError, match=match):
        jaxconv.accelerate(model)(x, training=True)


def test_references_of_jax(x: Any) -> None:
    """Written to inside a loop, as an argument and from outside, and made inside."""
    w = jnp.ones((3, 3, 3, 1)) / 9

    def fn(total: Any, x: Any) -> Any:
        def body(_: Any, carry: Any) -> Any:
            total[...] += conv(x, w)
            return carry

        own = jax.new_ref(x)
        own[...] += lax.fori_loop(0, 2, body, 1.0)
        return jax.freeze(own)

    total = jax.new_ref(jnp.zeros((4, 9, 8, 1)))
    runs = [
        partial(jaxconv.accelerate(fn), total),
        partial(jax.jit(jaxconv.accelerate(fn)), total),
        jaxconv.accelerate(lambda x: fn(total, x)),
    ]
    for n, run in enumerate(runs, start=1):
        check(run(x), x + 1)
        check(total[...], 2 * n * conv(x, w))


# Objects of any kind ------------------------------------------------------------------


def test_dictionaries_and_lists_change_as_they_would(x: Any) -> None:
    def fn(state: dict[str, Any], log: list[Any]) -> Any:
        state["inner"]["mean"] = state["inner"]["mean"] + conv(x, state["w"]).mean()
        state["new"] = (state.pop("old"), "text")
        log.append(state["w"].sum())
        return state["inner"]["mean"]

    def made() -> tuple[dict[str, Any], list[Any]]:
        w = jnp.ones((3, 2, 3, 4))
        inner = {"mean": jnp.zeros(()), "kept": jnp.arange(2)}
        return {"w": w, "inner": inner, "old": jnp.ones(3)}, [w]

    wanted, got = made(), made()
    inner, kept = got[0]["inner"], got[0]["inner"]["kept"]
    check(jaxconv.accelerate(fn)(*got), fn(*wanted))
    assert got[0]["inner"] is inner
    assert inner["kept"] is kept
    assert got[0]["new"][1] == "text"
    del got[0]["new"], wanted[0]["new"]
    check(got, wanted)


@jax.tree_util.register_pytree_node_class
class Counter:
    """A tree that can be changed."""

    def __init__(self, count: Any) -> None:
        self.count = count

    def tree_flatten(self) -> tuple[tuple[Any], None]:
        return (self.count,), None

    @classmethod
    def tree_unflatten(cls, _: None, children: tuple[Any]) -> Counter:
        return cls(*children)


def test_other_trees_that_change(x: Any) -> None:
    def fn(x: Any, *, state: Any) -> Any:
        state["all"][1].count = state["all"][1].count + 1
        return x

    state = {"all": (0, Counter(jnp.zeros(())))}
    match = (
        r"^fn='fn': changes kwargs\['state'\]\['all'\]\[1\], of type Counter, .* Ret"
    )
    with pytest.raises(ValueError, match=match):
        jaxconv.accelerate(fn)(x, state=state)
    with jaxconv.accelerate():  # the way out that the message names
        fn(x, state=state)
    assert state["all"][1].count == 1
    jaxconv.accelerate(lambda x, state: state["all"][1].count + x)(x, state)


class Holder:
    """No tree."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__ = fields


def test_objects_from_outside_that_change(x: Any) -> None:
    holder = Holder(inner=Holder(buffers={}))

    def fn(x: Any) -> Any:
        holder.inner.buffers["mean"] = x.mean()
        return x

    match = (
        r"^fn='fn': leaves a traced array in fn, holder\.inner\.buffers\['mean'\], of"
    )
    with pytest.raises(ValueError, match=match):
        jaxconv.accelerate(fn)(x)
    with pytest.raises(ValueError, match="of type Holder"):
        jaxconv.accelerate(lambda h, x: setattr(h, "seen", x))(holder, x)


# Forms of the call --------------------------------------------------------------------


def test_a_block_without_parentheses(x: Any) -> None:
    w = jnp.ones((3, 3, 3, 1))
    with jaxconv.accelerate:
        assert contractions(conv, x, w) == 1
        with jaxconv.accelerate:
            assert contractions(conv, x, w) == 1
    assert contractions(conv, x, w) == 0
