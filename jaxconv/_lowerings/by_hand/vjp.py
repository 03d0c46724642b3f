"""``vjp``: the gradient of the hand-written convolution by ``jax.vjp``.

The gradient of <y, conv(x, w)> with respect to x does not depend on x, and that with
respect to w does not depend on w, so both are computed at zero.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxconv._core.spec import Spec
from jaxconv._lowerings.base import Lowering
from jaxconv._lowerings.by_hand import window
from jaxconv._lowerings.by_hand.transpose import (
    image_struct,
    kernel_struct,
    refuse,
    widen,
)


def input(y: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    y, w = widen(y), widen(w)
    x = jnp.zeros_like(image_struct(y, w.shape[-2] * spec.groups, spec))
    _, pull = jax.vjp(lambda x: window.output(x, w, spec), x)
    return pull(y)[0]


def kernel(x: jax.Array, y: jax.Array, spec: Spec) -> jax.Array:
    x, y = widen(x), widen(y)
    w = jnp.zeros_like(kernel_struct(x, y, spec))
    _, pull = jax.vjp(lambda w: window.output(x, w, spec), w)
    return pull(y)[0]


LOWERING = Lowering(
    "vjp",
    "jax.vjp of the hand-written convolution",
    {"input": input, "kernel": kernel},
    refuse=refuse,
    scratch=lambda case: 4 * window.patch_bytes(case),
    by_hand=True,
)
