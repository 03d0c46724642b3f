"""The way out: `to_lax`, Taylor series, and policies of rematerialisation."""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.experimental.jet import jet

import jaxconv

Function = Callable[..., Any]
Shapes = list[tuple[int, ...]]


def network(x: Any, down: Any, up: Any) -> Any:
    """Through jit and a scan, from an accelerated function too."""
    fast = jaxconv.accelerate(lambda x, w: lax.conv(x, w, (1, 1), "SAME"))
    y = jax.jit(fast)(x, down)
    y, _ = lax.scan(lambda y, _: (jnp.tanh(fast(y, down)), None), y, length=2)
    return jaxconv.conv_transpose(y, up, stride=2, output_padding=1)


# Pads more than windows reach, cuts, and has elements that no window reaches.
FUNCTIONS: dict[str, tuple[Function, Shapes]] = {
    "conv": (
        partial(jaxconv.conv, stride=2, padding=((1, 0), (2, 1)), dilation=(1, 2)),
        [(2, 3, 7, 8), (4, 3, 3, 2), (4,)],
    ),
    "grouped, wide padding": (
        partial(jaxconv.conv, padding=(5, 4), groups=2, layout="channels_last"),
        [(2, 5, 4, 4), (3, 2, 2, 6)],
    ),
    "long padding on one side": (
        partial(jaxconv.conv, padding=((6, 0),), stride=2), [(1, 2, 9), (3, 2, 3)],
    ),
    "negative padding": (
        lambda x, w: jaxconv.conv_general_dilated(x, w, (1, 2), ((-2, 1), (1, -3))),
        [(2, 3, 9, 10), (4, 3, 3, 2)],
    ),
    "conv_transpose": (
        partial(jaxconv.conv_transpose, stride=(2, 3), padding=1, output_padding=1),
        [(2, 3, 4, 3), (3, 2, 3, 4), (2,)],
    ),
    "grouped conv_transpose": (
        partial(jaxconv.conv_transpose, stride=3, dilation=2, groups=2),
        [(2, 4, 4), (4, 3, 2)],
    ),
    "conv_transpose that adds zeros": (
        lambda x, w: jaxconv.conv_general_dilated(x, w, (1,), ((4, 6),), (2,)),
        [(2, 3, 4), (2, 3, 3)],
    ),
    "circular": (
        partial(jaxconv.conv, padding=1, padding_mode="circular"),
        [(2, 3, 5, 6), (4, 3, 3, 3)],
    ),
    "unfold": (lambda x: jaxconv.unfold(x, (2, 3), stride=2), [(2, 3, 6, 7)]),
    "deform_conv": (
        partial(jaxconv.deform_conv, padding=1),
        [(2, 2, 5, 4), (2, 18, 5, 4), (3, 2, 3, 3)],
    ),
    "deform_conv_transpose": (
        jaxconv.deform_conv_transpose, [(2, 3, 3, 2), (2, 18, 3, 2), (3, 2, 3, 3)],
    ),
    "accelerated": (network, [(2, 3, 6, 5), (3, 3, 3, 3), (3, 2, 2, 2)]),
}  # fmt: skip


def arrays(name: str, rng: np.random.Generator) -> list[Any]:
    return [jnp.asarray(rng.normal(size=shape)) for shape in FUNCTIONS[name][1]]


def gradients(fn: Function, operands: list[Any]) -> Function:
    every = tuple(range(len(operands)))
    return jax.grad(lambda *v: jnp.sin(fn(*v)).sum(), every)


def close(got: Any, want: Any, tolerance: float = 1e-9) -> None:
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def plain(fn: Function, *operands: Any) -> bool:
    return "jaxconv" not in str(jax.make_jaxpr(fn)(*operands))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients(name: str, rng: np.random.Generator) -> None:
    fn, operands = FUNCTIONS[name][0], arrays(name, rng)
    out = jaxconv.to_lax(fn)
    assert plain(out, *operands)
    wanted = jax.jit(gradients(fn, operands))(*operands)
    close(jax.jit(out)(*operands), jax.jit(fn)(*operands))
    for way in (gradients(out, operands), jaxconv.to_lax(gradients(fn, operands))):
        assert plain(way, *operands)
        close(jax.jit(way)(*operands), wanted)


@pytest.mark.parametrize("name", ["conv", "long padding on one side", "conv_transpose"])
def test_second_derivatives(name: str, rng: np.random.Generator) -> None:
    fn, operands = FUNCTIONS[name][0], arrays(name, rng)

    def twice(fn: Function) -> Any:
        first = gradients(fn, operands)

        def total(*v: Any) -> Any:
            return sum(jnp.cos(g).sum() for g in first(*v))

        return jax.jit(jax.grad(total, (0, 1)))(*operands)

    close(twice(jaxconv.to_lax(fn)), twice(fn))


def test_a_function_is_asked_for() -> None:
    with pytest.raises(TypeError, match=r"^fn='conv': is not callable\. Write to_lax"):
        jaxconv.to_lax("conv")  # pyright: ignore


# Taylor series ------------------------------------------------------------------------

ORDER = 4


@pytest.mark.parametrize("way", ["primitive", "to_lax", "accelerate"])
@pytest.mark.parametrize("name", ["conv", "conv_transpose", "deform_conv"])
def test_taylor_series(name: str, way: str, rng: np.random.Generator) -> None:
    """jet along x + t x1 + t^2/2 x2 ..., w likewise: a polynomial, by interpolation."""
    fn, operands = FUNCTIONS[name][0], arrays(name, rng)
    if name == "deform_conv":  # its offsets stay
        fn, operands = partial(_with_offset, operands[1]), [operands[0], operands[2]]
    operands = operands[:2]
    series = [rng.normal(size=(ORDER, *v.shape)) for v in operands]
    factorials = np.array([math.factorial(n) for n in range(1, 2 * ORDER + 1)], float)

    def value(t: Any) -> Any:
        factors = t ** np.arange(1.0, ORDER + 1) / factorials[:ORDER]
        pairs = zip(operands, series, strict=True)
        return fn(*(v + jnp.tensordot(factors, terms, 1) for v, terms in pairs))

    nodes = np.cos(np.pi * (np.arange(2 * ORDER + 1) + 0.5) / (2 * ORDER + 1))
    values = np.asarray(jax.jit(jax.vmap(value))(nodes))
    powers = np.linalg.solve(
        np.vander(nodes, increasing=True), values.reshape(len(nodes), -1)
    )
    wrap = {"primitive": lambda f: f}.get(way) or getattr(jaxconv, way)
    run = jax.jit(lambda *v: jet(wrap(fn), v, tuple(map(list, series))))
    got, terms = run(*operands)
    close(got, powers[0].reshape(got.shape), 1e-8)
    for n, term in enumerate(terms):
        close(term, factorials[n] * powers[n + 1].reshape(got.shape), 1e-8)


def _with_offset(offset: Any, x: Any, kernel: Any) -> Any:
    return jaxconv.deform_conv(x, offset, kernel, padding=1)


# Rematerialisation --------------------------------------------------------------------


def _named(prim: Any, *_: Any, **params: Any) -> bool:
    """As people write it: by the primitive of lax, whose parameters are there."""
    return prim is lax.conv_general_dilated_p and len(params["window_strides"]) == 2


def layers(convolve: Function, policy: Any) -> Function:
    @partial(jax.checkpoint, policy=policy)
    def block(x: Any, w: Any) -> Any:
        return jnp.sin(convolve(jnp.sin(convolve(jnp.cos(x), w)), w))

    return lambda x, w: block(x, w).sum()


def convolutions(fn: Function, *operands: Any) -> int:
    text = str(jax.make_jaxpr(fn)(*operands))
    return text.count("conv_general_dilated[") + text.count("jaxconv_contract[")


@pytest.mark.parametrize("policy", [_named, jaxconv.convolutions_saveable])
def test_policies_that_save_convolutions(policy: Any, rng: np.random.Generator) -> None:
    """Two forward and four for the gradients; two more if nothing is saved."""
    x = jnp.asarray(rng.normal(size=(2, 3, 6, 5)))
    w = jnp.asarray(rng.normal(size=(3, 3, 3, 3)))
    same = partial(lax.conv, window_strides=(1, 1), padding="SAME")
    saving = layers(same, policy)
    wanted = jax.grad(saving, (0, 1))(x, w)
    assert convolutions(jax.grad(saving, (0, 1)), x, w) == 6
    assert convolutions(jax.grad(layers(same, None), (0, 1)), x, w) == 8
    ways = [
        jax.grad(jaxconv.accelerate(saving), (0, 1)),
        jaxconv.accelerate(jax.grad(saving, (0, 1))),
        jaxconv.accelerate()(jax.grad(saving, (0, 1))),
        jax.grad(jaxconv.to_lax(jaxconv.accelerate(saving)), (0, 1)),
    ]
    for way in ways:
        assert convolutions(way, x, w) == 6
        close(jax.jit(way)(x, w), wanted)


def test_own_convolutions_are_saved(rng: np.random.Generator) -> None:
    x = jnp.asarray(rng.normal(size=(2, 3, 6, 5)))
    w = jnp.asarray(rng.normal(size=(3, 3, 3, 3)))
    own = partial(jaxconv.conv, padding=1)
    for policy, count in ((jaxconv.convolutions_saveable, 6), (None, 8)):
        step = jax.grad(layers(own, policy), (0, 1))
        assert convolutions(step, x, w) == count
        assert convolutions(jaxconv.to_lax(step), x, w) == count


# Other tools --------------------------------------------------------------------------


def test_onnx(tmp_path: Path) -> None:
    """A converter and a runtime that know nothing of jaxconv."""
    for name in ("jax2onnx", "onnxruntime"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    script = Path(__file__).parent / "onnx_models.py"
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    errors = json.loads(done.stdout.splitlines()[-1])
    assert len(errors) == 5
    assert max(errors.values()) < 1e-5, errors
