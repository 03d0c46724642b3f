"""What the long runs found, each by name, as the line that repeats it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxconv
from fuzz.subjects import Call, check

# jax.linear_transpose and jax.vjp of integers are no numbers: "transpose" failed inside
# of JAX, and "vjp" gave zeros.
INTEGERS = {
    f"{name} of {dtype}": Call(
        "conv_transpose",
        ((1, 2, 6), (2, 3, 2)),
        {"implementation": name},
        dtype,
        engine="eager",
    )
    for name in ("transpose", "vjp")
    for dtype in ("int8", "uint8", "int32", "int64")
}
FINDS: dict[str, Any] = {
    **INTEGERS,
    # Zeros of JAX's type for an integer's tangent, which is none.
    "fold of integers that no window reads": Call(
        "fold",
        ((1, 1, 1),),
        {"stride": 3, "padding": (0, 1), "output_size": (1, 1), "kernel_size": (1, 1)},
        "int8",
    ),
}


@pytest.mark.parametrize("name", FINDS)
def test_find(name: str) -> None:
    check(FINDS[name])


@pytest.mark.parametrize("name", ["transpose", "vjp"])
def test_integers_are_refused_with_the_reason(name: str) -> None:
    x, kernel = jnp.ones((1, 2, 6), jnp.int8), jnp.ones((2, 3, 2), jnp.int8)
    with pytest.raises(ValueError, match=rf"'{name}': cannot run this: .*int8"):
        jaxconv.conv_transpose(x, kernel, implementation=name)


def test_what_holds_no_numbers_is_refused_before_jax_sees_it() -> None:
    for values in (np.full((2, 3, 7), "a"), np.full((2, 3, 7), None)):
        with pytest.raises(TypeError, match=r"x is an array of .*, not of numbers"):
            jaxconv.conv(values, jnp.ones((4, 3, 2)))


@pytest.mark.parametrize(
    "wrong", [{}, ["xla"], np.zeros(3)], ids=["dict", "list", "array"]
)
def test_an_implementation_may_be_unhashable(wrong: Any) -> None:
    x, kernel = jnp.ones((1, 2, 6)), jnp.ones((2, 2, 2))
    with pytest.raises(TypeError, match=r"implementation=.*Write one of"):
        jaxconv.conv(x, kernel, implementation=wrong)


def test_separable_conv_names_the_kernel_that_is_wrong() -> None:
    x, one, two = jnp.ones((2, 4, 7)), jnp.ones((8, 1, 2)), jnp.ones((5, 8, 1))
    wrong = {
        "depthwise_kernel": (jnp.ones((9, 1, 2)), two),
        "pointwise_kernel": (one, jnp.ones((5, 7, 1))),
    }
    for name, kernels in wrong.items():
        with pytest.raises(ValueError, match=rf"^{name}\.shape="):
            jaxconv.separable_conv(x, *kernels)
    with pytest.raises(TypeError, match="pointwise_kernel is float16"):
        jaxconv.separable_conv(x, one, two.astype(jnp.float16))


# Not mended yet -----------------------------------------------------------------------


def test_a_complex_result_of_real_operands_has_real_gradients() -> None:
    check(
        Call(
            "conv",
            ((1, 1, 1), (1, 1, 1)),
            {"preferred_element_type": "complex128"},
            steps=(("pull",),),
        )
    )


@pytest.mark.xfail(
    raises=TypeError, reason="JAX's type of an integer's tangent is void"
)
def test_integers_have_a_linear_transpose() -> None:
    x, kernel = jnp.arange(3).reshape(1, 1, 3), jnp.arange(2).reshape(1, 1, 2)
    back = jax.linear_transpose(lambda x: jaxconv.conv(x, kernel), x)
    back(jnp.ones((1, 1, 2), x.dtype))
