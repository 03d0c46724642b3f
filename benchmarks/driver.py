"""Handles on the workers, and the measurement of one cell with all of them in turn."""

from __future__ import annotations

import json
import os
import selectors
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.workloads import Workload

ROOT = Path(__file__).resolve().parent.parent
LONG_S = 2.0  # a run that takes longer is repeated once
VERY_LONG_S = 5.0  # and this one is not
ROUNDS = (5, 25)  # at least, at most
ROUND_S = 0.04  # how long a peer's turn lasts, if one run is shorter
WARM_S = 0.05  # a quicker run is preceded by one that does not count


class Limits(NamedTuple):
    cell_s: float  # further rounds are made while less time has been spent
    build_s: float  # a worker that takes longer to compile and run once is stopped


class WorkerError(Exception):
    pass


class Handle:
    """A worker process; started again if it dies or has to be stopped."""

    def __init__(self, peer: str, cores: int, checkout: Path = ROOT) -> None:
        self.peer, self.cores, self.checkout = peer, cores, checkout
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {"JAX_PLATFORMS": "cpu"} | os.environ
        return subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", self.peer, str(self.cores)],
            cwd=self.checkout,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def ask(self, do: str, timeout: float, **arguments: Any) -> dict[str, Any]:
        """One request and its answer; `WorkerError` if it fails, dies or is late."""
        if self._process is None:
            self._process = self._start()
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps({"do": do} | arguments).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise self._lost() from None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if not selector.select(timeout):
                self.stop()
                raise WorkerError(f"no answer within {timeout:.0f} s, stopped")
        line = process.stdout.readline()
        if not line:
            raise self._lost()
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def _lost(self) -> WorkerError:
        status = self._process.wait() if self._process else None
        self.stop()
        return WorkerError(f"the process died with status {status}")

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        self._process.communicate()
        self._process = None


def difference(got: np.ndarray, wanted: np.ndarray) -> float:
    """Largest difference, in units of the wanted values' root mean square."""
    if got.shape != wanted.shape:
        return float("inf")
    scale = float(np.sqrt(np.mean(wanted**2)))
    largest = float(np.max(np.abs(got - wanted)))
    return largest / scale if np.isfinite(largest) else float("inf")


def tolerance(workload: Workload, role: str) -> float:
    """Rounding of float32 sums, growing with the square root of their terms.

    A bfloat16 result is rounded once more, and half a unit of its largest elements is
    several percent of the root mean square.
    """
    summed = 32 * float(np.finfo(np.float32).eps) * workload.terms(role) ** 0.5
    return summed + (0.04 if workload.dtype == "bfloat16" else 0.0)


def measure(
    workload: Workload,
    role: str,
    handles: dict[str, Handle],
    folder: Path,
    limits: Limits,
) -> dict[str, Any]:
    """One cell: each peer's values are checked first, then the peers take turns."""
    peers: dict[str, dict[str, Any]] = {}
    samples: dict[str, list[float]] = {}
    reference: np.ndarray | None = None
    for peer in sorted(handles, key=lambda peer: peer != "lax"):  # lax is the reference
        path = folder / f"{peer}.npy"
        try:
            arguments = {"workload": workload.name, "role": role, "path": str(path)}
            entry = handles[peer].ask("build", limits.build_s, **arguments)
        except WorkerError as error:
            peers[peer] = {"error": str(error)}
            continue
        peers[peer] = entry
        values = np.load(path)
        if reference is None:
            reference = values
        else:
            entry["difference"] = difference(values, reference)
            if entry["difference"] > tolerance(workload, role):
                peers[peer] = {"error": f"wrong values: {entry['difference']:.1e} off"}
                continue
        samples[peer] = [entry["first_s"]] if entry["first_s"] > LONG_S else []
    _take_turns(samples, peers, handles, limits)
    for peer, seconds in samples.items():
        peers[peer] |= statistic(seconds)
    return {
        "workload": workload.name,
        "family": workload.family,
        "role": role,
        "arguments": workload.described(),
        "peers": {peer: peers[peer] for peer in handles},
    }


def _take_turns(
    samples: dict[str, list[float]],
    peers: dict[str, dict[str, Any]],
    handles: dict[str, Handle],
    limits: Limits,
) -> None:
    started = time.perf_counter()
    for done in range(ROUNDS[1]):
        for peer in list(samples):
            last_s = (samples[peer] or [peers[peer]["first_s"]])[-1]
            if len(samples[peer]) >= _most_rounds(peers[peer]["first_s"]):
                continue
            warm = last_s < WARM_S
            try:
                turn = handles[peer].ask(
                    "run", limits.build_s, seconds=ROUND_S, warm=warm
                )
            except WorkerError as error:
                peers[peer] = {"error": str(error)}
                del samples[peer]
                continue
            samples[peer].append(turn["seconds"])
        if done + 1 >= ROUNDS[0] and time.perf_counter() - started > limits.cell_s:
            return


def _most_rounds(first_s: float) -> int:
    if first_s > LONG_S:
        return 1 if first_s > VERY_LONG_S else 2
    return ROUNDS[1]


def statistic(seconds: list[float]) -> dict[str, Any]:
    """Spread: the distance of the rounds' quartiles over their median."""
    median = statistics.median(seconds)
    spread = None
    if len(seconds) > 1:
        lower, _, upper = statistics.quantiles(seconds, method="inclusive")
        spread = (upper - lower) / median
    return {
        "min_s": min(seconds),
        "median_s": median,
        "spread": spread,
        "rounds": len(seconds),
    }
