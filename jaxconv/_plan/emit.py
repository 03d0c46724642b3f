"""Lowers a contraction: chooses a lowering, and emits it into JAX's program."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.interpreters import mlir
from jax.sharding import PartitionSpec

from jaxconv._core.contract import contract_p
from jaxconv._core.dtypes import case_of
from jaxconv._core.geometry import read_extent, spread_extent
from jaxconv._core.intercept import plain
from jaxconv._core.partitioned import can_partition, in_some_axes
from jaxconv._core.primitive import emit
from jaxconv._core.spec import LETTERS, Letter, Role, Spec
from jaxconv._lowerings.base import Steps
from jaxconv._plan.choose import choose
from jaxconv._plan.partition import PARTITIONED
from jaxconv._plan.place import Place

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def run(
    a: jax.Array, b: jax.Array, *, spec: Spec, place: Place, after: Steps = ()
) -> jax.Array:
    """Computes a contraction by the lowering that the plan chooses.

    Unless the lowering is native, operands are transposed to channels last, and the
    result is transposed back.  ``after``: steps of which each is in `finishes`.
    """
    if _nothing_to_sum(a, b, spec):
        return jnp.zeros(spec.result_shape(a.shape, b.shape), spec.dtype)
    case = case_of(a, b, spec)
    lowering = choose(case, place).lowering
    a, b = a.astype(case.dtype), b.astype(case.dtype)
    with plain(), jax.named_scope(f"jaxconv.{spec.role}.{lowering.name}"):
        compute: Callable[..., jax.Array] = lowering.roles[spec.role]
        if after:
            compute = partial(compute, after=after)
        if lowering.inner is not None:
            compute = partial(compute, run=partial(_inner, place=place))
        if lowering.native:
            return _result(compute(a, b, spec), spec)
        first, second = map(spec.to_last, spec.operands)
        out = compute(a.transpose(first), b.transpose(second), spec)
        return _result(out, spec).transpose(spec.from_last(spec.role))


def finishes(a: Any, b: Any, *, spec: Spec, place: Place) -> frozenset[str]:
    """The steps that `run` can compute after a contraction in the same pass."""
    if _nothing_to_sum(a, b, spec):
        return frozenset()
    return choose(case_of(a, b, spec), place).lowering.finishes


def _nothing_to_sum(a: Any, b: Any, spec: Spec) -> bool:
    """Whether all results are sums of nothing, or of padding."""
    extent = spread_extent if spec.role == "input" else read_extent
    unread = any(extent(axis).empty for axis in spec.geometry.axes)
    return unread or 0 in (*a.shape, *b.shape, *spec.result_shape(a.shape, b.shape))


def run_with_whole_space(
    a: jax.Array, b: jax.Array, *, spec: Spec, place: Place
) -> jax.Array:
    """`run` inside a `jax.shard_map` over some mesh axes, with space not sharded.

    For programs that cannot partition themselves.  The other mesh axes are left to XLA,
    which partitions products per tap wrongly for some strides if a spatial axis is
    sharded.
    """
    first, second = spec.operands
    a, b = _whole_space(a, spec, first), _whole_space(b, spec, second)
    return _whole_space(run(a, b, spec=spec, place=place), spec, spec.role)


def _whole_space(v: jax.Array, spec: Spec, role: Role) -> jax.Array:
    free = PartitionSpec.UNCONSTRAINED
    letters: dict[Letter, Any] = {letter: free for letter in LETTERS[role]}
    parts = spec.arrange(role, letters, [None] * spec.ndim)
    return jax.lax.with_sharding_constraint(v, PartitionSpec(*parts))


def _inner(a: jax.Array, b: jax.Array, spec: Spec, *, place: Place) -> jax.Array:
    """Computes the inner case of a lowering, by the lowering that the plan chooses."""
    return run(a, b, spec=spec, place=place)


def _result(v: jax.Array, spec: Spec) -> jax.Array:
    """Converts to the result's type; the gradient of a real operand is real."""
    real = not jnp.issubdtype(spec.dtype, jnp.complexfloating)
    return (v.real if real else v).astype(spec.dtype)


def _rule(ctx: Any, a: Any, b: Any, *, spec: Spec, platform: str) -> Any:
    if can_partition(ctx):
        return PARTITIONED.emit(ctx, spec, a, b)
    place = Place.of(ctx, platform)
    fun = run_with_whole_space if in_some_axes(ctx) else run
    return emit(ctx, partial(fun, spec=spec, place=place), a, b)


def register() -> None:
    """Registers the lowering rules with JAX, when jaxconv is imported."""
    mlir.register_lowering(contract_p, partial(_rule, platform="default"))
    for name in PLATFORMS:
        mlir.register_lowering(contract_p, partial(_rule, platform=name), platform=name)
