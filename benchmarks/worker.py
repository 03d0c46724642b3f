"""One peer in a process of its own, driven by lines of JSON over its pipes.

XLA's and PyTorch's thread pools slow each other down several times in one process.  A
worker that has nothing to do is blocked in a read and uses no CPU.
"""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.layers import BY_NAME
from benchmarks.peers import PEERS, Ready, build, forget_peak, resident, to_numpy

BLOCKS = 1 << 16
# OpenMP's threads spin for some milliseconds after a region; let them fall asleep.
SETTLE_S = 0.01


def sketch(result: np.ndarray) -> np.ndarray:
    """At most BLOCKS numbers in which a difference of any element shows.

    Each is the sum of a block of elements with random signs, divided by the square root
    of the block's size, which keeps the scale of one element.
    """
    flat = result.ravel()
    size = math.ceil(flat.size / BLOCKS) or 1
    blocks = math.ceil(flat.size / size)
    signs = np.random.default_rng(blocks).integers(0, 2, blocks * size) * 2 - 1
    padded = np.zeros(blocks * size)
    padded[: flat.size] = flat
    return (padded * signs).reshape(blocks, size).sum(1) / math.sqrt(size)


def describe(peer: str) -> dict[str, Any]:
    """Versions and device; imports the peer."""
    if peer == "torch":
        import torch

        return {"versions": {"torch": torch.__version__}}
    import jax

    names = ["jax", "jaxlib"] + ["jaxconv"] * (peer == "jaxconv")
    device = jax.devices()[0]
    return {
        "versions": {name: importlib.metadata.version(name) for name in names},
        "platform": device.platform,
        "device_kind": device.device_kind,
    }


class Worker:
    """Holds one cell at a time."""

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.ready: Ready | None = None

    def describe(self) -> dict[str, Any]:
        return describe(self.peer)

    def build(self, workload: str, role: str, path: str) -> dict[str, Any]:
        """Lowers, compiles, runs once and writes a sketch of the values to ``path``."""
        self.ready = None
        ready = build(self.peer, BY_NAME[workload], role)
        forget_peak()
        before = resident("VmRSS")
        started = time.perf_counter()
        result = ready.call()
        first_s = time.perf_counter() - started
        peak = resident("VmHWM")
        self.ready = ready
        np.save(path, sketch(to_numpy(result)))
        known = before is not None and peak is not None
        return {
            "first_s": first_s,
            "lower_s": ready.lower_s,
            "compile_s": ready.compile_s,
            "temp_bytes": ready.temp_bytes,
            "resident_bytes": max(peak - before, 0) if known else None,
            "lowering": ready.lowering,
        }

    def run(self, seconds: float, warm: bool) -> dict[str, Any]:
        """Calls the cell for a while, at least once: the quickest call of the round.

        ``warm`` puts a call first that does not count: another peer has had the caches.
        """
        assert self.ready is not None
        call = self.ready.call
        if warm:
            call()
        best = math.inf
        end = time.perf_counter() + seconds
        while True:
            started = time.perf_counter()
            call()
            now = time.perf_counter()
            best = min(best, now - started)
            if now >= end:
                return {"seconds": best}


def configure(peer: str, cores: int) -> None:
    """The same cores for every peer, before the peer starts its threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    if peer == "torch":
        import torch

        torch.set_num_threads(cores)


def _worker(peer: str) -> Any:
    if peer != "lowerings":
        return Worker(peer)
    from benchmarks.lowerings_worker import Lowerings

    return Lowerings()


def serve(make: Callable[[str], Any], names: Sequence[str]) -> None:
    """Answers requests until the driver closes the pipe, by the methods of a worker.

    The process' arguments are the worker's name, one of ``names``, and its cores.
    """
    name, cores = sys.argv[1], int(sys.argv[2])
    assert name in names
    # Answers have a pipe of their own: libraries may print.
    with os.fdopen(os.dup(1), "w", buffering=1) as answers:
        os.dup2(2, 1)
        configure(name, cores)
        worker = make(name)
        for line in sys.stdin:
            request = json.loads(line)
            method = getattr(worker, request.pop("do"))
            try:
                answer = method(**request)
            except Exception as error:  # told to the driver, which goes on
                first, *_ = str(error).splitlines() or [""]
                answer = {"error": f"{type(error).__name__}: {first[:100]}"}
            time.sleep(SETTLE_S)
            answers.write(json.dumps(answer) + "\n")


def main() -> None:
    serve(_worker, (*PEERS, "lowerings"))


if __name__ == "__main__":
    main()
