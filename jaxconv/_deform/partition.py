"""Sampling on many devices: the shards and the program of each.

Batch, channels and samples can be sharded; where a role sums over such a letter, the
results of the shards are added up.  Rows, corners and terms are not sharded, because a
sample may read any row.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax import lax

from jaxconv._core.devices import Digits, names
from jaxconv._core.geometry import Ints
from jaxconv._core.partitioned import Shards
from jaxconv._core.share import Held, Key, share

AXES = {"image": "nrc", "weights": "nkms", "samples": "nsc", "index": "nms"}
CUT = "nsc"  # the letters that can be sharded


def divide(
    bind: Any,
    form: Any,
    arrays: tuple[Any, ...],
    lying: tuple[Digits, ...],
    bases: Ints,
) -> Shards:
    """The program of one device, from the shardings of operands and result."""
    roles = (*form.names, form.role)
    whole: dict[Key, int] = {
        letter: size
        for role, v in zip(roles, arrays, strict=True)
        for letter, size in zip(AXES[role], v.shape, strict=True)
        if letter in CUT
    }
    held = [
        Held(
            tuple((letter,) if letter in CUT else () for letter in AXES[role]),
            axes,
            np.dtype(v.dtype).itemsize * v.size,
        )
        for role, v, axes in zip(roles, arrays, lying, strict=True)
    ]
    empty = any(0 in v.shape for v in arrays)
    shared = {} if empty else share(held, whole, bases)
    summed = [v for letter, v in shared.items() if letter not in tuple(AXES[form.role])]
    over = names(tuple(digit for digits in summed for digit in digits))

    def compute(*operands: jax.Array) -> jax.Array:
        out = bind(*operands, form)
        return lax.psum(out, over) if over else out

    *operands, result = (
        tuple(shared.get(letter, ()) for letter in AXES[role]) for role in roles
    )
    return Shards(tuple(operands), result, compute)


def rule(form: Any, arrays: tuple[Any, ...]) -> tuple[str, dict[str, int]]:
    """The letters of operands and result, as a rule of `custom_partitioning`."""
    del arrays
    first, second, index = (" ".join(AXES[name]) for name in form.names)
    return f"{first}, {second}, {index} -> {' '.join(AXES[form.role])}", {}
