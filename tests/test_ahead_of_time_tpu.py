"""Compiled for TPUs that are not there: estimated cycles, and traffic when sharded.

The compiler is the wheel libtpu (`docs/accelerators.md`).  Cycles are its own
estimates: good for ranking forms, not for promises.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, SingleDeviceSharding
from jax.sharding import PartitionSpec as P

import jaxconv
from benchmarks.hardware import tpu
from benchmarks.peers import jaxconv_cell, lax_cell
from benchmarks.workloads import workload as row
from test_export import OPS, value_and_gradients, with_batch

pytestmark = [
    pytest.mark.hardware,
    pytest.mark.skipif(
        not tpu.installed(), reason="libtpu, TPU's compiler, is not installed"
    ),
]

over_kinds = pytest.mark.parametrize("kind", tpu.TOPOLOGIES)

Shape = tuple[int, ...]


def compiled(kind: str, cell: Callable[..., Any], *shapes: Shape) -> tpu.Program:
    where = SingleDeviceSharding(tpu.devices(kind)[0])
    return tpu.compile_for(where, cell, shapes, "bfloat16")


# Cycles -------------------------------------------------------------------------------

GROUPED = row("grouped g32 3x3 256@28", 8, (28, 28), 256, 256, 3, 1, 1, 1, 32)
LINE = row("grouped 1d g8 k3 d4 64@1024", 32, 1024, 64, 64, 3, 1, 4, 4, 8)
OTHERS = (
    row("dense 3x3 64-128@28", 8, (28, 28), 64, 128, 3, 1, 1),
    row("dense 3x3 s2 128@48", 4, (48, 48), 128, 128, 3, 2, 1),
    row("depthwise 3x3 s2 96@28", 8, (28, 28), 96, 96, 3, 2, 1, 1, 96),
    row("transposed dcgan 4x4 s2 64-32@32", 4, (32, 32), 64, 32, 4, 2, 1),
    row("1d k5 128@512", 16, 512, 128, 128, 5, 1, 2),
    row("1d k3 48-64@1024", 16, 1024, 48, 64, 3, 1, 1),
    row("dense 3x3 32-16@128", 2, (128, 128), 32, 16, 3, 1, 1),
)
ROLES = ("forward", "input", "kernel")


def cycles(kind: str, workload: Any, role: str) -> tuple[int, int]:
    """Ours and lax's."""
    shapes = workload.shapes.values()
    cells = (jaxconv_cell(workload, role), lax_cell(workload, role))
    ours, lax = (compiled(kind, cell, *shapes).cycles for cell in cells)
    assert min(ours, lax) > 1000
    return ours, lax


@over_kinds
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("workload", OTHERS, ids=lambda workload: workload.name)
def test_no_more_cycles_than_lax(workload: Any, role: str, kind: str) -> None:
    ours, lax = cycles(kind, workload, role)
    assert ours <= 1.03 * lax


@over_kinds
@pytest.mark.parametrize("role", ROLES)
def test_narrow_groups_take_a_third_of_the_cycles(role: str, kind: str) -> None:
    """Of lax's, and half of them for the kernel's gradient."""
    ours, lax = cycles(kind, GROUPED, role)
    assert ours * (2 if role == "kernel" else 3) <= lax


@over_kinds
@pytest.mark.parametrize("role", ROLES)
def test_a_line_of_few_channels_is_not_turned_around(role: str, kind: str) -> None:
    """XLA's convolution takes two passes over the line for it, `lines` none."""
    shapes = LINE.shapes.values()
    ours = compiled(kind, jaxconv_cell(LINE, role), *shapes)
    lax = compiled(kind, lax_cell(LINE, role), *shapes)
    assert 3 * ours.cycles <= lax.cycles
    line = r"= bf16\[32,64,1024\]\S* copy\(%x"
    assert not re.search(line, ours.text)
    assert f"jaxconv.{'output' if role == 'forward' else role}.lines" in ours.text


@over_kinds
def test_a_pass_without_an_estimate_is_charged(kind: str) -> None:
    """As the cheapest one over as many bytes."""
    reversal = compiled(kind, lambda x: x[::-1], (512, 2048))
    cheapest = compiled(kind, lambda x: x + 1, (512, 2048))
    assert (reversal.uncounted, cheapest.uncounted) == (2 * 512 * 2048, 0)
    assert 0.9 * cheapest.cycles <= reversal.cycles <= cheapest.cycles


# Compiles at all ----------------------------------------------------------------------


@over_kinds
@pytest.mark.parametrize("name", OPS)
def test_public_operations_compile_with_gradients(name: str, kind: str) -> None:
    where = SingleDeviceSharding(tpu.devices(kind)[0])
    step, shapes = value_and_gradients(name), with_batch(name, 3)
    for dtype in ("float32", "bfloat16"):
        assert tpu.compile_for(where, step, shapes, dtype).cycles > 0


@over_kinds
def test_examples_with_kernels_of_their_own_compile(kind: str) -> None:
    def loss(x: Any, kernel: Any) -> Any:
        return (jax.vmap(partial(jaxconv.conv, padding=2))(x, kernel) ** 2).sum()

    step = jax.value_and_grad(loss, (0, 1))
    assert compiled(kind, step, (3, 2, 6, 9), (3, 10, 6, 3)).cycles > 0


# Sharding -----------------------------------------------------------------------------

SHARDED = {
    "dense, batch": (1, P("i")),
    "grouped, batch": (4, P("i")),
    "depthwise, batch": (32, P("i")),
    "dense, rows": (1, P(None, None, "i")),
    "grouped, rows": (4, P(None, None, "i")),
}


@pytest.mark.parametrize("name", SHARDED)
def test_no_shard_is_gathered(name: str) -> None:
    """Both gradients of a step over four devices, the kernel on each of them."""
    groups, layout = SHARDED[name]
    mesh = Mesh(np.array(tpu.devices("v5e")), ("i",))
    shapes = ((8, 32, 28, 24), (64, 32 // groups, 3, 3))

    def loss(x: Any, kernel: Any) -> Any:
        y = jaxconv.conv(x, kernel, padding=1, groups=groups)
        return (y * y).sum()

    where = [NamedSharding(mesh, layout), NamedSharding(mesh, P())]
    step = jax.jit(jax.grad(loss, (0, 1)), out_shardings=tuple(where))
    program = tpu.compile_for(where, step, shapes, "float32")
    assert "all-gather" not in program.collectives
    assert "all-to-all" not in program.collectives
    assert program.collectives["all-reduce"] >= 1
