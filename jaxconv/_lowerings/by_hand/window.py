"""``window``: the definition, one multiply-and-add per window position.

It is a ``vmap`` over the positions of every spatial axis, and uses no convolution of
XLA's.  ``transpose`` and ``vjp`` differentiate it.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from jaxconv._core.dtypes import accumulator
from jaxconv._core.geometry import read_extent
from jaxconv._core.spec import Case, Spec
from jaxconv._lowerings.base import Lowering, frame


def output(x: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    g = spec.geometry
    x = frame(x, [read_extent(axis) for axis in g.axes])
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
    total = jnp.einsum(
        "ntgc,tcgo->ngo",
        window,
        w,
        precision=spec.precision,
        preferred_element_type=accumulator(w.dtype),
    )
    return total.reshape(n, groups * o)


def patch_bytes(case: Case) -> int:
    """Bytes of all windows (im2col)."""
    n, c, _ = case.sizes
    g = case.geometry
    return n * c * case.groups * g.taps * g.positions * case.dtype.itemsize


LOWERING = Lowering(
    "window",
    "written by hand: vmap over window positions of multiply-and-add",
    {"output": output},
    scratch=lambda case: 2 * patch_bytes(case),
    by_hand=True,
)
