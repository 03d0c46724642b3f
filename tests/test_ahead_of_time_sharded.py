"""Sharded programs for an H200 and for TPUs that are not there.

On one, two and eight devices: the type stays that of the operands, each device runs
what one device runs, and nothing is sent but halos and one sum.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import jaxconv
from benchmarks.hardware import gpu, tpu
from jaxconv._plan import emit
from jaxconv._plan.choose import choose

pytestmark = pytest.mark.hardware

N, ROWS = 16, 32
X, KERNEL = ("n", 16, "rows", 12), (24, 16, 3, 3)


class Op(NamedTuple):
    """A function, and the shapes of its operands: those with "n" hold the batch.

    rows: whether it stays partitioned where rows are sharded.
    permutes: the most collective-permutes of the result and both gradients then.
    """

    call: Callable[..., Any]
    shapes: tuple[tuple[Any, ...], ...]
    rows: bool = True
    permutes: int = 4


conv, conv_transpose = jaxconv.conv, jaxconv.conv_transpose
OPS = {
    "conv": Op(partial(conv, padding=1), (X, KERNEL)),
    "conv, strided": Op(partial(conv, padding=1, stride=2), (X, KERNEL)),
    "conv, grouped": Op(partial(conv, padding=1, groups=4), (X, (24, 4, 3, 3))),
    "conv, volume": Op(
        partial(conv, padding=1, layout="channels_last"),
        (("n", "rows", 6, 4, 16), (3, 3, 3, 16, 24)),
    ),
    # An axis that a padding mode pads is made whole.
    "conv, circular": Op(
        partial(conv, padding=1, padding_mode="circular"), (X, KERNEL), rows=False
    ),
    "conv_transpose": Op(
        partial(conv_transpose, stride=2, padding=1), (X, (16, 24, 4, 4))
    ),
    "conv_transpose, grouped": Op(
        partial(conv_transpose, stride=2, padding=1, groups=4), (X, (16, 6, 4, 4))
    ),
    "depthwise_conv": Op(
        partial(jaxconv.depthwise_conv, padding=1), (X, (16, 1, 3, 3))
    ),
    "pointwise_conv": Op(jaxconv.pointwise_conv, (X, (24, 16, 1, 1)), permutes=0),
    "separable_conv": Op(
        partial(jaxconv.separable_conv, padding=1), (X, (16, 1, 3, 3), (24, 16, 1, 1))
    ),
    "unfold": Op(lambda x: jaxconv.unfold(x, (3, 3), padding=1), (X,), permutes=32),
    "fold": Op(
        lambda u: jaxconv.fold(u, (ROWS, 12), (3, 3), padding=1),
        (("n", 16 * 9, ROWS * 12),),
        rows=False,
    ),
    "conv_general_dilated": Op(
        lambda x, w: jaxconv.conv_general_dilated(x, w, (1, 1), "SAME"), (X, KERNEL)
    ),
    "accelerate": Op(
        jaxconv.accelerate(lambda x, w: lax.conv(x, w, (1, 1), "SAME")), (X, KERNEL)
    ),
    # An offset may point to any row.
    "deform_conv": Op(
        partial(jaxconv.deform_conv, padding=1),
        (X, ("n", 18, ROWS, 12), KERNEL),
        rows=False,
    ),
    "deform_conv_transpose": Op(
        partial(jaxconv.deform_conv_transpose, padding=1),
        (X, ("n", 18, ROWS, 12), (16, 24, 3, 3)),
        rows=False,
    ),
    "deform_aggregate": Op(
        lambda x, at, w: jaxconv.deform_aggregate(x, at, w, (3,), padding=1),
        (("n", 16, ROWS), ("n", 3, ROWS), ("n", 3, ROWS)),
        rows=False,
    ),
    "deform_attention_sample": Op(
        lambda v, at, w: jaxconv.deform_attention_sample(v, ((4, 6), (2, 4)), at, w),
        (("n", 32, 2, 8), ("n", 12, 2, 2, 3, 2), ("n", 12, 2, 2, 3)),
        rows=False,
    ),
}  # fmt: skip

Compiled = tuple[Any, list[str]]  # and the lowerings that the plan chose


def lowered(
    op: Op, cut: str, dtype: str, devices: Any, *, by_hand: bool = False, **how: Any
) -> Any:
    """The result and all gradients.

    by_hand: partitioned by `jax.shard_map`, in place of the compiler.
    """
    sizes = {"n": N, "rows": ROWS}
    shapes = [tuple(sizes.get(v, v) for v in shape) for shape in op.shapes]
    parts = [P(*("i" if v == cut else None for v in shape)) for shape in op.shapes]
    operands = [jax.ShapeDtypeStruct(v, dtype) for v in shapes]
    y = jax.eval_shape(op.call, *operands)
    at = op.shapes[0].index(cut)  # the result has rows where the first operand does
    parts.append(P(*(None,) * at, "i"))
    mesh = Mesh(np.array(devices), ("i",))
    where = [NamedSharding(mesh, part) for part in parts]
    structs = [
        jax.ShapeDtypeStruct(v.shape, dtype, sharding=there)
        for v, there in zip((*operands, y), where, strict=True)
    ]
    call: Callable[..., Any] = op.call
    if by_hand:
        *ins, out = parts
        call = jax.shard_map(call, mesh=mesh, in_specs=tuple(ins), out_specs=out)

    def step(*v: Any) -> Any:
        *operands, cotangent = v
        out, pull = jax.vjp(call, *operands)
        return out, *pull(cotangent)

    run = jax.jit(step, out_shardings=(where[-1], *where[:-1]))
    return run.trace(*structs).lower(**how)


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The roles and lowerings of all contractions, in every shard if it is sharded."""
    found: list[str] = []

    def note(case: Any, place: Any) -> Any:
        choice = choose(case, place)
        found.append(f"{case.role}.{choice.lowering.name}")
        return choice

    monkeypatch.setattr(emit, "choose", note)
    return found


def check(
    op: Op, cut: str, dtype: str, compiled: Any, *, rounded: bool = False
) -> None:
    """The types of results, and what is sent.

    rounded: the operands of products in float32 may be sent as bfloat16.
    """
    assert {v.dtype.name for v in jax.tree.leaves(compiled.out_info)} == {dtype}
    kinds = "all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter"
    sent = re.findall(rf"= \(?(\w+)\[.* ({kinds})(?:-start)?\(", compiled.as_text())
    count = {kind: [name for _, name in sent].count(kind) for _, kind in sent}
    types = {"f32" if dtype == "float32" else "bf16", "bf16" if rounded else ""}
    assert {of for of, _ in sent} <= types
    kernels = len([shape for shape in op.shapes if "n" not in shape])
    assert count.pop("all-reduce", 0) == min(kernels, 1)  # of all kernels together
    assert count.pop("collective-permute", 0) <= (op.permutes if cut == "rows" else 0)
    assert not count


CASES = [(2, "n"), (8, "n"), (2, "rows"), (8, "rows")]


@pytest.fixture(scope="module")
def h200s() -> Any:
    if not gpu.installed():
        pytest.skip("JAX's CUDA plugin is not installed")
    return gpu.devices(8)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", OPS)
def test_shards_on_h200s(name: str, dtype: str, h200s: Any, chosen: list[str]) -> None:
    """Each device calls cuDNN as one device does."""

    def calls(devices: int, cut: str) -> tuple[list[Any], set[str]]:
        chosen.clear()
        there = lowered(op, cut, dtype, h200s[:devices]).compile(gpu.OPTIONS)
        if devices > 1:
            check(op, cut, dtype, there)
        found = [(v.kind, v.dtype, v.groups) for v in gpu.calls(there.as_text())]
        return sorted(found), set(chosen)

    op = OPS[name]
    alone = calls(1, "n")
    for devices, cut in CASES:
        if op.rows or cut == "n":
            assert calls(devices, cut) == alone


@pytest.mark.skipif(not tpu.installed(), reason="libtpu is not installed")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", OPS)
def test_shards_on_tpus(name: str, dtype: str, chosen: list[str]) -> None:
    """XLA partitions products per tap; `jax.shard_map` keeps what one device runs.

    At JAX's default precision a TPU multiplies float32 as bfloat16, and halos are sent
    after that rounding.
    """

    def compiled(devices: int, cut: str, **how: Any) -> set[str]:
        chosen.clear()
        there = lowered(
            op, cut, dtype, eight[:devices], lowering_platforms=("tpu",), **how
        ).compile()
        if devices > 1:
            check(op, cut, dtype, there, rounded=True)
        return set(chosen)

    op, eight = OPS[name], tpu.devices("v5e", 8)
    alone = compiled(1, "n")
    products = {f"{choice.split('.')[0]}.einsum" for choice in alone}
    if dtype == "bfloat16":
        assert compiled(8, "n", by_hand=True) == alone
    # The compiler takes seconds for each: half of the cases for each type.
    for devices, cut in CASES[1:3] if dtype == "float32" else CASES[::3]:
        if op.rows or cut == "n":
            assert compiled(devices, cut) == products
