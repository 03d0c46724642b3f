"""``grouped``: neighbouring groups merged into blocks, one dense convolution per block.

A group of few channels is too narrow for a matrix product.  Several together, with
zeros where kernel and input belong to different groups, waste work but run fast.
For the kernel's gradient the dense gradient of the block is taken, and of it only the
groups' own part.
"""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from jaxconv._core.spec import Case, Role, Sizes, Spec
from jaxconv._lowerings.base import DIRECT, Lowering
from jaxconv._lowerings.cpu import chunks, overlap_add, rows, slices, taps
from jaxconv._lowerings.general import xla

WIDTH = 32  # channels a block has at least, on the wider side, where there are enough


def output(x: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    return _by_blocks("output", x, w, spec)


def input(y: jax.Array, w: jax.Array, spec: Spec) -> jax.Array:
    return _by_blocks("input", y, w, spec)


def kernel(x: jax.Array, y: jax.Array, spec: Spec) -> jax.Array:
    groups = spec.groups
    merged = merge(spec, x.shape[-1] // groups, y.shape[-1] // groups)
    blocks, dense = groups // merged, replace(spec, groups=1)
    sizes = Sizes(x.shape[0], x.shape[-1] // blocks, y.shape[-1] // blocks)
    compute = _dense(Case(dense, sizes, x.dtype)).roles["kernel"]
    parts = [
        _own(compute(a, b, dense), merged)
        for a, b in zip(_cut(x, blocks), _cut(y, blocks), strict=True)
    ]
    return jnp.concatenate(parts, axis=-1)


def merge(spec: Spec, c: int, o: int) -> int:
    """How many groups make a block: the least divisor of them that is wide enough."""
    groups = spec.groups
    if spec.lowering == DIRECT:
        return 1
    divisors = (m for m in range(1, groups + 1) if groups % m == 0)
    return next((m for m in divisors if m * max(c, o) >= WIDTH), groups)


def _by_blocks(
    role: Role,
    image: jax.Array,
    w: jax.Array,
    spec: Spec,
) -> jax.Array:
    c, o = w.shape[-2], w.shape[-1] // spec.groups
    merged = merge(spec, c, o)
    blocks, dense = spec.groups // merged, replace(spec, groups=1)
    sizes = Sizes(image.shape[0], merged * c, merged * o)
    compute = _dense(Case(dense, sizes, image.dtype)).roles[role]
    parts = [
        compute(part, _block_diagonal(kernel, merged), dense)
        for part, kernel in zip(_cut(image, blocks), _cut(w, blocks), strict=True)
    ]
    return jnp.concatenate(parts, axis=-1)


def _dense(block: Case) -> Lowering:
    """The way to compute a block: as fast as the dense case with these dimensions."""
    ndim = block.spec.ndim
    module = {1: rows, 2: xla}.get(ndim, slices)
    if block.role == "input" and max(block.geometry.stride) > 1:
        module = overlap_add
    if block.role == "kernel" and ndim <= 2 and chunks.gains(block, 4):
        module = chunks
    elif block.role == "kernel" and ndim == 1 and block.sizes.n < 16:
        module = taps  # xla contracts the batch as if it were channels
    return module.LOWERING


def _cut(v: jax.Array, blocks: int) -> list[jax.Array]:
    return jnp.split(v, blocks, axis=-1)


def _same_group(merged: int) -> np.ndarray:
    return np.eye(merged, dtype=bool)[:, None, :, None]


def _block_diagonal(w: jax.Array, merged: int) -> jax.Array:
    """(*window, c, (g, o)) as the dense (*window, (g, c), (g, o))."""
    *window, c, o = w.shape
    wide = w.reshape(*window, 1, c, merged, o // merged)
    wide = jnp.where(_same_group(merged), wide, jnp.zeros((), w.dtype))
    return wide.reshape(*window, merged * c, o)


def _own(w: jax.Array, merged: int) -> jax.Array:
    """The inverse: of the dense kernel, what lies within the groups."""
    *window, c, o = w.shape
    wide = w.reshape(*window, merged, c // merged, merged, o // merged)
    own = jnp.where(_same_group(merged), wide, jnp.zeros((), w.dtype)).sum(-4)
    return own.reshape(*window, c // merged, o)


def refuse(case: Case) -> str | None:
    if case.groups == 1:
        return "there is only one group"
    return None


def spreads(case: Case) -> str | None:
    """The kernel's gradient takes only what lies within the groups."""
    merged = merge(case.spec, case.sizes.c, case.sizes.o)
    if case.role == "kernel" or merged == 1:
        return None
    return f"from an image into the {merged} groups of its block, as NaN"


def scratch(case: Case) -> int:
    """The images' and the result's parts, the wide kernel, and what a block needs."""
    n, c, o = case.sizes
    merged = merge(case.spec, c, o)
    sizes = Sizes(n, merged * c, merged * o)
    block = case._replace(spec=replace(case.spec, groups=1), sizes=sizes)
    images = case.bytes("input") + case.bytes("output")
    kernels = 2 * merged * case.bytes("kernel")
    return images + kernels + _dense(block).scratch(block)


LOWERING = Lowering(
    "grouped",
    "dense convolutions of blocks of neighbouring groups",
    {"output": output, "input": input, "kernel": kernel},
    refuse,
    scratch,
    spreads=spreads,
)
