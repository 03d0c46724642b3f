"""``window``, ``transpose`` and ``vjp``: the definition by hand, and what JAX derives.

``window`` is one multiply-and-add per window position, under ``vmap`` over positions of
every spatial axis.  It shares nothing with XLA's convolutions.

A convolution is linear in x, and in the kernel, so it has a transpose with respect to
each: that is the definition of a transposed convolution.  ``transpose`` asks
`jax.linear_transpose` for it.  ``vjp`` asks `jax.vjp` for the gradient of
<y, conv(x, w)>.  With respect to x that gradient does not depend on x, and with respect
to w not on w, so it is taken at zero.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from jaxconv._core.axes import Input, Kernel, Output
from jaxconv._core.dtypes import accumulator
from jaxconv._core.spec import Case, Spec
from jaxconv._lowerings.base import Lowering, einsum, frame


def output(x: Input, w: Kernel, spec: Spec) -> Output:
    g = spec.geometry
    x = frame(x, g.read_extents)
    taps = tuple(slice(None, None, axis.d) for axis in g.axes)
    spans = [axis.span for axis in g.axes]

    def at(*position: jax.Array) -> jax.Array:
        zero = jnp.zeros_like(position[0])
        start = [p * s for p, s in zip(position, g.stride, strict=True)]
        window = lax.dynamic_slice(
            x, (zero, *start, zero), (x.shape[0], *spans, x.shape[-1])
        )
        return multiply_and_add(window[(slice(None), *taps)], w, spec)

    for axis in reversed(range(g.ndim)):
        at = jax.vmap(at, [0 if other == axis else None for other in range(g.ndim)])
    y = at(*(jnp.arange(o) for o in g.output))
    return jnp.moveaxis(y, -2, 0)


def multiply_and_add(window: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    """One window per image, (n, *window, (g, c)), times the kernel: (n, (g, o))."""
    n, channels, groups = window.shape[0], window.shape[-1], spec.groups
    c, o = channels // groups, w.shape[-1] // groups
    window = window.reshape(n, -1, groups, c)
    w = w.reshape(-1, c, groups, o)
    total = einsum("ntgc,tcgo->ngo", window, w, spec)
    return total.reshape(n, groups * o)


def patch_bytes(case: Case) -> int:
    """Bytes of all windows (im2col)."""
    n, c, _ = case.sizes
    g = case.geometry
    return n * c * case.groups * g.taps * g.positions * case.dtype.itemsize


def input_by_transpose(y: Output, w: Kernel, spec: Spec) -> Input:
    """The transpose of x -> conv(x, w)."""
    y, w = widen(y), widen(w)
    x = image_struct(y, w.shape[-2] * spec.groups, spec)
    (result,) = jax.linear_transpose(lambda x: output(x, w, spec), x)(y)
    return result


def kernel_by_transpose(x: Input, y: Output, spec: Spec) -> Kernel:
    """The transpose of w -> conv(x, w)."""
    x, y = widen(x), widen(y)
    w = kernel_struct(x, y, spec)
    (result,) = jax.linear_transpose(lambda w: output(x, w, spec), w)(y)
    return result


def input_by_vjp(y: Output, w: Kernel, spec: Spec) -> Input:
    """The gradient of <y, conv(x, w)> with respect to x."""
    y, w = widen(y), widen(w)
    x = jnp.zeros_like(image_struct(y, w.shape[-2] * spec.groups, spec))
    _, pull = jax.vjp(lambda x: output(x, w, spec), x)
    return pull(y)[0]


def kernel_by_vjp(x: Input, y: Output, spec: Spec) -> Kernel:
    """The gradient of <y, conv(x, w)> with respect to w."""
    x, y = widen(x), widen(y)
    w = jnp.zeros_like(kernel_struct(x, y, spec))
    _, pull = jax.vjp(lambda w: output(x, w, spec), w)
    return pull(y)[0]


def widen(v: jax.Array) -> jax.Array:
    """v in the type to add up in, so that the transpose adds up in it too."""
    return v.astype(accumulator(v.dtype))


def image_struct(y: jax.Array, channels: int, spec: Spec) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((y.shape[0], *spec.geometry.input, channels), y.dtype)


def kernel_struct(x: jax.Array, y: jax.Array, spec: Spec) -> jax.ShapeDtypeStruct:
    shape = (*spec.geometry.kernel, x.shape[-1] // spec.groups, y.shape[-1])
    return jax.ShapeDtypeStruct(shape, x.dtype)


def refuse_integers(case: Case) -> str | None:
    if jnp.issubdtype(case.dtype, jnp.integer):
        return f"JAX gives the products of {case.dtype.name} no transpose"
    return None


WINDOW = Lowering(
    "window",
    "written by hand: vmap over window positions of multiply-and-add",
    {"output": output},
    scratch=lambda case: 2 * patch_bytes(case),
    by_hand=True,
)

TRANSPOSE = Lowering(
    "transpose",
    "jax.linear_transpose of the hand-written convolution",
    {"input": input_by_transpose, "kernel": kernel_by_transpose},
    refuse=refuse_integers,
    scratch=lambda case: 3 * patch_bytes(case),
    by_hand=True,
)

VJP = Lowering(
    "vjp",
    "jax.vjp of the hand-written convolution",
    {"input": input_by_vjp, "kernel": kernel_by_vjp},
    refuse=refuse_integers,
    scratch=lambda case: 4 * patch_bytes(case),
    by_hand=True,
)
