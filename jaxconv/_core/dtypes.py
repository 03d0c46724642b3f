"""Which types a contraction takes its operands in, and adds up in."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxconv._core.spec import Case, Shape, Spec


def accumulator(dtype: np.dtype) -> np.dtype:
    """The type to add up in: float32 for 16-bit floats, 32 bits for short integers."""
    dtype = np.dtype(dtype)
    if jnp.issubdtype(dtype, jnp.floating) and dtype.itemsize < 4:
        return np.dtype(np.float32)
    if jnp.issubdtype(dtype, jnp.unsignedinteger) and dtype.itemsize < 4:
        return np.dtype(np.uint32)
    if jnp.issubdtype(dtype, jnp.integer) and dtype.itemsize < 4:
        return np.dtype(np.int32)
    return dtype


def operand_dtype(a: Any, b: Any, spec: Spec) -> np.dtype:
    """The type to contract in: the result's, where that is wider than the sums."""
    dtype = np.promote_types(a, b)
    sums = accumulator(dtype)
    kept = sums == spec.dtype or np.promote_types(sums, spec.dtype) == sums
    return dtype if kept else spec.dtype


def case_of(a: Any, b: Any, spec: Spec) -> Case:
    """The case that two operands, or their types, are contracted as."""
    shapes: tuple[Shape, Shape] = (a.shape, b.shape)
    return Case(spec, spec.sizes(*shapes), operand_dtype(a.dtype, b.dtype, spec))
