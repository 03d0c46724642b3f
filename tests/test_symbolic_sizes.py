"""Exported with symbols for time, height and width: all that plain lax exports."""

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

Function = Callable[..., Any]
CONV, UP = partial(jaxconv.conv), partial(jaxconv.conv_transpose)

# A function, the shapes of its operands ("h" is a symbol), and whether lax exports its
# gradient for every h, or for an even one only.
EVERY, EVEN = ("h", "2*h"), ("2*h",)
CASES: dict[str, tuple[Function, list[tuple[Any, ...]], tuple[str, ...]]] = {
    "conv": (
        partial(CONV, padding=1), [("n", 3, "h", 5), (4, 3, 3, 2), (4,)], EVERY,
    ),
    "conv, dilated, same": (
        partial(CONV, padding="same", dilation=2), [("n", 3, "h"), (4, 3, 3)], EVERY,
    ),
    "conv, stride 2": (
        partial(CONV, padding=1, stride=2), [("n", 3, "h", 5), (4, 3, 3, 2)], EVEN,
    ),
    "conv, stride 2, SAME": (
        partial(CONV, padding="SAME", stride=2), [("n", 3, "h", 5), (4, 3, 3, 2)], EVEN,
    ),
    "conv, stride 2, SAME_LOWER": (
        partial(CONV, padding="SAME_LOWER", stride=2, layout="channels_last"),
        [("n", "h", 3), (3, 3, 4)],
        EVEN,
    ),
    "conv, causal, without a batch": (
        partial(CONV, padding="causal"), [(3, "h"), (4, 3, 3)], EVERY,
    ),
    "conv, grouped, padded widely": (
        partial(CONV, padding=((5, 4), (0, 6)), groups=2, layout="channels_last"),
        [("n", "h", 6, 4), (3, 2, 2, 6)],
        EVERY,
    ),
    "depthwise_conv": (
        partial(jaxconv.depthwise_conv, padding=1), [("n", 3, "h"), (6, 1, 3)], EVERY,
    ),
    "conv_transpose": (
        partial(UP, stride=2, padding=1, output_padding=1),
        [("n", 3, "h", 5), (3, 4, 3, 2), (4,)],
        EVERY,
    ),
    "conv_transpose, SAME, grouped": (
        partial(UP, stride=3, padding="SAME", groups=2, layout="channels_last"),
        [("n", "h", 4, 4), (2, 3, 3, 4)],
        EVERY,
    ),
    "conv_transpose, 2 by 2": (
        partial(UP, stride=2, padding=1), [("n", 4, "h", "h"), (4, 3, 2, 2)], EVERY,
    ),
    "conv_transpose, no overlap": (
        partial(UP, stride=(3, 2), dilation=(1, 2)),
        [("n", 4, 5, "h"), (4, 3, 2, 2)],
        EVERY,
    ),
    "accelerate": (
        jaxconv.accelerate(
            lambda x, w: lax.conv_general_dilated(x, w, (1, 2), "SAME")
        ),
        [("n", 3, "h", 5), (4, 3, 3, 2)],
        EVERY,
    ),
    "accelerate, of all of it": (
        jaxconv.accelerate(
            jax.grad(lambda x, w: jnp.sin(lax.conv(x, w, (1, 2), "SAME")).sum(), (0, 1))
        ),
        [("n", 3, "h", 5), (4, 3, 3, 2)],
        (),
    ),
    "to_lax": (
        jaxconv.to_lax(partial(CONV, padding=1)), [("n", 3, "h"), (4, 3, 3)], EVERY,
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _symbols_are_no_ints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which only the tests' own type check minds."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def arguments(shapes: list[tuple[Any, ...]], symbol: str) -> list[Any]:
    n, h = export.symbolic_shape("n, h", constraints=["h >= 4"])
    size = {"n": n, "h": h if symbol == "h" else 2 * h}
    return [
        jax.ShapeDtypeStruct(tuple(size.get(v, v) for v in shape), np.float64)
        for shape in shapes
    ]


def gradients(fn: Function, count: int) -> Function:
    return jax.grad(lambda *v: jnp.sin(fn(*v)).sum(), tuple(range(count)))


@pytest.mark.parametrize("symbol", EVERY)
@pytest.mark.parametrize("name", CASES)
def test_exported(name: str, symbol: str, rng: np.random.Generator) -> None:
    fn, shapes, differentiable = CASES[name]
    parts = [fn]
    if symbol in differentiable:
        parts.append(gradients(fn, len(shapes)))

    def run(*v: Any) -> Any:
        return [part(*v) for part in parts]

    made = export.export(jax.jit(run))(*arguments(shapes, symbol))
    for h in (8, 10) if symbol == "2*h" else (7, 10):
        size = {"n": 2, "h": h}
        v = [
            jnp.asarray(rng.normal(size=[size.get(s, s) for s in shape]))
            for shape in shapes
        ]
        found, wanted = (jax.tree.leaves(f(*v)) for f in (made.call, jax.jit(run)))
        for got, want in zip(found, wanted, strict=True):
            close(got, want, 200, np.float64)


def test_accelerate_leaves_them_alone() -> None:
    """The very equation; that of known sizes beside it becomes a contraction."""

    def fn(x: Any, y: Any, w: Any) -> Any:
        return [lax.conv(v, w, (1,), "SAME") for v in (x, y)]

    (h,) = export.symbolic_shape("h")
    avals = [
        jax.ShapeDtypeStruct(s, np.float64) for s in ((1, 2, h), (1, 2, 9), (3, 2, 3))
    ]
    before, after = (
        jax.make_jaxpr(f)(*avals).eqns for f in (fn, jaxconv.accelerate(fn))
    )
    names = [eqn.primitive.name for eqn in after]
    assert names.count("conv_general_dilated") == names.count("jaxconv_contract") == 1
    (left,) = (eqn for eqn in after if eqn.primitive is lax.conv_general_dilated_p)
    assert left.params == before[0].params


REFUSED: dict[str, tuple[Function, list[tuple[Any, ...]], str]] = {
    "circular": (
        partial(CONV, padding=1, padding_mode="circular"),
        [("n", 3, "h"), (4, 3, 3)],
        r"^padding_mode='circular': depends on sizes, and x\.shape=\(n, 3, h\) has",
    ),
    "implementation": (
        partial(CONV, implementation="fft"),
        [("n", 3, "h"), (4, 3, 3)],
        "^implementation='fft': depends on sizes",
    ),
    "output_size": (
        partial(UP, output_size=9), [("n", 3, "h"), (3, 4, 3)],
        r"^output_size=9: depends on sizes.* Write output_padding= instead\.",
    ),
    "kernel": (
        CONV, [(1, 3, 9), (4, 3, "h")],
        r"^kernel\.shape=\(4, 3, h\): has the symbolic sizes \(h\), which have to be",
    ),
    "cropped by more than there may be": (
        partial(UP, padding=9), [("n", 3, "h"), (3, 4, 2)],
        r"^x\.shape=\(n, 3, h\): the result's size depends on .* constraints=",
    ),
    "unfold": (
        lambda x: jaxconv.unfold(x, (2,)), [("n", 3, "h")], r"has the symbolic sizes",
    ),
    "deform_conv": (
        jaxconv.deform_conv, [(1, 2, "h", 5), (1, 18, "h", 5), (3, 2, 3, 3)],
        r"has the symbolic sizes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_sized(name: str) -> None:
    fn, shapes, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(fn, *arguments(shapes, "h"))
