"""Calls of lax's convolution: jaxconv's drop-in, and accelerated functions.

The reference is lax's own jaxpr, derivatives included, evaluated with NumPy: so it has
neither jaxconv in it nor what XLA does wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from jax import lax

import jaxconv
from fuzz.interpret import evaluate
from oracle import Ints

Draw = Any


@dataclass(frozen=True)
class LaxCall:
    """A call of conv_general_dilated, its value or its gradients."""

    lhs: Ints
    rhs: Ints
    options: dict[str, Any]
    pull: bool = False
    mapped: tuple[int | None, int | None] | None = None
    dtype: str = "float64"
    engine: str = "numpy"
    seed: int = 0

    def function(self, conv: Callable[..., Any]) -> Callable[..., Any]:
        options = dict(self.options)
        if "dimension_numbers" in options:
            specs = options["dimension_numbers"]
            options["dimension_numbers"] = lax.ConvDimensionNumbers(*specs)

        def fn(lhs: Any, rhs: Any) -> Any:
            return conv(lhs, rhs, **options)

        if self.mapped is not None:
            fn = jax.vmap(fn, self.mapped)
        if not self.pull:
            return lambda lhs, rhs: [fn(lhs, rhs)]

        def pulled(lhs: Any, rhs: Any) -> Any:
            y, back = jax.vjp(fn, lhs, rhs)
            ct = (jnp.arange(y.size) % 7 - 3).reshape(y.shape).astype(y.dtype)
            return [y, *back(ct)]

        return pulled

    def check(self) -> None:
        rng = np.random.default_rng(self.seed)
        shapes = [self.lhs, self.rhs]
        for i, axis in enumerate(self.mapped or ()):
            if axis is not None:
                shapes[i] = (*shapes[i][:axis], 2, *shapes[i][axis:])
        args = [rng.standard_normal(s).astype(self.dtype) for s in shapes]
        try:
            wanted = evaluate(self.function(lax.conv_general_dilated), *args)
        except (ValueError, TypeError) as error:
            _same_error(self.function(jaxconv.conv_general_dilated), args, error)
            return
        fn = self.function(jaxconv.conv_general_dilated)
        close(run(fn, args, self.engine), wanted, self.dtype)


def _same_error(fn: Callable[..., Any], args: list[Any], error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        jax.eval_shape(fn, *args)
    assert str(caught.value) == str(error)


def run(fn: Callable[..., Any], args: list[Any], engine: str) -> list[np.ndarray]:
    if engine == "numpy":
        return evaluate(fn, *args)
    fn = jax.jit(fn) if engine == "xla" else fn
    return [np.asarray(v) for v in fn(*map(jnp.asarray, args))]


def close(found: list[np.ndarray], wanted: list[np.ndarray], dtype: str) -> None:
    eps = float(np.finfo(dtype).eps)
    for a, b in zip(found, wanted, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype), (a.shape, a.dtype, b.shape)
        most = 512 * eps * max(1.0, float(np.abs(b).max(initial=0.0)))
        np.testing.assert_allclose(a, b, rtol=0, atol=most)


@st.composite
def lax_calls(draw: Draw, engines: tuple[str, ...] = ("numpy",)) -> LaxCall:
    ndim = draw(st.sampled_from((1, 2, 2, 3)))

    def ints(least: int, most: int, ones: bool = False) -> Ints:
        if ones and draw(st.booleans()):
            return (1,) * ndim
        return tuple(draw(st.integers(least, most)) for _ in range(ndim))

    groups = draw(st.sampled_from((1, 1, 2, 3)))
    fg, bg = (groups, 1) if draw(st.booleans()) else (1, groups)
    c, n, o = (draw(st.integers(1, 3)) for _ in range(3))
    most = 6 if ndim < 3 else 4
    wide = most if draw(st.integers(0, 3)) == 3 else 3
    lhs, rhs = (n * bg, c * fg, *ints(1, most)), (o * groups, c, *ints(1, wide))
    padding: Any = draw(st.sampled_from(("SAME", "VALID", "SAME_LOWER", None, None)))
    if padding is None:
        padding = tuple(zip(ints(-2, 3), ints(-2, 3), strict=True))
    options: dict[str, Any] = {"window_strides": ints(1, 3, True), "padding": padding}
    if draw(st.booleans()):
        options["lhs_dilation"] = ints(1, 3, True)
    if draw(st.booleans()):
        options["rhs_dilation"] = ints(1, 3, True)
    for name, value in (("feature_group_count", fg), ("batch_group_count", bg)):
        if value > 1:
            options[name] = value
    if draw(st.booleans()):
        axes = st.permutations(range(ndim + 2))
        specs = tuple(tuple(draw(axes)) for _ in range(3))
        options["dimension_numbers"] = specs
        lhs, rhs = (
            tuple(np.take(shape, np.argsort(spec)).tolist())
            for shape, spec in zip((lhs, rhs), specs, strict=False)
        )
    mapped = None
    if draw(st.integers(0, 3)) == 3:
        mapped = draw(st.sampled_from(((0, None), (None, 0), (0, 0), (1, 2))))
    dtype = draw(st.sampled_from(("float64", "float32")))
    pull, engine = draw(st.booleans()), draw(st.sampled_from(engines))
    seed = draw(st.integers(0, 999))
    return LaxCall(lhs, rhs, options, pull, mapped, dtype, engine, seed)


# Accelerated functions ----------------------------------------------------------------

WRAPPERS: dict[str, Callable[..., Any]] = {
    "jit": jax.jit,
    "checkpoint": jax.checkpoint,
    "none": lambda fn: fn,
    "scan": lambda fn: (
        lambda x, *w: (
            lax.scan(lambda carry, row: (carry, fn(row, *w)), 0, jnp.stack([x, 2 * x]))[
                1
            ]
        ).sum(0)
    ),
    "vmap": lambda fn: (
        lambda x, *w: jax.vmap(lambda row: fn(row, *w))(jnp.stack([x, x * x])).sum(0)
    ),
    "cond": lambda fn: (
        lambda x, *w: lax.cond(
            x.sum() < 1e9, fn, lambda x, *w: jnp.zeros_like(fn(x, *w)), x, *w
        )
    ),
}
BETWEEN: dict[str, Callable[..., Any]] = {
    "relu": lambda x: jnp.maximum(x, 0),
    "square": lambda x: x * x / 4,
    "none": lambda x: x,
    "twice": lambda x: jnp.concatenate([x, x], 0),
}


@dataclass(frozen=True)
class Accelerated:
    """Convolutions of lax in a row, with something between, accelerated or not."""

    shape: Ints
    layers: tuple[tuple[Ints, dict[str, Any], str, str], ...]
    gradient: str = "none"
    engine: str = "numpy"
    seed: int = 0

    def model(self, x: Any, *kernels: Any) -> Any:
        for (_, options, wrapper, between), w in zip(self.layers, kernels, strict=True):

            def layer(x: Any, w: Any, options: Any = options) -> Any:
                return lax.conv_general_dilated(x, w, **options)

            x = BETWEEN[between](WRAPPERS[wrapper](layer)(x, w))
        return x

    def check(self) -> None:
        rng = np.random.default_rng(self.seed)
        shapes = [self.shape, *(layer[0] for layer in self.layers)]
        args = [rng.standard_normal(s) for s in shapes]

        def loss(fn: Callable[..., Any]) -> Callable[..., Any]:
            every = tuple(range(len(args)))
            return jax.grad(lambda *v: (fn(*v) ** 2).sum() / 9, argnums=every)

        plain: Callable[..., Any] = self.model
        fast: Callable[..., Any] = jaxconv.accelerate(self.model)
        if self.gradient == "outside":
            plain, fast = loss(plain), loss(fast)
        elif self.gradient == "inside":
            plain = loss(plain)
            fast = jaxconv.accelerate(plain)
        wanted = evaluate(plain, *args)
        if self.gradient == "none" and self.seed % 2:
            with jaxconv.accelerate():
                found = evaluate(self.model, *args)
        else:
            found = run(lambda *v: jax.tree.leaves(fast(*v)), args, self.engine)
        close(found, wanted, "float64")


@st.composite
def accelerated(draw: Draw, engines: tuple[str, ...] = ("numpy",)) -> Accelerated:
    ndim = draw(st.sampled_from((1, 2)))
    c = channels = draw(st.integers(1, 3))
    space = tuple(draw(st.integers(3, 6)) for _ in range(ndim))
    layers: list[tuple[Ints, dict[str, Any], str, str]] = []
    for _ in range(draw(st.integers(1, 3))):
        groups = channels if draw(st.booleans()) else 1
        o = groups * draw(st.integers(1, 2))
        k = tuple(draw(st.integers(1, 3)) for _ in range(ndim))
        options: dict[str, Any] = {
            "window_strides": tuple(draw(st.integers(1, 2)) for _ in range(ndim)),
            "padding": draw(st.sampled_from(("SAME", "SAME_LOWER"))),
            "feature_group_count": groups,
        }
        if draw(st.booleans()):  # lax has no words for padding then
            options["lhs_dilation"] = (2,) * ndim
            options["padding"] = ((2, 2),) * ndim
        if draw(st.booleans()):
            options["rhs_dilation"] = (2,) * ndim
        wrapper = draw(st.sampled_from(tuple(WRAPPERS)))
        layers.append(
            (
                (o, channels // groups, *k),
                options,
                wrapper,
                draw(st.sampled_from(tuple(BETWEEN))),
            )
        )
        channels = o
    gradient = draw(st.sampled_from(("none", "outside", "inside")))
    engine, seed = draw(st.sampled_from(engines)), draw(st.integers(0, 999))
    return Accelerated((2, c, *space), tuple(layers), gradient, engine, seed)
