"""The claim in numbers: a transposed convolution is the gradient of a convolution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import jaxconv
from jaxconv._cli import reference
from jaxconv._cli.comparison import largest, tolerance
from jaxconv._cli.geometries import Case

SENTENCE = "A transposed convolution is the gradient of a convolution"


@dataclass(frozen=True)
class Difference:
    """Two ways to one result, and by how much they differ."""

    between: str
    difference: float
    tolerance: float

    @property
    def holds(self) -> bool:
        return self.difference <= self.tolerance  # false for not-a-number


@dataclass(frozen=True)
class Claim:
    """<conv(x), y>, <x, conv_transpose(y)>, and what else must be equal."""

    geometry: str
    left: float
    right: float
    differences: tuple[Difference, ...]
    undone: float  # the largest difference of conv_transpose(conv(x)) to x

    @property
    def holds(self) -> bool:
        return all(found.holds for found in self.differences)


def measure_claim(case: Case) -> Claim:
    """All of it on one case, with a random y."""
    y = case.output()
    x, w = jnp.asarray(case.x), jnp.asarray(case.kernel)
    v = np.random.default_rng(11).standard_normal(y.shape).astype(np.float32)
    extra = case.output_padding(y)
    conv = jax.jit(partial(jaxconv.conv, **case.arguments))
    undo = jax.jit(
        partial(jaxconv.conv_transpose, **case.arguments, output_padding=extra)
    )
    forward, back = conv(x, w), undo(jnp.asarray(v), w)
    left, right = _inner(forward, v), _inner(case.x, back)
    # Roundings of the summands are independent, so their squares add up.
    spread = np.linalg.norm(forward * v) + np.linalg.norm(case.x * back)
    adjoint = Difference(
        "<conv(x), y> to <x, conv_transpose(y)>",
        abs(left - right),
        tolerance(np.asarray(spread), case.terms("conv")),
    )
    witnesses = _witnesses(case, x, w, jnp.asarray(v))
    witnesses["the sum in NumPy, float64"] = reference.conv_transpose(
        v, case.kernel, **case.arguments, output_padding=extra
    )
    rows = [adjoint]
    for name, value in witnesses.items():
        allowed = tolerance(np.asarray(value), case.terms("conv_transpose"))
        between = f"conv_transpose(y) to {name}"
        rows.append(Difference(between, largest(back, value), allowed))
    rows.append(_other_way(case, x, w, forward, extra))
    undone = largest(undo(forward, w), x)
    return Claim(case.describe(y), left, right, tuple(rows), undone)


def _witnesses(
    case: Case, x: jax.Array, w: jax.Array, y: jax.Array
) -> dict[str, jax.Array | np.ndarray]:
    """The same gradient, reached without conv_transpose."""
    conv = partial(jaxconv.conv, kernel=w, **case.arguments)

    def by_xla(x: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(
            x,
            w,
            case.stride,
            case.padding,
            rhs_dilation=case.dilation,
            feature_group_count=case.groups,
        )

    matrix = jaxconv.conv_matrix(w, x.shape[1:], sparse=False, **case.arguments)
    return {
        "jax.vjp of conv": jax.jit(lambda y: jax.vjp(conv, x)[1](y)[0])(y),
        "jax.linear_transpose of conv": jax.jit(
            lambda y: jax.linear_transpose(conv, x)(y)[0]
        )(y),
        "jax.vjp of JAX's own convolution": jax.jit(
            lambda y: jax.vjp(by_xla, x)[1](y)[0]
        )(y),
        "C.T @ y, C the matrix of conv": (matrix.T @ y.ravel()).reshape(x.shape),
    }


def _other_way(
    case: Case, x: jax.Array, w: jax.Array, forward: jax.Array, extra: tuple[int, ...]
) -> Difference:
    """The gradient of the transposed convolution is the convolution."""

    def undo(y: jax.Array) -> jax.Array:
        return jaxconv.conv_transpose(y, w, **case.arguments, output_padding=extra)

    (gradient,) = jax.jit(lambda x: jax.vjp(undo, jnp.zeros_like(forward))[1](x))(x)
    allowed = tolerance(np.asarray(forward), case.terms("conv"))
    name = "conv(x) to jax.vjp of conv_transpose"
    return Difference(name, largest(forward, gradient), allowed)


def _inner(a: jax.Array | np.ndarray, b: jax.Array | np.ndarray) -> float:
    return math.fsum((np.asarray(a, float) * np.asarray(b, float)).ravel())
