"""Every equation of JAX that holds jaxprs: its convolutions are found, or it is named.

Rewritten by `accelerate`, and seen by `explain`, `summarize` and `input_support`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.custom_batching import custom_vmap
from jax.custom_derivatives import linear_call

import jaxconv
from jaxconv._core.calls import CONTROL, LEFT
from programs import counts

# Every other name that the list below may give: a call, handled as all calls are.
CALLS = """
    call closed_call core_call core_closed_call jit pjit eval_jaxpr program_order
    checkpoint remat2 remat_opt custom_jvp_call custom_vjp_call custom_vmap_call
    custom_partitioning custom_linear_solve linear_call composite compute_on fused_call
    xla_metadata_call thunky.call_thunky_nested thunky.async_start
    thunky.collective_group thunky.cond thunky.while
""".split()
ARRAY = jax.ShapeDtypeStruct((1, 1, 7, 6), np.float64)
Model = Callable[[Any, Any], Any]


def conv(x: Any, w: Any) -> Any:
    return lax.conv_general_dilated(x, w, (1, 1), "SAME")


def heat(x: Any, w: Any) -> Any:
    """A symmetric, positive definite map of images, with one convolution."""
    return x + 0.1 * conv(x, w + w[:, :, ::-1, ::-1])


@custom_vmap
def mapped(x: Any, w: Any) -> Any:
    return jnp.tanh(conv(x, w))


@mapped.def_vmap
def _mapped_rule(size: int, batched: Any, x: Any, w: Any) -> Any:
    return jnp.tanh(jax.vmap(conv, [0 if b else None for b in batched])(x, w)), True


def implicit(x: Any, w: Any) -> Any:
    """The root y of heat(y) = x, by some steps of a fixed-point iteration."""

    def solve(f: Callable[..., Any], y: Any) -> Any:
        return lax.fori_loop(0, 12, lambda _, y: y - f(y), y)

    def tangent(f: Callable[..., Any], y: Any) -> Any:
        return lax.fori_loop(0, 12, lambda _, v: v - (f(v) - y), y)

    return lax.custom_root(lambda y: heat(y, w) - x, x, solve, tangent)


def solved(x: Any, w: Any) -> Any:
    return jax.scipy.sparse.linalg.cg(lambda v: heat(v, w), x, maxiter=4)[0]


def linear(x: Any, w: Any) -> Any:
    def back(w: Any, y: Any) -> Any:
        return lax.conv_general_dilated(y, 2 * w[:, :, ::-1, ::-1], (1, 1), "SAME")

    return linear_call(lambda w, x: conv(x, w), back, w, x)


def in_references(x: Any, w: Any) -> Any:
    total = jax.new_ref(jnp.zeros_like(x))

    def body(k: Any, carry: None) -> None:
        total[...] = total[...] + conv(x, w)

    lax.fori_loop(0, 2, body, None)
    return jax.freeze(total)


MODELS: dict[str, Model] = {
    "cg": solved,
    "custom_root": implicit,
    "linear_call": linear,
    "custom_vmap": mapped,
    "composite": lambda x, w: lax.composite(conv, "test.convolve")(x, w),
    "references": in_references,
    "closed under jvp": lambda x, w: jax.jvp(
        lambda x: solved(x, w), (x,), (jnp.ones_like(x),)
    )[1],
}
DIFFERENTIABLE = ("cg", "custom_root", "linear_call")


@pytest.fixture
def operands(rng: np.random.Generator) -> tuple[Any, Any]:
    x = jnp.asarray(rng.normal(size=ARRAY.shape))
    return x, jnp.asarray(rng.normal(size=(1, 1, 3, 3)))


@pytest.mark.parametrize("name", MODELS)
def test_convolutions_inside_are_found(name: str, operands: tuple[Any, Any]) -> None:
    model = MODELS[name]
    fast = jax.jit(jaxconv.accelerate(model))
    np.testing.assert_allclose(fast(*operands), model(*operands), rtol=1e-9, atol=1e-9)
    left, contractions = counts(fast, *operands)
    assert left == 0 < contractions
    assert "no convolutions" not in jaxconv.explain(fast, *operands)
    assert len(jaxconv.summarize(fast, *operands).layers) > 0


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_their_gradients(name: str, operands: tuple[Any, Any]) -> None:
    def gradient(model: Model) -> Any:
        first = (0,) if name == "linear_call" else (0, 1)
        return jax.grad(lambda x, w: (model(x, w) ** 2).sum(), first)

    wanted = gradient(MODELS[name])(*operands)
    outside = gradient(jaxconv.accelerate(MODELS[name]))
    for fast in (outside, jaxconv.accelerate(gradient(MODELS[name]))):
        for got, want in zip(fast(*operands), wanted, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)
        assert counts(fast, *operands)[0] == 0


def test_a_solution_counts_once(operands: tuple[Any, Any]) -> None:
    """Of a linear solve's four jaxprs one runs: here a loop of four steps."""

    def step(v: Any) -> Any:
        return jaxconv.conv(v, operands[1], padding=1)

    def solve(matvec: Callable[..., Any], b: Any) -> Any:
        return lax.scan(lambda v, _: (b - matvec(v), None), b, length=4)[0]

    def fn(x: Any) -> Any:
        return lax.custom_linear_solve(step, x, solve, symmetric=True)

    (row,) = jaxconv.summarize(fn, operands[0]).layers
    assert row.times == 4
    text = jaxconv.explain(fn, operands[0])
    assert text.count("1. convolution: ") == 1
    assert "2. " not in text
    assert "runs 4 times" in text


@pytest.mark.parametrize("name", ["linear_call", "composite", "custom_vmap"])
def test_support_through_a_call(name: str, operands: tuple[Any, Any]) -> None:
    x, w = operands
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = jaxconv.input_support(lambda x: MODELS[name](x, w), x, (0, 0, 3, 3))
    wanted = np.zeros(x.shape, bool)
    wanted[0, 0, 2:5, 2:5] = True
    np.testing.assert_array_equal(found, wanted)


# All of JAX's equations ---------------------------------------------------------------

# What an argument of an equation that is a jaxpr, or several, is called in JAX.
JAXPRS = re.compile(r"\b(\w*jaxprs?|branches|callee|call|subfuns)\s*=[^=]")
PRIMITIVE = re.compile(
    r"""^(\w+_p)\b[^=\n]* = [\w.]*Primitive\(\s*['"]([^'"]+)""", re.M
)


def sources() -> list[str]:
    """JAX's own modules, but for those that only test it, or describe a kernel."""
    skipped = re.compile(r"test|mosaic_gpu|triton")
    files = (Path(jax.__file__).parent / "_src").rglob("*.py")
    return [v.read_text(encoding="utf-8") for v in files if not skipped.search(str(v))]


def binding(text: str) -> Iterator[str]:
    """The variables of primitives that are bound with jaxprs."""
    for found in re.finditer(r"(\w+_p)\.bind\(", text):
        depth, end = 1, found.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        if JAXPRS.search(text[found.end() : end]):
            yield found[1]


def test_every_equation_with_jaxprs_is_handled_or_named() -> None:
    known = {name.replace("-", "_") for name in (*CALLS, *CONTROL, *LEFT)}
    texts = sources()
    names = dict(pair for text in texts for pair in PRIMITIVE.findall(text))
    bound = {name for text in texts for name in binding(text)}
    found = {names.get(name, name.strip("_").removesuffix("_p")) for name in bound}
    assert {"jit", "scan", "custom_linear_solve", "composite", "remat2"} <= found
    unknown = {name for name in found if name.replace("-", "_") not in known}
    assert not unknown, f"neither handled nor named: {sorted(unknown)}"
