"""Explicit sharding: the sharding in the type of a contraction's result."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxconv._core.spec import LETTERS, Letter, Shape, Spec


def result_sharding(a: Any, b: Any, spec: Spec) -> NamedSharding:
    """Each axis of the result is sharded like the operand axis with the same letter.

    The spatial axes are sharded like those of the first operand, which is an image.  If
    a mesh axis would occur twice, only its first occurrence is kept; if it does not
    divide its axis of the result, it is dropped.
    """
    if spec.sharding is not None:
        return spec.sharding
    mesh = b.sharding.mesh if a.sharding.mesh.empty else a.sharding.mesh
    letters: dict[Letter, Any] = {}
    for operand, aval in zip(spec.operands, (a, b), strict=True):
        for letter in LETTERS[operand]:
            found = aval.sharding.spec[spec.axis(operand, letter)]
            letters[letter] = letters.get(letter) or found
    first = spec.operands[0]
    space = [
        None if spec.role == "kernel" else a.sharding.spec[axis]
        for axis in range(a.ndim)
        if axis not in {spec.axis(first, letter) for letter in LETTERS[first]}
    ]
    parts = spec.arrange(spec.role, letters, space)
    return possible(mesh, parts, spec.result_shape(a.shape, b.shape))


def mapped_sharding(
    args: Sequence[Any], dims: Sequence[Any], size: int, spec: Spec
) -> NamedSharding | None:
    """The result's sharding under `vmap`, with the mapped axis first.

    None if no mesh axis is explicit.
    """
    avals = [jax.typeof(v) for v in args]
    kinds = (kind for v in avals for kind in v.sharding.mesh.axis_types)
    if AxisType.Explicit not in kinds:
        return None
    mapped: Any = None
    inner: list[Any] = []
    for aval, dim in zip(avals, dims, strict=True):
        shape, parts = list(aval.shape), list(aval.sharding.spec)
        if dim is not None:
            del shape[dim]
            mapped = mapped or parts[dim]
            del parts[dim]
        sharding = NamedSharding(aval.sharding.mesh, PartitionSpec(*parts))
        inner.append(aval.update(shape=tuple(shape), sharding=sharding))
    first, second = inner
    rest = result_sharding(first, second, spec)
    shape = spec.result_shape(*(v.shape for v in inner))
    return possible(rest.mesh, (mapped, *rest.spec), (size, *shape))


def possible(mesh: Any, parts: Sequence[Any], shape: Shape) -> NamedSharding:
    """The sharding with these parts, except those that a shape or the mesh forbids."""
    used: set[Any] = set()
    kept: list[Any] = []
    for part, size in zip(parts, shape, strict=True):
        names = part if isinstance(part, tuple) else (part,) if part else ()
        ways = math.prod(mesh.shape[name] for name in names)
        fits = not used.intersection(names) and size % ways == 0
        kept.append(part if fits else None)
        used.update(names if fits else ())
    return NamedSharding(mesh, PartitionSpec(*kept))
