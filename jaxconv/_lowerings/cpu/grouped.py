"""``grouped``: neighbouring groups merged into blocks, one dense convolution per block.

A group of few channels is too narrow for a fast matrix product.  A block of several
groups with a block-diagonal kernel wastes work on zeros, but runs fast.  The kernel's
gradient is the diagonal part of the block's dense gradient.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jaxconv._core.axes import Input, Kernel, Output
from jaxconv._core.dtypes import accumulator
from jaxconv._core.spec import Case, Sizes, Spec
from jaxconv._lowerings import blocks
from jaxconv._lowerings.base import Compute, Lowering, reduced

WIDTH = 32  # the least channels of a block, on its wider side


def image(v: jax.Array, w: jax.Array, spec: Spec, run: Compute) -> jax.Array:
    """The output and the input role, with a block-diagonal kernel."""
    merged = merge(spec.groups, w.shape[-2], w.shape[-1] // spec.groups)
    count = spec.groups // merged
    parts = [
        run(part, blocks.widen(kernel, merged, merged), _dense(spec))
        for part, kernel in zip(_cut(v, count), _cut(w, count), strict=True)
    ]
    return jnp.concatenate(parts, axis=-1)


def kernel(x: Input, y: Output, spec: Spec, run: Compute) -> Kernel:
    groups = spec.groups
    merged = merge(groups, x.shape[-1] // groups, y.shape[-1] // groups)
    count = groups // merged
    dense = _dense(spec)
    parts = [
        blocks.narrow(run(a, b, dense), merged, merged)
        for a, b in zip(_cut(x, count), _cut(y, count), strict=True)
    ]
    return jnp.concatenate(parts, axis=-1)


def merge(groups: int, c: int, o: int) -> int:
    """The number of groups in a block: the least divisor that is wide enough."""
    divisors = (m for m in range(1, groups + 1) if groups % m == 0)
    return next((m for m in divisors if m * max(c, o) >= WIDTH), groups)


def _dense(spec: Spec) -> Spec:
    """The spec of one block; kernel gradients have the type that sums are taken in."""
    if spec.role != "kernel":
        return reduced(spec, groups=1)
    wide = np.promote_types(spec.dtype, accumulator(spec.dtype))
    return reduced(spec, groups=1, dtype=wide)


def _cut(v: jax.Array, count: int) -> list[jax.Array]:
    return jnp.split(v, count, axis=-1)


def inner(case: Case) -> Case:
    """The dense contraction of one block."""
    n, c, o = case.sizes
    merged = merge(case.groups, c, o)
    sizes = Sizes(n, merged * c, merged * o)
    return case._replace(spec=_dense(case.spec), sizes=sizes)


def refuse(case: Case) -> str | None:
    if case.groups == 1:
        return "there is only one group"
    return None


def spreads(case: Case) -> str | None:
    """None for the kernel's gradient, which selects the diagonal part."""
    merged = merge(case.groups, case.sizes.c, case.sizes.o)
    if case.role == "kernel" or merged == 1:
        return None
    return f"from an image into the {merged} groups of its block, as NaN"


def scratch(case: Case, inner: int) -> int:
    """The parts of images and result, the block kernels, and the scratch of all blocks.

    XLA chooses the order of the blocks, and may keep the scratch of all at once;
    jaxlib 0.12 does.
    """
    merged = merge(case.groups, case.sizes.c, case.sizes.o)
    images = case.bytes("input") + case.bytes("output")
    blocks_needed = case.groups // merged * inner
    return images + 2 * merged * case.bytes("kernel") + blocks_needed


LOWERING = Lowering(
    "grouped",
    "dense convolutions of blocks of neighbouring groups",
    {"output": image, "input": image, "kernel": kernel},
    refuse,
    scratch,
    spreads=spreads,
    inner=inner,
)
