"""`python -m benchmarks.run --all-lowerings`: every way to compute every cell.

A cell is a layer and a role.  Timed are the lowerings that refuse nothing and keep to
the plan's memory limit, plain lax and PyTorch, all in turn; JAX's in one process,
PyTorch in another.  What is far behind after three rounds is not timed any further,
and what does not answer in time is stopped.  Each cell is written as soon as it is
done: a second run goes on where the first one ended, and measures of the cells that
are there only what has come since, beside the best one known.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.driver import Handle, WorkerError, difference, tolerance
from benchmarks.layers import MEASURED
from benchmarks.table import in_turn
from benchmarks.workloads import ROLES, Workload

KIND = "lowerings"
BUILD_S = 12.0  # compiling and running once; whatever takes longer is stopped
ROUNDS = (4, 12)  # at least, at most
CELL_S = 0.45  # further rounds are made while less time has been spent
TURN_S = 0.015
BEHIND = 1.5  # times the best, from which on no more is timed after three rounds
HOPELESS = 6.0  # times the best of the first runs, which then is the only one,
LONG_S = 0.2  # if it took as long as that; PyTorch's first one makes its code first

Cell = dict[str, Any]
# Instructions that decide what a processor's convolutions are made of.
FEATURES = (
    *("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_bf16", "asimd", "sve", "bf16"),
)


def features() -> list[str]:
    """Those of `FEATURES` that Linux says this processor has."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return []
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    flags = set(found[1].split()) if found else set[str]()
    return [name for name in FEATURES if name in flags]


def measure_all(
    path: Path,
    head: dict[str, Any],
    handles: dict[str, Handle],
    only: str | None,
    minutes: float,
) -> dict[str, Any]:
    """Measures what the file does not hold yet, and writes it after every cell."""
    result = json.loads(path.read_text()) if path.exists() else head | {"cells": []}
    known = {(cell["workload"], cell["role"]): cell for cell in result["cells"]}
    end = time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory() as folder:
        for workload in in_turn(MEASURED):
            for role in ROLES:
                if only and not re.search(only, f"{workload.name}, {role}"):
                    continue
                if time.monotonic() > end:
                    return result
                before = known.get((workload.name, role))
                cell = measure(workload, role, handles, Path(folder), before)
                if cell is None:
                    continue
                known[workload.name, role] = cell
                result["cells"] = list(known.values())
                write(path, result)
                print(line(cell), flush=True)
    return result


def write(path: Path, result: dict[str, Any]) -> None:
    """One cell a line, so that a file can be read and compared."""
    head = {key: value for key, value in result.items() if key != "cells"}
    order = {w.name: index for index, w in enumerate(MEASURED)}
    cells = sorted(
        result["cells"],
        key=lambda c: (order.get(c["workload"], -1), ROLES.index(c["role"])),
    )
    text = json.dumps(head, indent=1)[:-2] + ',\n "cells": [\n'
    text += ",\n".join("  " + json.dumps(cell) for cell in cells) + "\n ]\n}\n"
    scratch = path.with_suffix(".part")
    scratch.write_text(text)
    scratch.replace(path)


def line(cell: Cell) -> str:
    ordered = sorted(cell["seconds"].items(), key=lambda pair: pair[1])
    times = ", ".join(f"{name} {1e3 * s:.3g}" for name, s in ordered)
    return f"{cell['workload']}, {cell['role']}: {times} ms; plan: {cell['chosen']}"


class _Cell:
    """The measurement of one cell."""

    def __init__(self, workload: Workload, role: str, handles: dict[str, Handle]):
        self.workload, self.role, self.handles = workload, role, handles
        self.asked = {"workload": workload.name, "role": role}
        self.jax = handles["lowerings"]
        self.least: dict[str, float] = {}  # of what is timed, the least
        self.compile_s: dict[str, float] = {}
        self.not_timed: dict[str, str] = {}

    def build(self, names: list[str]) -> None:
        """Compiles all and runs each once; a stopped process makes its own again."""
        built: list[str] = []
        for name in names:
            try:
                told = self.jax.ask("build", BUILD_S, **self.asked, name=name)
            except WorkerError as error:
                self.not_timed[name] = str(error)
                if not self.jax.running:
                    self._again(built)
                continue
            built.append(name)
            if told["difference"] > tolerance(self.workload, self.role):
                self.not_timed[name] = f"wrong values: {told['difference']:.1e} off"
                continue
            self.least[name] = told["first_s"]
            self.compile_s[name] = told["compile_s"]

    def _again(self, built: list[str]) -> None:
        for name in built:
            self.jax.ask("build", 3 * BUILD_S, **self.asked, name=name)

    def build_torch(self, folder: Path) -> None:
        if "torch" not in self.handles or not self.least:
            return
        ours, theirs = folder / "lowerings.npy", folder / "torch.npy"
        try:
            self.jax.ask("save", BUILD_S, path=str(ours))
            told = self.handles["torch"].ask(
                "build", BUILD_S, **self.asked, path=str(theirs)
            )
        except WorkerError as error:
            self.not_timed["torch"] = str(error)
            return
        off = difference(np.load(theirs), np.load(ours))
        if off > tolerance(self.workload, self.role):
            self.not_timed["torch"] = f"wrong values: {off:.1e} off"
        else:
            self.least["torch"] = told["first_s"]

    def take_turns(self) -> list[str]:
        """Rounds in which all take turns; returns those that ran only once."""
        first = min(self.least.values())
        most = max(LONG_S, HOPELESS * first)
        hopeless = [n for n, s in self.least.items() if n != "torch" and s > most]
        left = [name for name in self.least if name not in hopeless]
        timed = dict.fromkeys(left, float("inf"))
        started = time.perf_counter()
        for done in range(1, ROUNDS[1] + 1):
            for name, seconds in self._turn(left).items():
                timed[name] = min(timed[name], seconds)
            if done >= 3:
                best = min(timed.values())
                left = [name for name in left if timed[name] <= BEHIND * best]
            if done >= ROUNDS[0] and time.perf_counter() - started > CELL_S:
                break
        self.least |= timed
        return hopeless

    def _turn(self, names: list[str]) -> dict[str, float]:
        ours = [name for name in names if name != "torch"]
        found = self.jax.ask("turn", 60 * BUILD_S, names=ours, seconds=TURN_S)
        if "torch" in names:
            warm = self.least["torch"] < 0.05
            told = self.handles["torch"].ask(
                "run", 10 * BUILD_S, seconds=TURN_S, warm=warm
            )
            found["torch"] = told["seconds"]
        return found


def measure(
    workload: Workload,
    role: str,
    handles: dict[str, Handle],
    folder: Path,
    before: Cell | None,
) -> Cell | None:
    """One cell; None where ``before``, what is known of it, holds everything."""
    cell = _Cell(workload, role, handles)
    told = handles["lowerings"].ask("names", 60.0, workload=workload.name, role=role)
    before = before or {"seconds": {}, "compile_s": {}, "not_timed": {}, "once": []}
    seen = {*before["seconds"], *before["not_timed"]}
    names = [name for name in (*told["names"], "lax") if name not in seen]
    if not names and ("torch" in seen or "torch" not in handles):
        return None
    known = [n for n in told["names"] if n in before["seconds"]]
    if known:
        names.insert(0, min(known, key=before["seconds"].__getitem__))
    names.sort(key=lambda name: (name in ("xla", "lax"), name != told["chosen"]))
    cell.build(names)
    if "torch" not in seen:
        cell.build_torch(folder)
    once = cell.take_turns() if cell.least else []
    seconds = dict(before["seconds"])
    for name, s in cell.least.items():
        seconds[name] = float(f"{min(s, seconds.get(name, s)):.4g}")
    compile_s = {name: float(f"{s:.3g}") for name, s in cell.compile_s.items()}
    return {
        "workload": workload.name,
        "family": workload.family,
        "role": role,
        "arguments": workload.described(),
        "chosen": told["chosen"],
        "seconds": seconds,
        "once": [*before["once"], *once],
        "compile_s": before["compile_s"] | compile_s,
        "not_timed": before["not_timed"] | cell.not_timed,
    }
