"""One exported module for several platforms holds each platform's own lowerings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from jax import export

import jaxconv
from jaxconv._plan import choose as _plan
from oracle import close
from programs import scopes

PLATFORMS = ("cpu", "cuda", "tpu")
X, KERNEL = (2, 8, 20, 19), (8, 2, 4, 3)
OPTIONS = {"stride": 2, "padding": 1, "groups": 2}


def step(x: Any, kernel: Any) -> Any:
    def loss(x: Any, kernel: Any) -> jax.Array:
        y = jaxconv.conv_transpose(x, kernel, **OPTIONS)
        return (y * y).sum()

    return jax.grad(loss, (0, 1))(x, kernel)


def lowered(*platforms: str) -> str:
    shapes = [jax.ShapeDtypeStruct(shape, np.float32) for shape in (X, KERNEL)]
    lowered = jax.jit(step).trace(*shapes).lower(lowering_platforms=platforms)
    return lowered.as_text(debug_info=True)


def test_each_platform_has_its_own_lowerings() -> None:
    alone = {platform: scopes(lowered(platform)) for platform in PLATFORMS}
    roles = ("output", "input", "kernel")
    assert alone["cuda"] == {f"{role}.cudnn" for role in roles}
    assert alone["tpu"] == {f"{role}.mxu" for role in roles}
    assert not alone["cpu"] & (alone["cuda"] | alone["tpu"])
    text = lowered(*PLATFORMS)
    assert scopes(text) == set.union(*alone.values())
    # The module asks for each of three contractions where it runs.
    assert text.count('"stablehlo.case"(') >= 3


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.usefixtures("no_type_check")
def test_a_line_of_few_channels_on_a_tpu(symbolic: bool) -> None:
    """Only where it is known how large the batch is."""
    n = export.symbolic_shape("n")[0] if symbolic else 16
    shapes = [jax.ShapeDtypeStruct(v, np.float32) for v in ((n, 32, 1025), (48, 8, 2))]

    def step(x: Any, kernel: Any) -> Any:
        def loss(x: Any, kernel: Any) -> jax.Array:
            y = jaxconv.conv(x, kernel, groups=4)
            return (y * y).sum()

        return jax.grad(loss, (0, 1))(x, kernel)

    traced = jax.jit(step).trace(*shapes).lower(lowering_platforms=("tpu",))
    name = "mxu" if symbolic else "lines"
    found = scopes(traced.as_text(debug_info=True))
    assert found == {f"{role}.{name}" for role in ("output", "input", "kernel")}
    if not symbolic:
        hlo = traced.as_text(dialect="hlo")
        assert "convolution(" not in hlo
        assert hlo.count(" dot(") == 3 * 2  # roles, taps


def test_an_exported_module_runs_here(rng: np.random.Generator) -> None:
    x = jnp.asarray(rng.standard_normal(X), np.float32)
    kernel = jnp.asarray(rng.standard_normal(KERNEL), np.float32)
    exported = export.export(jax.jit(step), platforms=PLATFORMS)(x, kernel)
    loaded = export.deserialize(exported.serialize())
    assert loaded.platforms == PLATFORMS
    for out, expected in zip(loaded.call(x, kernel), step(x, kernel), strict=True):
        close(out, expected, X[0] * X[2] * X[3] * 4, np.float32)


@pytest.fixture
def no_type_check() -> Iterator[None]:
    """A size that is a symbol is no int, which only the tests' own type check minds."""
    checked = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", checked)


@pytest.mark.parametrize(("platform", "name"), [("cuda", "cudnn"), ("tpu", "mxu")])
@pytest.mark.usefixtures("no_type_check")
def test_a_symbolic_batch_keeps_the_platform(platform: str, name: str) -> None:
    (n,) = export.symbolic_shape("n")
    shapes = [(n, *X[1:]), KERNEL]
    structs = [jax.ShapeDtypeStruct(shape, np.float32) for shape in shapes]
    exported = export.export(jax.jit(step), platforms=(platform,))(*structs)
    assert exported.platforms == (platform,)
    text = jax.jit(step).trace(*structs).lower(lowering_platforms=(platform,))
    assert scopes(text.as_text(debug_info=True)) == {
        f"{role}.{name}" for role in ("output", "input", "kernel")
    }


@pytest.mark.parametrize(
    ("groups", "c", "o", "blocks"),
    [(32, 16, 16, 4), (8, 24, 32, 1), (3, 9, 128, 3), (1, 5, 6, 1), (7, 1, 2, 7)],
)
@pytest.mark.parametrize("stride", [1, 2])
def test_blocks_of_groups_channels_first(
    groups: int, c: int, o: int, blocks: int, stride: int, rng: np.random.Generator
) -> None:
    """The tables' cases have few groups, so that one block holds them."""
    x = jnp.asarray(rng.standard_normal((2, groups * c, 7, 6)), np.float32)
    kernel = jnp.asarray(rng.standard_normal((groups * o, c, 3, 2)), np.float32)
    options = {"groups": groups, "padding": 1, "stride": stride}

    def run(x: Any, kernel: Any, name: str) -> jax.Array:
        return jaxconv.conv(x, kernel, implementation=name, **options)

    def pulled(name: str) -> tuple[jax.Array, ...]:
        out, pull = jax.vjp(lambda *values: run(*values, name), x, kernel)
        return out, *pull(jnp.cos(out))

    found, expected = pulled("mxu"), pulled("xla")
    for out, wanted in zip(found, expected, strict=True):
        scale = float(np.abs(wanted).max())
        np.testing.assert_allclose(out, wanted, rtol=0, atol=5e-5 * scale)
    hlo = jax.jit(lambda *v: run(*v, "mxu")).lower(x, kernel).as_text(dialect="hlo")
    assert re.findall(r"feature_group_count=(\d+)", hlo) == [str(blocks)] * (blocks > 1)


def test_examples_are_not_merged(rng: np.random.Generator) -> None:
    """Groups that vmap made: XLA lays them out in a way of its own."""
    x = jnp.asarray(rng.standard_normal((5, 2, 8, 7, 6)), np.float32)
    kernel = jnp.asarray(rng.standard_normal((5, 6, 4, 3, 2)), np.float32)

    def run(name: str) -> Any:
        return jax.vmap(lambda *v: jaxconv.conv(*v, groups=2, implementation=name))

    close(run("mxu")(x, kernel), run("window")(x, kernel), 4 * 6, np.float32)
    hlo = jax.jit(run("mxu")).lower(x, kernel).as_text(dialect="hlo")
    assert "feature_group_count=10" in hlo


def test_rules_of_other_platforms_say_what_they_rest_on() -> None:
    rules = [rule for rule in _plan.RULES if "cpu" not in rule.platforms]
    assert {rule.name for rule in rules} == {
        "product",
        "cudnn",
        "lines",
        "stretch",
        "mxu",
    }
