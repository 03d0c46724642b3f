"""``transpose``: ``jax.linear_transpose`` of the hand-written convolution.

This is the definition of transposed convolution: conv is linear in x and linear in the
kernel, and has a linear transpose with respect to each.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxconv._core.dtypes import accumulator
from jaxconv._core.spec import Case, Spec
from jaxconv._lowerings.base import Lowering
from jaxconv._lowerings.by_hand import window


def input(y: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    """The transpose of x -> conv(x, w)."""
    y, w = widen(y), widen(w)
    x = image_struct(y, w.shape[-2] * spec.groups, spec)
    (result,) = jax.linear_transpose(lambda x: window.output(x, w, spec), x)(y)
    return result


def kernel(x: jax.Array, y: jax.Array, spec: Spec) -> jax.Array:
    """The transpose of w -> conv(x, w)."""
    x, y = widen(x), widen(y)
    w = kernel_struct(x, y, spec)
    (result,) = jax.linear_transpose(lambda w: window.output(x, w, spec), w)(y)
    return result


def widen(v: jax.Array) -> jax.Array:
    """Converts to the accumulator type, in which the transpose then also sums."""
    return v.astype(accumulator(v.dtype))


def image_struct(y: jax.Array, channels: int, spec: Spec) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((y.shape[0], *spec.geometry.input, channels), y.dtype)


def kernel_struct(x: jax.Array, y: jax.Array, spec: Spec) -> jax.ShapeDtypeStruct:
    shape = (*spec.geometry.kernel, x.shape[-1] // spec.groups, y.shape[-1])
    return jax.ShapeDtypeStruct(shape, x.dtype)


def refuse(case: Case) -> str | None:
    if jnp.issubdtype(case.dtype, jnp.integer):
        return f"JAX gives the products of {case.dtype.name} no transpose"
    return None


LOWERING = Lowering(
    "transpose",
    "jax.linear_transpose of the hand-written convolution",
    {"input": input, "kernel": kernel},
    refuse=refuse,
    scratch=lambda case: 3 * window.patch_bytes(case),
    by_hand=True,
)
