"""`python -m benchmarks.hardware.measure`: times ours against lax on a GPU or TPU.

Every workload in float32, in float32 with the matrix unit's short products (TF32 on a
GPU), and in bfloat16.  Values are compared with those of lax in full float32 first.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import os
import re
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.driver import difference, tolerance
from benchmarks.hardware.compile import CELLS, RESULTS
from benchmarks.table import WORKLOADS
from benchmarks.workloads import ROLES, Workload

MODES = {
    "float32": ("float32", "highest"),
    "tf32": ("float32", "default"),
    "bfloat16": ("bfloat16", "default"),
}
SHORT = 0.04  # over the root mean square: what 8 or 10 bits of a factor leave
ROUNDS = 15
ROUND_S = 0.02  # so many calls are put in a queue as take this long


def main(argv: list[str] | None = None) -> int:
    options = _parse(argv)
    device = jax.devices()[0]
    if device.platform == "cpu" and not options.cpu:
        print("there is no GPU or TPU here (JAX_PLATFORMS?)", file=sys.stderr)
        return 1
    result = _head(device)
    for workload in WORKLOADS:
        for role in ROLES:
            name = f"{workload.name}, {role}"
            if options.only and not re.search(options.only, name):
                continue
            for mode in options.modes if workload.dtype == "float32" else ("float32",):
                cell = measure(workload, role, mode)
                result["cells"].append(cell)
                print(name, mode, _line(cell), flush=True)
    path = options.json or RESULTS / _file_name(result)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"Written: {path}")
    return 1 if any("error" in str(cell["peers"]) for cell in result["cells"]) else 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks.hardware.measure", description=__doc__
    )
    parser.add_argument("--only", metavar="REGEX", help="found in 'name, role'")
    parser.add_argument("--modes", nargs="+", choices=tuple(MODES), default=list(MODES))
    parser.add_argument("--cpu", action="store_true", help="try it out on a CPU")
    parser.add_argument("--json", type=Path)
    return parser.parse_args(argv)


def _head(device: Any) -> dict[str, Any]:
    packages = ("jax", "jaxlib", "jaxconv")
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "device": {"name": device.device_kind, "platform": device.platform},
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "cells": [],
    }


def _file_name(result: dict[str, Any]) -> str:
    device = re.sub(r"[^a-z0-9]+", "-", result["device"]["name"].lower()).strip("-")
    return f"{device}-jax{result['versions']['jax']}-{result['date']}.json"


def measure(workload: Workload, role: str, mode: str) -> dict[str, Any]:
    """Both peers' least and median seconds, or what went wrong."""
    name, precision = MODES[mode]
    dtype = name if workload.dtype == "float32" else workload.dtype
    wide = jax.enable_x64(True) if dtype == "float64" else contextlib.nullcontext()
    peers: dict[str, dict[str, Any]] = {}
    with wide:
        arrays = [jnp.asarray(v, dtype) for v in workload.arrays().values()]
        wanted = _wanted(workload, role, arrays)
        calls: dict[str, Callable[[], Any]] = {}
        for peer, cell in CELLS.items():
            try:
                with jax.default_matmul_precision(precision):
                    lowered = jax.jit(cell(workload, role)).lower(*arrays)
                compiled = lowered.compile()
                values = np.asarray(compiled(*arrays)).astype(np.float64)
            except Exception as error:  # noted; the other peer and cells go on
                peers[peer] = {"error": f"{type(error).__name__}: {error}"[:200]}
                continue
            off = difference(values, wanted)
            memory = compiled.memory_analysis()
            temporary = None if memory is None else memory.temp_size_in_bytes
            peers[peer] = {"difference": off, "temporary_bytes": temporary}
            limit = tolerance(workload, role) + (0 if mode == "float32" else SHORT)
            if off > limit:
                peers[peer] = {"error": f"wrong values: {off:.1e} off"}
                continue
            calls[peer] = lambda compiled=compiled: compiled(*arrays)
        for peer, seconds in _take_turns(calls).items():
            median = statistics.median(seconds)
            peers[peer] |= {"min_s": min(seconds), "median_s": median}
    arguments = {"workload": workload.name, "role": role, "mode": mode}
    return arguments | {"dtype": dtype, "peers": peers}


def _wanted(workload: Workload, role: str, arrays: list[Any]) -> np.ndarray:
    """lax's values with exact products of the operands as they are."""
    if workload.dtype != "float64":
        arrays = [v.astype(jnp.float32) for v in arrays]
    with jax.default_matmul_precision("highest"):
        values = jax.jit(CELLS["lax"](workload, role))(*arrays)
    return np.asarray(values).astype(np.float64)


def _take_turns(calls: dict[str, Callable[[], Any]]) -> dict[str, list[float]]:
    """Seconds of one call, round by round; a round waits for the last of its calls."""
    times: dict[str, int] = {}
    for peer, call in calls.items():
        started = time.perf_counter()
        jax.block_until_ready(call())
        took = time.perf_counter() - started
        times[peer] = max(1, min(200, round(ROUND_S / took)))
    samples: dict[str, list[float]] = {peer: [] for peer in calls}
    for _ in range(ROUNDS):
        for peer, call in calls.items():
            started = time.perf_counter()
            results = [call() for _ in range(times[peer])]
            jax.block_until_ready(results)
            samples[peer].append((time.perf_counter() - started) / times[peer])
    return samples


def _line(cell: dict[str, Any]) -> str:
    ours, lax = cell["peers"].get("jaxconv", {}), cell["peers"].get("lax", {})
    if "min_s" not in ours or "min_s" not in lax:
        return str(cell["peers"])
    times = lax["min_s"] / ours["min_s"]
    return f"{ours['min_s'] * 1e3:.3g} ms, {times:.2f} times as quick as lax"


if __name__ == "__main__":
    sys.exit(main())
