"""Types: what comes back, what sums are taken in, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxconv
from cases import random
from oracle import Window, close, contract

Rng = np.random.Generator
FUNCTIONS = {"conv": jaxconv.conv, "conv_transpose": jaxconv.conv_transpose}
ROLE = {"conv": "output", "conv_transpose": "input"}
over_functions = pytest.mark.parametrize("name", FUNCTIONS)

# Result types by the operands' type.
RESULTS = {
    "float16": "float16",
    "bfloat16": "bfloat16",
    "float32": "float32",
    "float64": "float64",
    "complex64": "complex64",
    "complex128": "complex128",
    "int8": "int32",
    "int16": "int32",
    "int32": "int32",
    "int64": "int64",
    "uint8": "uint32",
    "uint16": "uint32",
    "uint32": "uint32",
}
X, KERNEL = (2, 3, 7), {"conv": (4, 3, 2), "conv_transpose": (3, 4, 2)}


def operands(name: str, rng: Rng, dtype: str) -> list[jax.Array]:
    """x, kernel and bias; complex ones with an imaginary part."""
    drawing = np.dtype("complex128" if dtype.startswith("complex") else "float64")
    shapes = X, KERNEL[name], (4,)
    if "int" in dtype:
        arrays = [random(rng, shape, np.int64) for shape in shapes]
        if dtype.startswith("u"):
            arrays = [np.abs(v) for v in arrays]
    else:
        arrays = [random(rng, shape, drawing) for shape in shapes]
    return [jnp.asarray(v).astype(dtype) for v in arrays]


def exact(name: str, arrays: list[jax.Array]) -> np.ndarray:
    """The oracle in the widest type of the kind."""
    x, w, b = (np.asarray(v) for v in arrays)
    wide = {"c": np.complex128, "i": np.int64, "u": np.int64}.get(
        x.dtype.kind, np.float64
    )
    x, w, b = (v.astype(wide) for v in (x, w, b))
    window = Window((7,), (2,), (6,), (1,), (1,), (0,))
    if name == "conv_transpose":
        window = Window((8,), (2,), (7,), (1,), (1,), (0,))
    return contract(ROLE[name], x, w, window) + b[:, None]


@over_functions
@pytest.mark.parametrize("dtype", RESULTS)
def test_result_type_and_values(name: str, dtype: str, rng: Rng) -> None:
    arrays = operands(name, rng, dtype)
    y = FUNCTIONS[name](*arrays)
    assert y.dtype == jnp.dtype(RESULTS[dtype])
    close(y, exact(name, arrays), 8, y.dtype)
    without = FUNCTIONS[name](*arrays[:2])
    assert without.dtype == y.dtype


@over_functions
@pytest.mark.parametrize("implementation", ["xla", "matrix", None])
def test_float16_sums_pass_its_largest_number(
    name: str, implementation: str | None, rng: Rng
) -> None:
    """Partial sums reach beyond 65504 and come back."""
    large = rng.uniform(150, 180, (1, 4, 3))
    x = np.stack([large, -large]).reshape(1, 8, 3)
    w = np.full((8, 8, 1), 200.0) + rng.integers(-9, 9, (8, 8, 1))
    x, w = (jnp.asarray(v).astype(np.float16) for v in (x, w))
    y = FUNCTIONS[name](x, w, implementation=implementation)
    assert y.dtype == np.float16
    wide = (np.asarray(v).astype(np.float64) for v in (x, w))
    window = Window((3,), (1,), (3,), (1,), (1,), (0,))
    want = contract(ROLE[name], *wide, window)
    assert np.abs(np.cumsum(np.asarray(x, np.float64) * 200, axis=1)).max() > 66e3
    close(y, want, 1, np.float16)


@over_functions
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("implementation", ["xla", "matrix"])
def test_narrow_floats_lose_no_small_terms(
    name: str, dtype: str, implementation: str, rng: Rng
) -> None:
    """A large term and many small ones, of which each alone would be rounded away."""
    taps = 600
    values = rng.uniform(0.9, 1.1, taps)
    values[0] = 8192.0
    x = jnp.asarray(values).astype(dtype)
    one = jnp.ones(1, dtype)
    if name == "conv":
        y = jaxconv.conv(
            x.reshape(1, taps), jnp.tile(one, taps).reshape(1, 1, taps),
            implementation=implementation,
        )  # fmt: skip
    else:  # every tap adds to the element that all windows share
        y = jaxconv.conv_transpose(
            x.reshape(1, taps), jnp.tile(one, taps).reshape(1, 1, taps),
            implementation=implementation,
        )[:, taps - 1 :][:, :1]  # fmt: skip
    want = np.asarray(x).astype(np.float64).sum()
    assert y.shape == (1, 1)
    close(y, np.reshape(want, (1, 1)), 1, dtype)


@over_functions
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16"])
def test_integers_do_not_wrap(name: str, dtype: str, rng: Rng) -> None:
    arrays = operands(name, rng, dtype)
    top = min(np.iinfo(dtype).max, 9000)  # the sums stay below 2**31
    arrays = [jnp.full_like(v, top) - v // 8 for v in arrays]
    y = FUNCTIONS[name](*arrays)
    want = exact(name, arrays)
    assert want.max() > 2 * top**2
    np.testing.assert_array_equal(np.asarray(y).astype(np.int64), want)


@over_functions
def test_a_wide_preferred_type_keeps_large_integers(name: str, rng: Rng) -> None:
    arrays = [v * 2**20 for v in operands(name, rng, "int32")]
    y = FUNCTIONS[name](*arrays, preferred_element_type=np.int64)
    want = exact(name, arrays)
    assert np.abs(want).max() > 2**40
    np.testing.assert_array_equal(y, want)


def test_bools_are_refused(rng: Rng) -> None:
    x, w = jnp.asarray(random(rng, X)), jnp.asarray(random(rng, KERNEL["conv"]))
    for call in (
        lambda: jaxconv.conv(x > 0, w),
        lambda: jaxconv.conv(x > 0, w > 0),
        lambda: jaxconv.conv_transpose(x, w > 0),
        lambda: jaxconv.conv_matrix(w > 0, (3, 7)),
    ):
        with pytest.raises(TypeError, match=r"is an array of .*, not of numbers"):
            call()


ALLOWED = [
    ("bfloat16", "float32"),
    ("float16", "float32"),
    ("float16", "float16"),
    ("float32", "float64"),
    ("float32", "complex64"),
    ("complex64", "complex128"),
    ("int8", "int32"),
    ("int8", "float32"),
    ("int8", "int64"),
    ("uint8", "int32"),
    ("int32", "int64"),
]
REFUSED = [
    ("float32", "float16"),
    ("float32", "bfloat16"),
    ("float64", "float32"),
    ("float16", "int32"),
    ("complex64", "float64"),
    ("complex128", "complex64"),
    ("int32", "int16"),
    ("int8", "bool"),
    ("int8", "int8"),
    ("int8", "int16"),
    ("int8", "uint32"),
    ("int32", "uint32"),
    ("float16", "bfloat16"),
]


@over_functions
@pytest.mark.parametrize(("dtype", "preferred"), ALLOWED)
def test_preferred_type(name: str, dtype: str, preferred: str, rng: Rng) -> None:
    arrays = operands(name, rng, dtype)
    y = FUNCTIONS[name](*arrays, preferred_element_type=jnp.dtype(preferred))
    assert y.dtype == jnp.dtype(preferred)
    # The sums are taken in the preferred type too, not only cast to it.
    want = exact(name, arrays)
    if preferred.startswith("complex"):
        want = want.astype(np.complex128)
    close(y, want, 8, jnp.dtype(preferred))


@over_functions
@pytest.mark.parametrize(("dtype", "preferred"), REFUSED)
def test_preferred_type_that_cannot_hold_the_sums(
    name: str, dtype: str, preferred: str, rng: Rng
) -> None:
    arrays = operands(name, rng, dtype)
    with pytest.raises(TypeError, match=rf"'{preferred}'.*sums of {dtype}"):
        FUNCTIONS[name](*arrays, preferred_element_type=jnp.dtype(preferred))


@over_functions
@pytest.mark.parametrize("odd", [0, 1, 2], ids=("x", "kernel", "bias"))
def test_mixed_types_are_named(name: str, odd: int, rng: Rng) -> None:
    arrays = operands(name, rng, "float32")
    arrays[odd] = arrays[odd].astype(jnp.bfloat16)
    with pytest.raises(TypeError, match="float32") as caught:
        FUNCTIONS[name](*arrays)
    assert "bfloat16" in str(caught.value)
    assert ("x", "kernel", "bias")[odd] in str(caught.value)


def test_numpy_arrays_are_taken(rng: Rng) -> None:
    x, w, b = random(rng, X), random(rng, (3, 3, 2)), random(rng, (3,))
    a, k, c = map(jnp.asarray, (x, w, b))
    calls: list[Callable[..., Any]] = [
        jaxconv.conv,
        jaxconv.conv_transpose,
        lambda x, w, b: jaxconv.unfold(x, (2,)),
        lambda x, w, b: jaxconv.fold(x, (7, 1), (1, 1)),
        lambda x, w, b: jaxconv.conv_matrix(w, (3, 5)),
        lambda x, w, b: jaxconv.depthwise_conv(x, w[:, :1], b),
        lambda x, w, b: jaxconv.pointwise_conv(x, w[..., :1], b),
        lambda x, w, b: jaxconv.separable_conv(x, w[:, :1], w[..., :1], b),
    ]
    for call in calls:
        assert isinstance(call(x, w, b), jax.Array)
        np.testing.assert_array_equal(call(x, w, b), call(a, k, c))


def test_lists_are_refused(rng: Rng) -> None:
    x, w = random(rng, X), random(rng, (3, 3, 2))
    for arguments in (
        (x.tolist(), w),
        (x, w.tolist()),
        (x, w, [1.0, 2.0, 3.0]),
        (3.0, w),
        (x, None),
    ):
        for function in FUNCTIONS.values():
            with pytest.raises(TypeError, match=r"is (a \w+|None), not an array"):
                function(*arguments)
    for call in (
        lambda: jaxconv.unfold(x.tolist(), 2),
        lambda: jaxconv.fold(x.tolist(), 2, 2),
        lambda: jaxconv.conv_matrix(w.tolist(), (3, 7)),
        lambda: jaxconv.depthwise_conv(x.tolist(), w),
        lambda: jaxconv.pointwise_conv(x, w.tolist()),
    ):
        with pytest.raises(TypeError, match=r"is (a \w+|None), not an array"):
            call()


@over_functions
@pytest.mark.parametrize(
    ("preferred", "mode"),
    [(None, "zeros"), ("float32", "zeros"), ("float32", "circular")],
)
def test_gradients_have_the_operands_type(
    name: str, preferred: str | None, mode: str, rng: Rng
) -> None:
    arrays = operands(name, rng, "bfloat16")
    options = {"padding": 1, "padding_mode": mode}

    def total(*v: Any, preferred: Any = preferred) -> Any:
        wanted = None if preferred is None else jnp.dtype(preferred)
        y = FUNCTIONS[name](*v, preferred_element_type=wanted, **options)
        return jnp.square(y.astype(np.float32)).sum()

    gradients = jax.jit(jax.grad(total, (0, 1, 2)))(*arrays)
    exactly = jax.jit(jax.grad(lambda *v: total(*v, preferred="float64"), (0, 1, 2)))
    wide = exactly(*(v.astype(np.float64) for v in arrays))
    for gradient, v, want in zip(gradients, arrays, wide, strict=True):
        assert gradient.dtype == jnp.bfloat16
        assert gradient.shape == v.shape
        close(gradient, np.asarray(want), 16, jnp.bfloat16)


@over_functions
def test_complex_is_bilinear_without_a_conjugate(name: str, rng: Rng) -> None:
    function = FUNCTIONS[name]
    x, w, _ = operands(name, rng, "complex128")
    real = [[function(a, b) for b in (w.real, w.imag)] for a in (x.real, x.imag)]
    (rr, ri), (ir, ii) = real
    close(
        function(x, w), np.asarray(jax.lax.complex(rr - ii, ri + ir)), 12, np.complex128
    )


def test_a_remembered_call_knows_types_and_the_64_bit_switch() -> None:
    """Calls are remembered by their options; equal is not the same."""
    x, kernel = jnp.ones((1, 1, 5), "float32"), jnp.ones((1, 1, 2), "float32")
    jaxconv.conv(x, kernel, stride=1, padding=(1,), groups=1)
    for wrong in ({"stride": True}, {"stride": 1.0}, {"padding": (True,)}):
        with pytest.raises(TypeError, match="Write an int"):
            jaxconv.conv(x, kernel, **{"stride": 1, "groups": 1, **wrong})
    jaxconv.conv(x, kernel, stride=np.array([1]))  # not hashable, still accepted
    jaxconv.conv(x, kernel, preferred_element_type=jnp.float64)
    with jax.enable_x64(False), pytest.raises(ValueError, match="switched off"):
        jaxconv.conv(x, kernel, preferred_element_type=np.float64)
