"""The types of a contraction: those of its operands, and that of its sums."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxconv._core.spec import Case, Shape, Spec


def accumulator(dtype: np.dtype) -> np.dtype:
    """The type of sums: float32 for narrower floats, 32 bits for narrower integers."""
    dtype = np.dtype(dtype)
    if jnp.issubdtype(dtype, jnp.floating) and dtype.itemsize < 4:
        return np.dtype(np.float32)
    if jnp.issubdtype(dtype, jnp.unsignedinteger) and dtype.itemsize < 4:
        return np.dtype(np.uint32)
    if jnp.issubdtype(dtype, jnp.integer) and dtype.itemsize < 4:
        return np.dtype(np.int32)
    return dtype


def operand_dtype(a: Any, b: Any, spec: Spec) -> np.dtype:
    """The type that both operands are cast to: the result's if wider than the sums."""
    dtype = np.promote_types(a, b)
    sums = accumulator(dtype)
    kept = sums == spec.dtype or np.promote_types(sums, spec.dtype) == sums
    return dtype if kept else spec.dtype


def case_of(a: Any, b: Any, spec: Spec) -> Case:
    """The case of two operands, or of their shapes and types."""
    shapes: tuple[Shape, Shape] = (a.shape, b.shape)
    return Case(spec, spec.sizes(*shapes), operand_dtype(a.dtype, b.dtype, spec))
