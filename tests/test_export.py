"""Every operation with its gradient, exported for CPU, CUDA and TPU with any batch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from jax import export, lax

import jaxconv
from oracle import close

# The arrays by shape; the first entry "n" is the batch, exported as a symbol.
OPS: dict[str, tuple[Callable[..., Any], list[tuple[Any, ...]]]] = {
    "conv, circular": (
        partial(jaxconv.conv, padding=1, padding_mode="circular"),
        [("n", 2, 5, 4), (3, 2, 3, 3), (3,)],
    ),
    "conv, grouped volume": (
        partial(jaxconv.conv, stride=2, groups=2, layout="channels_last"),
        [("n", 5, 4, 3, 4), (3, 2, 2, 2, 6)],
    ),
    "conv_transpose": (
        partial(jaxconv.conv_transpose, stride=2, padding=1, output_padding=1),
        [("n", 3, 4, 3), (3, 2, 3, 3), (2,)],
    ),
    "depthwise_conv": (jaxconv.depthwise_conv, [("n", 3, 5, 4), (6, 1, 2, 3)]),
    "pointwise_conv": (jaxconv.pointwise_conv, [("n", 3, 5), (4, 3, 1)]),
    "separable_conv": (
        jaxconv.separable_conv, [("n", 3, 5, 4), (6, 1, 2, 3), (4, 6, 1, 1)],
    ),
    "unfold": (lambda x: jaxconv.unfold(x, (2, 3)), [("n", 3, 5, 4)]),
    "fold": (lambda u: jaxconv.fold(u, (5, 4), (2, 3)), [("n", 12, 8)]),
    "conv_general_dilated": (
        lambda x, w: jaxconv.conv_general_dilated(x, w, (2, 1), "SAME"),
        [("n", 3, 5, 4), (4, 3, 3, 2)],
    ),
    "accelerate": (
        jaxconv.accelerate(lambda x, w: lax.conv(x, w, (1, 1), "SAME")),
        [("n", 3, 5, 4), (4, 3, 3, 2)],
    ),
    "deform_conv": (
        partial(jaxconv.deform_conv, padding=1, implementation="columns"),
        [("n", 2, 5, 4), ("n", 18, 5, 4), (3, 2, 3, 3)],
    ),
    "deform_conv_transpose": (
        partial(jaxconv.deform_conv_transpose, implementation="columns"),
        [("n", 3, 3, 2), ("n", 18, 3, 2), (3, 2, 3, 3)],
    ),
    "deform_aggregate": (
        lambda x, offset, weights: jaxconv.deform_aggregate(
            x, offset, weights, (3,), padding=1
        ),
        [("n", 2, 5), ("n", 3, 5), ("n", 3, 5)],
    ),
    "deform_attention_sample": (
        lambda v, at, w: jaxconv.deform_attention_sample(v, ((2, 3), (1, 2)), at, w),
        [("n", 8, 2, 3), ("n", 4, 2, 2, 3, 2), ("n", 4, 2, 2, 3)],
    ),
}  # fmt: skip


def value_and_gradients(name: str) -> Callable[..., Any]:
    fn, shapes = OPS[name]

    def loss(*v: Any) -> Any:
        return jnp.sin(fn(*v)).sum()

    return jax.value_and_grad(loss, tuple(range(len(shapes))))


def with_batch(name: str, batch: Any) -> list[tuple[Any, ...]]:
    return [tuple(batch if v == "n" else v for v in shape) for shape in OPS[name][1]]


@pytest.mark.parametrize("name", OPS)
def test_exported(
    name: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = value_and_gradients(name)
    (n,) = export.symbolic_shape("n")
    any_batch = [jax.ShapeDtypeStruct(v, np.float64) for v in with_batch(name, n)]
    # A size that is a symbol is no int, which only the tests' own type check minds.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    made = export.export(jax.jit(run), platforms=("cpu", "cuda", "tpu"))(*any_batch)
    again = export.deserialize(made.serialize())
    assert again.platforms == ("cpu", "cuda", "tpu")
    v = [jnp.asarray(rng.uniform(size=shape)) for shape in with_batch(name, 3)]
    found, wanted = (jax.tree.leaves(f(*v)) for f in (again.call, jax.jit(run)))
    for got, want in zip(found, wanted, strict=True):
        close(got, want, 200, np.float64)


def test_exported_for_several_devices(rng: np.random.Generator) -> None:
    """The rows stay cut, with no part that only this process could compile."""
    mesh = jax.make_mesh(
        (2,), ("a",), (jax.sharding.AxisType.Auto,), devices=jax.devices()[:2]
    )
    cut = jax.NamedSharding(mesh, jax.P(None, None, "a"))
    x = jax.device_put(jnp.asarray(rng.normal(size=(2, 4, 6, 5))), cut)
    kernel = jnp.asarray(rng.normal(size=(6, 2, 3, 3)))
    run = jax.jit(
        lambda x, w: jaxconv.conv(x, w, padding=1, groups=2), out_shardings=cut
    )
    made = export.export(run)(x, kernel)
    again = export.deserialize(made.serialize())
    assert again.nr_devices == 2
    got = jax.jit(again.call)(
        x, jax.device_put(kernel, jax.NamedSharding(mesh, jax.P()))
    )
    close(got, run(x, kernel), 20, np.float64)
