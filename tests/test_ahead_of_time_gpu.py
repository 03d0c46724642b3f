"""Compiled for an H200 that is not there: which call of cuDNN each convolution becomes.

The compiler is in the wheels jax-cuda12-plugin and jax-cuda12-pjrt (`docs/
accelerators.md`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import pytest

from benchmarks.hardware import gpu
from benchmarks.peers import jaxconv_cell, lax_cell
from benchmarks.table import WORKLOADS
from benchmarks.workloads import Workload
from test_export import OPS, value_and_gradients, with_batch

pytestmark = pytest.mark.hardware

FORWARD, INPUT, FILTER = "convForward", "convBackwardInput", "convBackwardFilter"
BY_NAME = {workload.name: workload for workload in WORKLOADS}


class Cell(NamedTuple):
    """The call that a workload's role becomes, and lax's work over ours, at least."""

    workload: str
    role: str
    kind: str
    times: float = 1.0

    @property
    def id(self) -> str:
        return f"{self.workload}, {self.role}"


CELLS = (
    Cell("dense resnet stem 7x7 s2", "forward", FORWARD),
    Cell("dense resnet stem 7x7 s2", "input", INPUT),
    Cell("dense resnet stem 7x7 s2", "kernel", FILTER),
    Cell("dense 1x1 s2 256-512@56", "forward", FORWARD),
    Cell("dense 1x1 s2 256-512@56", "kernel", FILTER),
    Cell("dense 3x3 bf16 256@56", "forward", FORWARD),
    Cell("dense 3x3 bf16 256@56", "input", INPUT),
    Cell("dense 3x3 bf16 256@56", "kernel", FILTER),
    Cell("dense patch embed 16x16 s16", "input", FORWARD, 190),
    Cell("depthwise mobilenet 3x3 s2 96@112", "forward", FORWARD),
    Cell("depthwise mobilenet 3x3 s2 96@112", "input", FORWARD, 2.1),
    Cell("depthwise 1d causal k4 1024@16384", "kernel", FILTER),
    Cell("grouped 1d g8 k3 d4 64@1024", "kernel", FILTER),
    Cell("grouped 1d g8 k3 d512 64@1024", "kernel", FORWARD),
    Cell("transposed dcgan 4x4 s2 128-64@32", "forward", INPUT, 3.9),
    Cell("transposed dcgan 4x4 s2 128-64@32", "input", FORWARD),
    Cell("transposed dcgan 4x4 s2 128-64@32", "kernel", FILTER),
    Cell("transposed unet 2x2 s2 128-64@64", "forward", INPUT, 3.9),
    Cell("transposed 3x3 s2 op1 64-32@56", "forward", INPUT, 3.9),
    Cell("transposed 3x3 s2 op1 64-32@56", "kernel", FILTER, 3.9),
    Cell("transposed depthwise 4x4 s2 64@56", "forward", FORWARD, 3.8),
    Cell("transposed depthwise 4x4 s2 64@56", "kernel", FILTER, 3.9),
    Cell("transposed grouped g2 3x3 s2 op1 64-32@32", "forward", FORWARD, 2.1),
    Cell("transposed 32x32 s16 128-32@8", "forward", FORWARD, 12),
    Cell("transposed 1d hifigan k16 s8 512-256@200", "forward", INPUT, 7.9),
    Cell("transposed 1d hifigan k16 s8 512-256@200", "kernel", FILTER, 7.9),
    Cell("transposed 3d k3 s2 op1 64-1@32", "forward", INPUT, 7.9),
    Cell("transposed 3d k3 s2 op1 64-1@32", "kernel", FILTER, 7.9),
    Cell("3d k3 s2 32-64@24", "forward", FORWARD),
    Cell("3d k3 s2 32-64@24", "input", INPUT),
    Cell("1d dilated k2 d512 64@8192", "forward", FORWARD, 250),
    Cell("1d dilated k2 d512 64@8192", "input", FORWARD, 250),
    Cell("1d dilated k2 d512 64@8192", "kernel", FILTER),
)


@pytest.fixture(scope="module")
def h200() -> Any:
    if not gpu.installed():
        pytest.skip("JAX's CUDA plugin is not installed")
    return jax.sharding.SingleDeviceSharding(gpu.devices()[0])


def compiled(h200: Any, cell: Callable[..., Any], workload: Workload) -> gpu.Program:
    return gpu.compile_for(h200, cell, [*workload.shapes.values()], workload.dtype)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.id)
def test_calls_cudnn_as_expected(cell: Cell, h200: Any) -> None:
    """In the operands' own type, and with no more work or memory than lax."""
    workload = BY_NAME[cell.workload]
    ours = compiled(h200, jaxconv_cell(workload, cell.role), workload)
    lax = compiled(h200, lax_cell(workload, cell.role), workload)
    assert ours.kinds == (cell.kind,)
    assert len(lax.calls) == 1
    assert {"f32": "float32", "bf16": "bfloat16"}[ours.calls[0].dtype] == workload.dtype
    assert ours.multiply_adds * cell.times <= lax.multiply_adds * 1.001
    assert ours.temporary <= lax.temporary * 1.04 + 2**10


def test_one_position_is_a_matrix_product(h200: Any) -> None:
    workload = BY_NAME["transposed 3d 28x28x1 50-1@1"]
    ours = compiled(h200, jaxconv_cell(workload, "forward"), workload)
    assert ours.kinds == ()
    assert "__cublas" in ours.text


def test_a_dilated_kernel_gradient_costs_few_zeros(h200: Any) -> None:
    """33 positions are 36 in rows of 6: the price of the ordinary call."""
    workload = BY_NAME["dense aspp 3x3 d6 256@33"]
    ours = compiled(h200, jaxconv_cell(workload, "kernel"), workload)
    lax = compiled(h200, lax_cell(workload, "kernel"), workload)
    assert (ours.kinds, lax.kinds) == ((FILTER,), (FORWARD,))
    assert ours.multiply_adds <= 1.2 * lax.multiply_adds
    assert "size=33x33" in lax.calls[0].window


def test_volumes_are_not_put_in_order(h200: Any) -> None:
    """cuDNN takes three axes channels first, and gets the user's arrays as they are."""
    workload = BY_NAME["3d k3 s2 32-64@24"]
    for role in ("forward", "input", "kernel"):
        ours = compiled(h200, jaxconv_cell(workload, role), workload)
        assert ours.temporary < 2**10
        assert " transpose(" not in ours.text


@pytest.mark.parametrize("name", OPS)
def test_public_operations_compile_with_gradients(name: str, h200: Any) -> None:
    step, shapes = value_and_gradients(name), with_batch(name, 3)
    for dtype in ("float32", "bfloat16"):
        gpu.compile_for(h200, step, shapes, dtype)
