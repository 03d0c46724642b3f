"""`python -m benchmarks.hardware.compile`: every workload, for devices not there.

Each role of each workload, ours and lax's, compiled for an H200 (float32, and bfloat16
where the workload says so) and for TPUs (bfloat16).  Needs the compilers' wheels; those
that are not installed are left out.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from benchmarks.hardware import gpu, tpu
from benchmarks.peers import jaxconv_cell, lax_cell
from benchmarks.table import WORKLOADS
from benchmarks.workloads import ROLES, Workload

RESULTS = Path(__file__).parents[1] / "results"
PACKAGES = ("jax", "jaxlib", "jax-cuda12-plugin", "libtpu")
CELLS: dict[str, Callable[[Workload, str], Any]] = {
    "jaxconv": jaxconv_cell,
    "lax": lax_cell,
}


def main(argv: list[str] | None = None) -> int:
    options = _parse(argv)
    jax.config.update("jax_platforms", "cpu")  # else CUDA is looked for, in vain
    compilers = _compilers(options.targets)
    if not compilers:
        print("none of the compilers is installed", file=sys.stderr)
        return 1
    path = options.json or RESULTS / _file_name()
    result = json.loads(path.read_text()) if path.exists() else _head()
    done = {(c["target"], c["workload"], c["role"]) for c in result["cells"]}
    for workload in WORKLOADS:
        for role in ROLES:
            name = f"{workload.name}, {role}"
            if options.only and not re.search(options.only, name):
                continue
            for target, describe in compilers.items():
                if (target, workload.name, role) not in done:
                    cell = describe(workload, role)
                    result["cells"] += [cell] if cell else []
                    path.write_text(json.dumps(result, indent=1) + "\n")
            print(name, flush=True)
    print(f"Written: {path}")
    return 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks.hardware.compile", description=__doc__
    )
    parser.add_argument("--only", metavar="REGEX", help="found in 'name, role'")
    targets = ("h200", *tpu.TOPOLOGIES)
    parser.add_argument(
        "--targets", nargs="+", choices=targets, default=targets, metavar="NAME"
    )
    parser.add_argument(
        "--json", type=Path, help="the result file; cells in it already are kept"
    )
    return parser.parse_args(argv)


def _head() -> dict[str, Any]:
    versions: dict[str, str] = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return {"date": today, "versions": versions, "cells": []}


def _file_name() -> str:
    head = _head()
    return f"hardware-jax{head['versions']['jax']}-{head['date']}.json"


def _compilers(
    targets: list[str],
) -> dict[str, Callable[[Workload, str], dict[str, Any] | None]]:
    found: dict[str, Callable[[Workload, str], dict[str, Any] | None]] = {}
    if "h200" in targets:
        try:
            where = jax.sharding.SingleDeviceSharding(gpu.devices()[0])
            found["h200"] = lambda workload, role: _gpu_cell(where, workload, role)
        except NotImplementedError as error:
            print(f"left out: h200, {error}")
    for name in tpu.TOPOLOGIES:
        if name in targets and tpu.installed():
            there = jax.sharding.SingleDeviceSharding(tpu.devices(name)[0])
            found[name] = lambda workload, role, name=name, there=there: _tpu_cell(
                name, there, workload, role
            )
    return found


def _gpu_cell(where: Any, workload: Workload, role: str) -> dict[str, Any]:
    programs = {
        peer: gpu.compile_for(
            where,
            cell(workload, role),
            [*workload.shapes.values()],
            workload.dtype,
        )
        for peer, cell in CELLS.items()
    }
    entries = {
        peer: {
            "calls": [call.kind for call in program.calls],
            "windows": [call.window for call in program.calls],
            "dtypes": [call.dtype for call in program.calls],
            "product": "__cublas" in program.text,
            "multiply_adds": program.multiply_adds,
            "temporary_bytes": program.temporary,
        }
        for peer, program in programs.items()
    }
    return _cell("h200", workload, role, entries)


def _tpu_cell(
    target: str, where: Any, workload: Workload, role: str
) -> dict[str, Any] | None:
    if workload.dtype == "float64":  # which TPUs do not have
        return None
    shapes = [*workload.shapes.values()]
    programs = {
        peer: tpu.compile_for(where, cell(workload, role), shapes, "bfloat16")
        for peer, cell in CELLS.items()
    }
    entries = {
        peer: {
            "cycles": program.cycles,
            "uncounted_bytes": program.uncounted,
            "emitters": list(program.emitters),
            "temporary_bytes": program.temporary,
        }
        for peer, program in programs.items()
    }
    return _cell(target, workload, role, entries)


def _cell(
    target: str, workload: Workload, role: str, peers: dict[str, Any]
) -> dict[str, Any]:
    name = workload.name
    return {"target": target, "workload": name, "role": role, "peers": peers}


if __name__ == "__main__":
    sys.exit(main())
