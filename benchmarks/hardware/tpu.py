"""Compiles for TPUs that are not there, and reads the compiler's own cost estimates.

The compiler is the wheel libtpu.
"""

from __future__ import annotations

import importlib.util
import math
import os
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from jax.experimental import topologies

TOPOLOGIES = ("v5e", "v6e")

# The compiler gives some passes over memory no estimate: a reversal by itself, or a
# reshape that changes the layout.  Here they cost what it expects of the cheapest pass
# over as many bytes, of x + 1 over 64 MB.
PASSES = ("reverse", "reshape", "transpose", "copy")
BYTES_A_CYCLE = {"TPU v5 lite": 111, "TPU v6 lite": 189}

# It need not look for a TPU, nor be alone; the rest only silences warnings.
SETTINGS = {
    "TPU_SKIP_MDS_QUERY": "1",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
}


class Program(NamedTuple):
    """A compiled function: estimated cycles, kernels' names, bytes beside the rest."""

    cycles: int  # bodies of loops count once
    uncounted: int  # bytes that `PASSES` without an estimate write; cycles hold them
    emitters: tuple[str, ...]
    temporary: int
    text: str

    @property
    def collectives(self) -> dict[str, int]:
        found = re.findall(
            r" (all-gather|all-reduce|all-to-all|collective-permute)(?:-start)?\(",
            self.text,
        )
        return {name: found.count(name) for name in found}


def installed() -> bool:
    return importlib.util.find_spec("libtpu") is not None


def devices(name: str, count: int = 4) -> Sequence[Any]:
    """Devices of a kind; four are the fewest that libtpu knows."""
    for key, value in SETTINGS.items():
        os.environ.setdefault(key, value)
    topology = f"{name}:2x{count // 2}"
    return topologies.get_topology_desc(platform="tpu", topology_name=topology).devices


def compile_for(
    sharding: Any,
    fun: Callable[..., Any],
    shapes: Sequence[tuple[int, ...]],
    dtype: str,
) -> Program:
    """``sharding``: one for all operands, or one for each."""
    each = sharding if isinstance(sharding, list) else [sharding] * len(shapes)
    structs = [
        jax.ShapeDtypeStruct(shape, dtype, sharding=where)
        for shape, where in zip(shapes, each, strict=True)
    ]
    lowered = jax.jit(fun).trace(*structs).lower(lowering_platforms=("tpu",))
    compiled = lowered.compile()
    text = compiled.as_text()
    estimates = map(int, re.findall(r'"estimated_cycles":"(\d+)"', text))
    uncounted = _uncounted(text)
    kind = min(device.device_kind for device in each[0].device_set)
    cycles = sum(estimates) + uncounted // BYTES_A_CYCLE[kind]
    emitters = sorted(set(re.findall(r'"emitter":"(\w+)"', text)))
    temporary = compiled.memory_analysis().temp_size_in_bytes
    return Program(cycles, uncounted, tuple(emitters), temporary, text)


def _uncounted(text: str) -> int:
    entry = text[text.index("\nENTRY ") :]
    found = re.findall(rf"= (\w+)\[([\d,]*)\]\S* (?:{'|'.join(PASSES)})\((.*)", entry)
    return sum(
        math.prod(map(int, filter(None, shape.split(",")))) * _itemsize(dtype)
        for dtype, shape, rest in found
        if "estimated_cycles" not in rest
    )


def _itemsize(dtype: str) -> int:
    """Of XLA's names: pred, bf16, s32, c64."""
    digits = re.search(r"\d+", dtype)
    return int(digits[0]) // 8 if digits else 1
