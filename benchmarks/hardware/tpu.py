"""Compiles for TPUs that are not there, and reads the compiler's own cost estimates.

The compiler is the wheel libtpu.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from jax.experimental import topologies

TOPOLOGIES = {"v5e": "v5e:2x2", "v6e": "v6e:2x2"}  # the smallest that libtpu knows

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


def devices(name: str) -> Sequence[Any]:
    """Four devices of a kind."""
    for key, value in SETTINGS.items():
        os.environ.setdefault(key, value)
    topology = TOPOLOGIES[name]
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
    cycles = map(int, re.findall(r'"estimated_cycles":"(\d+)"', text))
    emitters = sorted(set(re.findall(r'"emitter":"(\w+)"', text)))
    temporary = compiled.memory_analysis().temp_size_in_bytes
    return Program(sum(cycles), tuple(emitters), temporary, text)
