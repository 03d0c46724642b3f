"""`python -m benchmarks.models`: whole models, plain and accelerated, side by side."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.driver import (
    LONG_S,
    ROOT,
    Handle,
    Limits,
    WorkerError,
    _take_turns,
    statistic,
)
from benchmarks.models import MODELS
from benchmarks.models.report import markdown
from benchmarks.models.worker import TASKS, WAYS
from benchmarks.run import RESULTS, _file_name, _head

WORKER = [sys.executable, "-m", "benchmarks.models.worker"]
TOLERANCE = 1e-2  # of the values' norm: float32, through the whole depth and back


class ModelHandle(Handle):
    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*WORKER, self.peer, str(self.cores)],
            cwd=ROOT,
            env={"JAX_PLATFORMS": "cpu"} | os.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )


def main(argv: list[str] | None = None) -> int:
    options = _parse(argv)
    tasks = [
        (name, task)
        for name in _present()
        for task in TASKS
        if re.search(options.only or "", f"{name}, {task}")
    ]
    if not tasks:
        print(f"no installed model matches {options.only!r}", file=sys.stderr)
        return 2
    handles = {way: ModelHandle(way, options.cores) for way in WAYS}
    try:
        result = _head(handles, options.cores) | {"batch": 4, "cells": []}
        for name, task in tasks:
            print(f"{name}, {task}", file=sys.stderr, flush=True)
            result["cells"].append(_measure(name, task, handles, options))
            _write(result, options)  # a long run that is stopped keeps its cells
    except WorkerError as error:
        print(f"a worker does not start: {error}", file=sys.stderr)
        return 1
    finally:
        for handle in handles.values():
            handle.stop()
    print(markdown(result))
    peers = [entry for cell in result["cells"] for entry in cell["peers"].values()]
    return 1 if any("error" in entry for entry in peers) else 0


def _present() -> list[str]:
    """The models of those libraries that are installed."""
    names = [n for n, e in MODELS.items() if importlib.util.find_spec(e.library)]
    for name in MODELS.keys() - set(names):
        print(f"{name} is left out: {MODELS[name].library} is not installed")
    return names


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.models", description=__doc__)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    parser.add_argument(
        "--only",
        metavar="REGEX",
        help="only what is found in 'name, task'; the tasks are " + " and ".join(TASKS),
    )
    parser.add_argument("--small", action="store_true", help="the sizes of the tests")
    parser.add_argument("--cores", type=int, choices=range(1, cores + 1), default=cores)
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="for the rounds of one cell (20)"
    )
    parser.add_argument(
        "--limit",
        type=float,
        default=600.0,
        help="seconds that compiling and the first run may take (600)",
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="the result file")
    return parser.parse_args(argv)


def _write(result: dict[str, Any], options: argparse.Namespace) -> None:
    partial = options.only or options.small
    path = options.json or (
        None if partial else RESULTS / f"models-{_file_name(result)}"
    )
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n")


def _measure(
    name: str,
    task: str,
    handles: dict[str, ModelHandle],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Values first, then the ways take turns; inference has nothing to be inside of."""
    ways = WAYS if task == "training step" else ("plain", "outside")
    entry = MODELS[name]
    limits = Limits(cell_s=options.seconds, build_s=options.limit)
    peers: dict[str, dict[str, Any]] = {}
    samples: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for way in ways:
            path = Path(folder) / f"{way}.npy"
            request = {"model": name, "task": task, "small": options.small}
            try:
                peers[way] = handles[way].ask(
                    "build", limits.build_s, path=str(path), **request
                )
            except WorkerError as error:
                peers[way] = {"error": str(error)}
                continue
            reference = Path(folder) / "plain.npy"
            if way != "plain" and reference.exists():
                apart = difference(np.load(path), np.load(reference))
                peers[way]["difference"] = apart
                if not apart < TOLERANCE:
                    peers[way] = {"error": f"wrong values: {apart:.1e} off"}
                    continue
            first_s = peers[way]["first_s"]
            samples[way] = [first_s] if first_s > LONG_S else []
    _take_turns(samples, peers, {way: handles[way] for way in samples}, limits)
    for way, seconds in samples.items():
        peers[way] |= statistic(seconds)
    sizes = entry.small if options.small else entry.real
    return {
        "model": name,
        "library": entry.library,
        "sizes": dict(sizes),
        "task": task,
        "peers": peers,
    }


def difference(got: np.ndarray, wanted: np.ndarray) -> float:
    """The norm of the difference, in units of the wanted values' norm."""
    return float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))


if __name__ == "__main__":
    sys.exit(main())
