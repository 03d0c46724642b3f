"""Deformable convolution compiled for a TPU and a GPU that are not there.

Their compilers are wheels: libtpu; jax-cuda12-plugin and jax-cuda12-pjrt, which need no
other NVIDIA library for this.
"""

from __future__ import annotations

import math
import re
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.hardware import gpu, tpu
from jaxconv._deform import deform_conv

pytestmark = pytest.mark.hardware


def loss(*v: jax.Array, **options: Any) -> jax.Array:
    return jnp.sin(deform_conv(*v, padding=1, **options)).sum()


def operands(device: Any, *shapes: tuple[int, ...]) -> list[jax.ShapeDtypeStruct]:
    there = jax.sharding.SingleDeviceSharding(device)
    return [jax.ShapeDtypeStruct(s, np.float32, sharding=there) for s in shapes]


@pytest.mark.skipif(
    not tpu.installed(), reason="libtpu, TPU's compiler, is not installed"
)
@pytest.mark.parametrize("implementation", ["columns", "chunks"])
def test_compiles_for_a_tpu(implementation: str) -> None:
    device = tpu.devices("v5e")[0]
    v = operands(device, (2, 8, 10, 12), (2, 18, 10, 12), (4, 8, 3, 3))
    run = partial(loss, implementation=implementation)
    for fun in (run, jax.grad(run, argnums=(0, 1, 2))):
        lowered = jax.jit(fun).trace(*v).lower(lowering_platforms=("tpu",))
        compiled = lowered.compile()
        # Rows of four corners side by side: one gather, four times 8 channels wide.
        assert "32]" in compiled.as_text()


# GPU ----------------------------------------------------------------------------------

# Large enough that no product is split in parts to occupy all of the GPU.
N, SPACE, INPUTS, OUTPUTS = 8, (60, 68), 64, 48
POSITIONS = N * math.prod(SPACE)
SHAPES = [(N, *SPACE, INPUTS), (N, *SPACE, 18), (3, 3, INPUTS, OUTPUTS)]
OPERANDS = 4 * sum(map(math.prod, SHAPES))  # bytes
COLUMNS = 4 * POSITIONS * 9 * INPUTS
# What the loop over the chunks holds: the result, and for each sample row and weights.
HELD = 4 * POSITIONS * (OUTPUTS + 9 * (1 + 4))


@pytest.fixture(scope="module")
def h200() -> Any:
    if not gpu.installed():
        pytest.skip("JAX's CUDA plugin is not installed")
    return gpu.devices()[0]


def compile_for(device: Any, fun: Any) -> Any:
    lowered = jax.jit(fun).lower(*operands(device, *SHAPES))
    # Tuning would time kernels, and there is no GPU to run them on.
    return lowered.compile({"xla_gpu_autotune_level": 0})


def count(compiled: Any, operation: str) -> int:
    return len(re.findall(rf" {operation}\(", compiled.as_text()))


@pytest.mark.parametrize("implementation", ["columns", "chunks"])
def test_compiles_for_an_h200(implementation: str, h200: Any) -> None:
    # The limit is what a GPU has by default.
    options = {"implementation": implementation, "memory_limit": 2**28}
    run = partial(deform_conv, padding=1, layout="channels_last", **options)
    result = compile_for(h200, run)
    run = partial(loss, layout="channels_last", **options)
    slopes = compile_for(h200, jax.grad(run, argnums=(0, 1, 2)))

    # A loop more would take a gather's or scatter's indices one after the other.
    chunked = implementation == "chunks"
    loops = (1, 2) if chunked else (0, 0)
    assert (count(result, "while"), count(slopes, "while")) == loops
    assert count(result, "gather") > 0
    assert count(result, "scatter") == 0
    assert count(slopes, "scatter") > 0

    columns, rest = (COLUMNS // 10, HELD) if chunked else (COLUMNS, 0)
    found = result.memory_analysis().temp_size_in_bytes
    assert columns < found < columns + OPERANDS + rest
