"""Compiles for an H200 that is not there, and reads cuDNN's calls off the program.

The compiler is in the wheels jax-cuda12-plugin and jax-cuda12-pjrt; no other NVIDIA
library is needed for this.
"""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.experimental import topologies

# A short GpuTargetConfigProto; XLA keeps full ones in gpu/target_config/specs.
TARGET = Path(__file__).parents[2] / "tests" / "data" / "h200_target.txtpb"

# Tuning would time kernels, and there is no GPU to run them on; without it, Triton's
# matrix products do not always find a tile size.
OPTIONS = {"xla_gpu_autotune_level": 0, "xla_gpu_enable_triton_gemm": False}

Ints = tuple[int, ...]


class Call(NamedTuple):
    """One call of cuDNN: its kind, and the shapes of its result and operands."""

    kind: str  # convForward, convBackwardInput or convBackwardFilter
    dtype: str
    result: Ints
    operands: tuple[Ints, Ints]
    window: str
    groups: int
    outputs: int  # the axis of the kernel that counts output channels

    @property
    def multiply_adds(self) -> int:
        """Those on zeros included that XLA put into the operands."""
        first, second = map(math.prod, self.operands)
        if self.kind == "convBackwardFilter":
            return second * (math.prod(self.result) // self.result[self.outputs])
        each = second // self.operands[1][self.outputs]
        swept = first if self.kind == "convBackwardInput" else math.prod(self.result)
        return swept * each


class Program(NamedTuple):
    """What a compiled function calls, and the bytes beside operands and result."""

    calls: tuple[Call, ...]
    temporary: int
    text: str

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(call.kind for call in self.calls)

    @property
    def multiply_adds(self) -> int:
        return sum(call.multiply_adds for call in self.calls)


def installed() -> bool:
    return importlib.util.find_spec("jax_cuda12_plugin") is not None


def devices(count: int = 1) -> Sequence[Any]:
    """H200s; `NotImplementedError` where the wheels are missing or do not load."""
    options = {"target_config": TARGET.read_text(), "topology": f"1x1x{count}"}
    return topologies.get_topology_desc(platform="cuda", **options).devices


def compile_for(
    sharding: Any, fun: Callable[..., Any], shapes: Sequence[Ints], dtype: str
) -> Program:
    structs = [jax.ShapeDtypeStruct(s, dtype, sharding=sharding) for s in shapes]
    with jax.enable_x64(dtype == "float64"):
        compiled = jax.jit(fun).lower(*structs).compile(OPTIONS)
    text = compiled.as_text()
    temporary = compiled.memory_analysis().temp_size_in_bytes
    return Program(tuple(calls(text)), temporary, text)


_INSTRUCTION = re.compile(r"%?([\w.\-]+) = (\(.*?\)|\S+) [\w\-]+\((.*?)\)[,\s]")
_SHAPE = re.compile(r"(\w+)\[([\d,]*)\]")


def calls(text: str) -> list[Call]:
    shapes: dict[str, str] = {}
    found: list[Call] = []
    for line in text.splitlines():
        match = _INSTRUCTION.search(line)
        if match is None:
            continue
        name, shape, operands = match.groups()
        shapes[name] = shape
        target = re.search(r'custom_call_target="__cudnn\$(\w+)"', line)
        if target is None:
            continue
        names = [part.split()[-1].lstrip("%") for part in operands.split(",")][:2]
        dtype, result = _shape(shape)
        window = re.search(r"window={(.*?)}", line)
        groups = re.search(r"feature_group_count=(\d+)", line)
        labels = re.search(r"dim_labels=\w+_(\w+)->", line)
        assert labels is not None
        found.append(
            Call(
                target[1],
                dtype,
                result,
                (_shape(shapes[names[0]])[1], _shape(shapes[names[1]])[1]),
                window[1] if window else "",
                int(groups[1]) if groups else 1,
                labels[1].index("o"),
            )
        )
    return found


def _shape(text: str) -> tuple[str, Ints]:
    match = _SHAPE.search(text)
    assert match is not None
    dtype, sizes = match.groups()
    return dtype, tuple(map(int, filter(None, sizes.split(","))))
