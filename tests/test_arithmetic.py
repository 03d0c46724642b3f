"""Sizes, receptive fields and costs against counting and against the operations."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

import jaxconv
import oracle
from cases import random

Rng = np.random.Generator
Ints = tuple[int, ...]
small = st.integers(1, 5)
FORMS = [  # padding in every form, for two axes
    0, 2, (1, 2), [(1, 0), (0, 3)], "valid", "VALID", "SAME", "SAME_LOWER",
]  # fmt: skip

# Sizes --------------------------------------------------------------------------------


@settings(max_examples=200)
@given(st.integers(1, 14), small, small, small, st.integers(0, 6), st.integers(0, 6))
def test_conv_output_size_counts_windows(
    i: int, k: int, s: int, d: int, lo: int, hi: int
) -> None:
    options: Any = {"stride": s, "dilation": d, "padding": [(lo, hi)]}
    count = oracle.windows(i, k, s, d, lo, hi)
    if count:
        assert jaxconv.conv_output_size(i, k, **options) == count
        assert jaxconv.conv_output_size((i,), k, **options) == (count,)
    else:
        with pytest.raises(ValueError, match="more than the padded input"):
            jaxconv.conv_output_size(i, k, **options)


@settings(max_examples=200)
@given(st.integers(1, 9), small, small, small, st.integers(0, 6), st.integers(0, 4))
def test_conv_transpose_output_size_is_undone_by_conv(
    o: int, k: int, s: int, d: int, p: int, extra: int
) -> None:
    options: Any = {"stride": s, "dilation": d, "padding": p}
    reached = {(t * d + q * s) for t in range(k) for q in range(o)}
    size = max(reached) + 1 - 2 * p + extra
    if extra >= max(s, d) or size < 1:
        with pytest.raises(ValueError, match=r"output_padding|at least 1"):
            jaxconv.conv_transpose_output_size(o, k, output_padding=extra, **options)
        return
    found = jaxconv.conv_transpose_output_size(o, k, output_padding=extra, **options)
    assert found == size
    if extra < s:
        assert oracle.windows(size, k, s, d, p, p) == o


def shaped(*shapes: Ints) -> list[jax.ShapeDtypeStruct]:
    return [jax.ShapeDtypeStruct(shape, np.float32) for shape in shapes]


@pytest.mark.parametrize("padding", FORMS, ids=str)
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), ((2, 3), (3, 1))])
def test_sizes_are_those_of_the_operations(
    padding: Any, stride: Any, dilation: Any
) -> None:
    options = {"stride": stride, "dilation": dilation, "padding": padding}
    operands = shaped((2, 3, 9, 8), (3, 3, 2, 3))
    y = jax.eval_shape(lambda x, w: jaxconv.conv(x, w, **options), *operands)
    assert jaxconv.conv_output_size((9, 8), (2, 3), **options) == y.shape[2:]
    z = jax.eval_shape(lambda x, w: jaxconv.conv_transpose(x, w, **options), *operands)
    assert jaxconv.conv_transpose_output_size((9, 8), (2, 3), **options) == z.shape[2:]


def test_same_and_causal_sizes() -> None:
    assert jaxconv.conv_output_size((9, 8), (2, 4), padding="same") == (9, 8)
    assert jaxconv.conv_output_size(9, 4, padding="causal", dilation=2) == 9
    assert jaxconv.conv_output_size(9, 4, padding="causal", stride=2) == 5
    assert jaxconv.conv_transpose_output_size(9, 4, padding="causal") == 9


def test_an_int_stands_for_all_axes() -> None:
    assert jaxconv.conv_output_size((9, 8), 3) == (7, 6)
    assert jaxconv.conv_output_size(9, (3, 4, 2)) == (7, 6, 8)
    size = jaxconv.conv_output_size(9, 3)
    assert size == 7
    assert type(size) is int


# Receptive fields ---------------------------------------------------------------------

STACKS = {
    "one": [{"kernel": 4}],
    "strided": [{"kernel": 3, "stride": 2, "padding": 1}, {"kernel": 4, "stride": 3}],
    "dilated": [
        {"kernel": 3, "dilation": 2},
        {"kernel": 2, "dilation": 5, "padding": 2},
    ],
    "everything": [
        {"kernel": 3, "stride": 2, "padding": 2},
        {"kernel": 2, "stride": 1, "dilation": 3, "padding": 1},
        {"kernel": 1, "stride": 2},
        {"kernel": 3, "stride": 1, "dilation": 2},
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", STACKS)
def test_receptive_field_is_the_support_of_the_gradient(name: str, rng: Rng) -> None:
    layers = STACKS[name]
    kernels = [jnp.asarray(rng.uniform(1, 2, (1, 1, v["kernel"]))) for v in layers]

    def stack(x: Any) -> Any:
        for layer, kernel in zip(layers, kernels, strict=True):
            pads = (layer.get("padding", 0),)
            options = {k: v for k, v in layer.items() if k in ("stride", "dilation")}
            x = jaxconv.conv(x, kernel, padding=pads, **options)
        return x[0]

    size = 90
    jacobian = np.asarray(jax.jit(jax.jacobian(stack))(jnp.zeros((1, size))))[:, 0]
    field = jaxconv.receptive_field(layers)
    inner = 0
    for unit, row in enumerate(jacobian):
        seen = np.flatnonzero(row)
        start = field.start + unit * field.stride
        assert seen[0] >= max(start, 0)
        assert seen[-1] <= start + field.size - 1
        if start >= 0 and start + field.size <= size:
            assert (seen[0], seen[-1]) == (start, start + field.size - 1)
            inner += 1
    assert inner >= 3
    assert len(jacobian) > inner or field.start == 0


def test_receptive_field_of_nothing_is_one_element() -> None:
    assert jaxconv.receptive_field([]) == jaxconv.ReceptiveField(1, 1, 0)


# Costs --------------------------------------------------------------------------------

# Multiply-adds as published with the counters that were mended for them.
PUBLISHED = {
    "transposed": ((2, 4, 8, 8), (4, 6, 4, 4), {"stride": 2, "padding": 1}, 49152),
    "transposed depthwise": (
        (2, 4, 8, 8),
        (4, 1, 3, 3),
        {"stride": 2, "padding": 1, "output_padding": 1, "groups": 4},
        4608,
    ),
    "transposed grouped": (
        (2, 6, 8, 8),
        (6, 2, 2, 2),
        {"stride": 2, "groups": 3},
        6144,
    ),
    "transposed small": ((1, 3, 2, 2), (3, 1, 2, 2), {"stride": 2}, 48),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_multiply_adds(name: str) -> None:
    x, kernel, options, expected = PUBLISHED[name]
    cost = jaxconv.cost(x, kernel, transposed=True, **options)
    assert cost.multiply_adds == expected
    assert cost.flops == 2 * expected


def test_taps_on_padding_are_counted_apart() -> None:
    """XLA leaves them out: 196 flops here, and 256 with them."""
    options: Any = {"padding": "SAME", "layout": "channels_last"}
    cost = jaxconv.cost((1, 4, 4, 1), (2, 2, 1, 2), **options)
    assert cost.flops == 256
    assert 2 * cost.multiply_adds_valid == 196

    def conv(x: Any, w: Any) -> Any:
        numbers = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=numbers)

    compiled = jax.jit(conv).lower(*shaped((1, 4, 4, 1), (2, 2, 1, 2))).compile()
    assert compiled.cost_analysis()["flops"] == 196


COUNTED = {
    "line": ((3, 2, 9), (4, 2, 3), {"stride": 2, "padding": 2}),
    "plane": ((2, 3, 7, 6), (4, 3, 3, 2), {"stride": (2, 1), "padding": (2, 1)}),
    "grouped": (
        (2, 6, 7, 5),
        (4, 3, 2, 3),
        {"groups": 2, "dilation": (3, 1), "padding": [(0, 3), (4, 0)]},
    ),
    "depthwise": ((2, 4, 8, 9), (8, 1, 3, 4), {"groups": 4, "stride": 3, "padding": 1}),
    "volume": ((2, 1, 4, 3, 5), (3, 1, 2, 3, 2), {"padding": (1, 2, 0)}),
}


def counted(x: Ints, kernel: Ints, o: Ints, i: Ints, options: dict[str, Any]) -> Any:
    """Multiply-adds in all and off the padding, one after the other."""
    n = len(kernel) - 2
    s, d = (
        tuple(np.broadcast_to(options.get(v, 1), n)) for v in ("stride", "dilation")
    )
    padding = np.array(options["padding"])
    low = padding[:, 0] if padding.ndim == 2 else np.broadcast_to(padding, n)
    window = oracle.Window(i, kernel[2:], o, s, d, tuple(low))
    pairs = x[0] * kernel[0] * kernel[1]
    valid = sum(1 for _ in oracle.reads(window))
    return pairs * math.prod(o) * math.prod(kernel[2:]), pairs * valid


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("name", COUNTED)
def test_everything_is_counted(name: str, transposed: bool) -> None:
    x, kernel, options = COUNTED[name]
    if transposed:
        x = (x[0], kernel[0], *x[2:])
    function = jaxconv.conv_transpose if transposed else jaxconv.conv
    result = jax.eval_shape(
        lambda *v: function(*v, **options), *shaped(x, kernel)
    ).shape
    cost = jaxconv.cost(x, kernel, transposed=transposed, bias=True, **options)
    o, i = (x[2:], result[2:]) if transposed else (result[2:], x[2:])
    dense, valid = counted(x, kernel, o, i, options)
    weights = math.prod(kernel) + result[1]
    moved = math.prod(x) + weights + math.prod(result)
    assert cost == jaxconv.Cost(weights, dense, valid, 2 * dense, 4 * moved, result)
    half = jaxconv.cost(
        x, kernel, transposed=transposed, bias=True, dtype=jnp.bfloat16, **options
    )
    assert half.bytes == 2 * moved
    without = jaxconv.cost(x, kernel, transposed=transposed, **options)
    assert without.parameters == math.prod(kernel)


@pytest.mark.parametrize("transposed", [False, True])
def test_layout_and_batch_do_not_change_the_work(transposed: bool) -> None:
    x, kernel = (
        ((3, 6, 7, 5), (6, 2, 2, 3)) if transposed else ((3, 4, 7, 5), (6, 2, 2, 3))
    )
    options: Any = {
        "transposed": transposed,
        "groups": 2,
        "stride": (2, 1),
        "padding": 1,
    }
    first = jaxconv.cost(x, kernel, **options)
    turned = (x[0], *x[2:], x[1]), (*kernel[2:], *kernel[1::-1])
    last = jaxconv.cost(*turned, layout="channels_last", **options)
    n, c, *space = first.output_shape
    assert last == first._replace(output_shape=(n, *space, c))
    one = jaxconv.cost(x[1:], kernel, **options)
    assert one.output_shape == first.output_shape[1:]
    assert 3 * one.multiply_adds == first.multiply_adds
    assert 3 * one.multiply_adds_valid == first.multiply_adds_valid
    assert one.parameters == first.parameters


def test_separable_saves_what_is_said(rng: Rng) -> None:
    """1/O + 1/T of the work."""
    c, o, window = 6, 8, (3, 5)
    full = jaxconv.cost((1, c, 20, 21), (o, c, *window), padding=(1, 2))
    first = jaxconv.cost((1, c, 20, 21), (c, 1, *window), padding=(1, 2), groups=c)
    second = jaxconv.cost(first.output_shape, (o, c, 1, 1))
    work = first.multiply_adds + second.multiply_adds
    assert work / full.multiply_adds == pytest.approx(1 / o + 1 / 15)
    x, kernel = random(rng, (1, c, 20, 21)), random(rng, (o, c, *window))
    assert jaxconv.conv(jnp.asarray(x), jnp.asarray(kernel), padding=(1, 2)).shape == (
        full.output_shape
    )
