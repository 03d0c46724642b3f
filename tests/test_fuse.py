"""`accelerate` fuses what follows a convolution: found, equal, only where it may."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.extend.core import jaxprs_in_params
from jax.sharding import PartitionSpec as P

import jaxconv
from jaxconv._plan import onednn
from jaxconv._plan.machine import processor

LAST, FIRST = ("NHWC", "HWIO", "NHWC"), ("NCHW", "OIHW", "NCHW")
Net = Callable[..., Any]
EPS = 1e-3


def conv(x: Any, w: Any, padding: Any = "SAME", **options: Any) -> Any:
    options = {"dimension_numbers": LAST} | options
    return lax.conv_general_dilated(x, w, (1, 1), padding, **options)


def normed(y: Any, v: Any) -> Any:
    """Batch normalisation as Keras has it."""
    scale = v["gamma"] * lax.rsqrt(v["var"] + EPS)
    return y * scale + (v["beta"] - v["mean"] * scale)


def centred(y: Any, v: Any) -> Any:
    """Batch normalisation as Flax and Haiku have it."""
    return (y - v["mean"]) * (v["gamma"] * lax.rsqrt(v["var"] + EPS)) + v["beta"]


def written_out(y: Any, v: Any) -> Any:
    return y / (1 + jnp.exp(-y)) + v["r"]


@jax.jit
def block(x: Any, v: Any) -> Any:
    return conv(x, v["w"])


@jax.jit
def head(y: Any, v: Any) -> Any:
    return jax.nn.relu6(centred(y, v))


def channels_first(x: Any, v: Any) -> Any:
    y = conv(jnp.moveaxis(x, -1, 1), jnp.transpose(v["w"], (3, 2, 0, 1)),
             dimension_numbers=FIRST)  # fmt: skip
    return jax.nn.elu(y * v["gamma"].reshape(1, -1, 1, 1) + v["beta"][:, None, None])


def cast(x: Any, v: Any) -> Any:
    y = conv(x, v["w"]).astype(jnp.float32) * v["gamma"].astype(jnp.float32)
    return jax.nn.relu(y.astype(x.dtype))


def reshaped(x: Any, v: Any) -> Any:
    y = conv(x, v["w"])
    return jax.nn.gelu(y.reshape(y.shape[0], -1, y.shape[-1]) + v["beta"])


def mapped(x: Any, v: Any) -> Any:
    """As Equinox maps a model over the batch."""
    return jax.vmap(lambda x: jnp.tanh(conv(x[None], v["w"])[0] + v["beta"]))(x)


def padded(x: Any, v: Any) -> Any:
    x = jnp.pad(x, ((0, 0), (1, 2), (0, 1), (0, 0)))
    return normed(conv(x, v["w"], "VALID"), v)


NETS: dict[str, tuple[Net, tuple[str, ...]]] = {
    "bias": (lambda x, v: conv(x, v["w"]) + v["beta"], ("shift",)),
    "normed": (
        lambda x, v: jax.nn.relu(normed(conv(x, v["w"]), v)),
        ("scale", "shift", "relu"),
    ),
    "centred, residual": (
        lambda x, v: jax.nn.relu(v["r"] + centred(conv(x, v["w"]), v)),
        ("shift", "scale", "shift", "add", "relu"),
    ),
    "residual after": (
        lambda x, v: jax.nn.silu(conv(x, v["w"]) - v["mean"]) + v["r"],
        ("shift", "silu", "add"),
    ),
    "written out": (lambda x, v: written_out(conv(x, v["w"]), v), ("silu", "add")),
    "inner jits": (
        lambda x, v: head(block(x, v), v),
        ("shift", "scale", "shift", "relu6"),
    ),
    "channels first": (channels_first, ("scale", "shift", "elu")),
    "casts": (cast, ("scale", "relu")),
    "reshaped": (reshaped, ("shift", "gelu (tanh)")),
    "mapped": (mapped, ("shift", "tanh")),
    "padded": (padded, ("scale", "shift")),
    "gelu": (
        lambda x, v: jax.nn.gelu(0.5 * conv(x, v["w"]), approximate=False),
        ("scale", "gelu"),
    ),
}


@pytest.fixture(autouse=True)
def _as_users_have_it() -> Any:
    """Vectors are broadcast without being asked to."""
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture
def values(rng: np.random.Generator) -> tuple[Any, Any]:
    def normal(*shape: int) -> Any:
        return jnp.asarray(rng.normal(size=shape))

    v = {name: normal(5) for name in ("gamma", "beta", "mean")}
    v |= {"w": normal(3, 2, 4, 5), "r": normal(2, 7, 6, 5), "var": normal(5) ** 2}
    return normal(2, 7, 6, 4), v


def fused(fn: Net, *args: Any) -> list[tuple[str, ...]]:
    """The steps of each fused equation that a function traces."""

    def walk(jaxpr: Any) -> Any:
        for eqn in jaxpr.eqns:
            if eqn.primitive.name == "jaxconv_fused":
                yield eqn.params["steps"]
            for inner in jaxprs_in_params(eqn.params):
                yield from walk(inner)

    return list(walk(jax.make_jaxpr(fn)(*args).jaxpr))


def same(got: Any, want: Any, tolerance: float = 1e-9) -> None:
    def check(a: Any, b: Any) -> None:
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)

    jax.tree.map(check, got, want)


@pytest.mark.parametrize("name", NETS)
def test_found_and_equal(name: str, values: tuple[Any, Any]) -> None:
    net, steps = NETS[name]
    fast, (x, v) = jaxconv.accelerate(net), values
    assert fused(fast, *values) == [steps]
    same(jax.jit(fast)(*values), net(*values))
    constant = jaxconv.accelerate(lambda x: net(x, v))  # parameters as constants
    assert fused(constant, x) == [steps]
    same(jax.jit(constant)(x), net(x, v))
    assert fused(jaxconv.accelerate(net, fuse=False), *values) == []


@pytest.mark.parametrize("name", ["centred, residual", "channels first", "padded"])
def test_derivatives_and_vmap(name: str, values: tuple[Any, Any]) -> None:
    net = NETS[name][0]
    fast = jaxconv.accelerate(net)

    def loss(net: Net) -> Net:
        return lambda x, v: (net(x, v) ** 2).sum()

    want = jax.grad(loss(net), (0, 1))(*values)
    same(jax.jit(jax.grad(loss(fast), (0, 1)))(*values), want)
    inside = jaxconv.accelerate(jax.grad(loss(net), (0, 1)))
    same(jax.jit(inside)(*values), want)
    many = jax.tree.map(lambda v: jnp.stack([v, 2 * v]), values)
    same(jax.jit(jax.vmap(fast))(*many), jax.vmap(net)(*many))
    tangents = jax.tree.map(jnp.ones_like, values)
    same(jax.jvp(fast, values, tangents), jax.jvp(net, values, tangents))


def test_transposes_what_is_linear(values: tuple[Any, Any]) -> None:
    x, v = values
    fast = jaxconv.accelerate(lambda x: conv(x, v["w"]) * v["gamma"])
    assert fused(fast, x) == [("scale",)]
    y = conv(x, v["w"])
    (got,) = jax.linear_transpose(fast, x)(y)
    (want,) = jax.linear_transpose(lambda x: conv(x, v["w"]) * v["gamma"], x)(y)
    same(got, want)


@pytest.mark.parametrize("special", [0.0, np.inf, -np.inf, np.nan])
def test_what_is_not_finite(special: float, values: tuple[Any, Any]) -> None:
    """In the scale, the shift, the image, the kernel and the residual.

    Beside the same lowerings: those that multiply the zeros of padding make NaN there
    of an infinite weight, which lax skips.
    """
    net, (x, v) = NETS["centred, residual"][0], values
    places = [
        (x, v | {"gamma": v["gamma"].at[1].set(special)}),
        (x, v | {"mean": v["mean"].at[2].set(special)}),
        (x.at[1, 2, 3, 0].set(special), v),
        (x, v | {"w": v["w"].at[1, 1, 2, 3].set(special)}),
        (x, v | {"r": v["r"].at[1, 0, 2, 3].set(special)}),
    ]
    fast = jax.jit(jaxconv.accelerate(net))
    apart = jax.jit(jaxconv.accelerate(net, fuse=False))
    for place in places:
        same(fast(*place), apart(*place))


def test_values_with_other_users_stay(values: tuple[Any, Any]) -> None:
    def used_twice(x: Any, v: Any) -> Any:
        y = conv(x, v["w"]) + v["beta"]
        return jax.nn.relu(y), y.mean()

    def returned(x: Any, v: Any) -> Any:
        y = conv(x, v["w"])
        return y, y * v["gamma"]

    def not_per_channel(x: Any, v: Any) -> Any:
        return conv(x, v["w"]) * v["r"].mean((1, 2), keepdims=True)

    assert fused(jaxconv.accelerate(used_twice), *values) == [("shift",)]
    assert fused(jaxconv.accelerate(returned), *values) == []
    assert fused(jaxconv.accelerate(not_per_channel), *values) == []
    for net in (used_twice, returned, not_per_channel):
        same(jax.jit(jaxconv.accelerate(net))(*values), net(*values))


def test_two_branches_meet(values: tuple[Any, Any]) -> None:
    def net(x: Any, v: Any) -> Any:
        first = normed(conv(x, v["w"]), v)
        return jax.nn.relu(first + centred(conv(x, 2 * v["w"]), v))

    fast = jaxconv.accelerate(net)
    found = fused(fast, *values)
    assert sorted(map(len, found)) == [3, 4]
    same(jax.jit(fast)(*values), net(*values))


def test_zero_padding_is_the_convolutions(values: tuple[Any, Any]) -> None:
    def primitives(fn: Net, *args: Any) -> str:
        return str(jax.make_jaxpr(fn)(*args))

    fast = jaxconv.accelerate(padded)
    assert " pad[" in primitives(padded, *values)
    assert " pad[" not in primitives(fast, *values)

    def around(value: float, low: int, both: bool) -> Net:
        def net(x: Any, v: Any) -> Any:
            sizes = [(0, 0, 0), (low, 1, 0), (1, 1, 0), (0, 0, 0)]
            wide = lax.pad(x, jnp.asarray(value, x.dtype), sizes)
            y = conv(wide, v["w"], "VALID")
            return (y, wide) if both else y

        return net

    for net, stays in (
        (around(0.0, 1, False), False),
        (around(0.0, 1, True), True),
        (around(1.0, 1, False), True),
        (around(0.0, -1, False), True),
    ):
        fast = jaxconv.accelerate(net)
        same(jax.jit(fast)(*values), net(*values))
        assert (" pad[" in primitives(fast, *values)) == stays


def test_scan_and_shards(values: tuple[Any, Any]) -> None:
    x, v = values
    v = v | {"w": v["w"][..., :4], **{k: v[k][:4] for k in ("gamma", "beta")}}

    def net(x: Any, v: Any) -> Any:
        def body(x: Any, _: Any) -> Any:
            return jnp.tanh(conv(x, v["w"]) * v["gamma"] + v["beta"]), None

        return lax.scan(body, x, None, 2)[0]

    fast = jaxconv.accelerate(net)
    assert fused(fast, x, v) == [("scale", "shift", "tanh")]
    same(jax.jit(fast)(x, v), net(x, v))
    mesh = jax.make_mesh((2,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    image = jax.device_put(x, jax.NamedSharding(mesh, P("batch")))
    same(jax.jit(fast)(image, v), net(x, v))
    local = jax.shard_map(net, mesh=mesh, in_specs=(P("batch"), P()),
                          out_specs=P("batch"))  # fmt: skip
    same(jax.jit(jaxconv.accelerate(local))(x, v), net(x, v))


def test_exports(values: tuple[Any, Any]) -> None:
    net = NETS["normed"][0]
    exported = jax.export.export(jax.jit(jaxconv.accelerate(net)))(*values)
    same(exported.call(*values), net(*values))


# Steps in oneDNN's own pass -----------------------------------------------------------

onednn_only = pytest.mark.skipif(
    not onednn.proven() or onednn.NEEDED not in processor(),
    reason="needs Linux on x86-64 with a jaxlib that is tested",
)
# oneDNN's steps, and None where another pass has to follow.
IN_ONE_PASS: dict[str, tuple[Net, list[str] | None]] = {
    "bias": (NETS["bias"][0], ["BIAS"]),
    "scaled": (lambda x, v: conv(x, v["w"]) * v["gamma"] / 3, []),
    "turned": (lambda x, v: 1 - (v["beta"] - conv(x, v["w"])), ["BIAS"]),
    "residual": (
        lambda x, v: centred(conv(x, v["w"]), v) + v["r"],
        ["BIAS", "BINARY_ADD"],
    ),
    "silu, residual": (NETS["residual after"][0], ["BIAS", "SWISH", "BINARY_ADD"]),
    "sigmoid": (
        lambda x, v: jax.nn.sigmoid(normed(conv(x, v["w"]), v)),
        ["BIAS", "SIGMOID"],
    ),
    "mapped": (mapped, ["BIAS", "TANH"]),
    "relu": (NETS["normed"][0], None),
    "gelu": (NETS["gelu"][0], None),
    "elu": (lambda x, v: jax.nn.elu(conv(x, v["w"])), None),
    "subtracted": (lambda x, v: conv(x, v["w"]) - v["r"], None),
    "scaled after": (lambda x, v: (conv(x, v["w"]) + v["r"]) * v["gamma"], None),
}


@pytest.fixture
def large(rng: np.random.Generator) -> tuple[Any, Any]:
    """float32, and enough windows for oneDNN."""

    def normal(*shape: int) -> Any:
        return jnp.asarray(rng.normal(size=shape).astype(np.float32))

    v = {name: normal(5) for name in ("gamma", "beta", "mean")}
    v |= {"w": normal(3, 2, 4, 5), "r": normal(2, 33, 34, 5), "var": normal(5) ** 2}
    return normal(2, 33, 34, 4), v


def onednn_steps(fn: Net, *args: Any) -> list[str]:
    """The steps that the compiled program gives its only call of oneDNN."""
    text = jax.jit(fn).lower(*args).compile().as_text()
    (call,) = re.findall(r".*__onednn\$convolution.*", text)
    return re.findall(r"[A-Z][A-Z_]+(?=\W)", call.partition("fusions")[2])


@onednn_only
@pytest.mark.parametrize("name", IN_ONE_PASS)
def test_in_the_pass_of_onednn(name: str, large: tuple[Any, Any]) -> None:
    net, steps = IN_ONE_PASS[name]
    fast = jaxconv.accelerate(net)
    assert onednn_steps(fast, *large) == (steps or [])
    same(jax.jit(fast)(*large), jax.jit(net)(*large), 1e-4)
    if steps is not None and name != "mapped":

        def loss(net: Net) -> Net:
            return lambda x, v: (net(x, v) ** 2).mean()

        with jaxconv.onednn("forbid"):
            want = jax.jit(jax.grad(loss(net), (0, 1)))(*large)
        same(jax.jit(jax.grad(loss(fast), (0, 1)))(*large), want, 1e-4)


@onednn_only
@pytest.mark.parametrize("special", [0.0, np.inf, -np.inf, np.nan])
def test_what_is_not_finite_in_the_pass_of_onednn(
    special: float, large: tuple[Any, Any]
) -> None:
    """As in another pass, but an infinite scale may give NaN in place of infinity."""
    (x, v), net = large, IN_ONE_PASS["silu, residual"][0]
    places = [
        (x, v | {"mean": v["mean"].at[2].set(special)}),
        (x.at[1, 2, 3, 0].set(special), v),
        (x, v | {"w": v["w"].at[1, 1, 2, 3].set(special)}),
        (x, v | {"r": v["r"].at[1, 0, 2, 3].set(special)}),
    ]
    fast, apart = (jax.jit(jaxconv.accelerate(net, fuse=f)) for f in (True, False))
    for place in places:
        same(fast(*place), apart(*place), 1e-4)
    scaled = IN_ONE_PASS["residual"][0]
    place = (x, v | {"gamma": v["gamma"].at[1].set(special)})
    got = jax.jit(jaxconv.accelerate(scaled))(*place)
    want = jax.jit(jaxconv.accelerate(scaled, fuse=False))(*place)
    assert not np.isfinite(got)[~np.isfinite(want)].any()
    same(*(jnp.where(jnp.isfinite(want), y, 0) for y in (got, want)), 1e-4)


def test_explained_and_summarized(values: tuple[Any, Any]) -> None:
    fast = jaxconv.accelerate(NETS["normed"][0])
    text = jaxconv.explain(fast, *values)
    assert "followed, in the same pass, by: scale, shift, relu" in text
    got, want = (jaxconv.summarize(f, *values) for f in (fast, NETS["normed"][0]))
    assert len(got.layers) == 1
    assert got.totals.multiply_adds == want.totals.multiply_adds
    assert got.results == want.results
    assert got.unknown == ()
