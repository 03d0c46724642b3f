"""`python -m benchmarks.deform`: deformable convolution against torchvision's.

Each peer runs in a process of its own, and they take turns.  Beside torchvision stands
the product alone: the matrix product of the same size that remains when nothing has
to be sampled, a floor.  `--torchvision` names another interpreter to run torchvision
in, where it is not installed beside JAX.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.driver import difference, statistic

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PEERS = ("jaxconv", "jaxconv columns", "product", "torchvision")
ROLES = ("forward", "gradients")
# Batch, channels in and out, size; kernel 3x3, padding 1, mask, bias, float32.
SHAPES = ((1, 64, 56), (4, 128, 28), (1, 256, 64))
ROUNDS, ROUND_S = 7, 0.05
TOLERANCE = 1e-3  # of the root mean square; the tests compare in float64, far closer

Operands = dict[str, np.ndarray]


def operands(n: int, c: int, size: int) -> Operands:
    """Normal offsets of one pixel: most samples stay near, some leave the image."""
    rng = np.random.default_rng(0)
    shapes = {
        "x": (n, c, size, size),
        "offset": (n, 18, size, size),
        "kernel": (c, c, 3, 3),
        "bias": (c,),
        "mask": (n, 9, size, size),
    }
    return {k: rng.standard_normal(s).astype(np.float32) for k, s in shapes.items()}


# A worker -----------------------------------------------------------------------------


def build_jax(peer: str, role: str, v: Operands) -> Callable[[], Any]:
    import jax
    import jax.numpy as jnp

    if peer == "product":
        n, c = v["x"].shape[:2]
        columns = np.tile(v["x"].reshape(n, c, -1).transpose(0, 2, 1), (1, 1, 9))
        a, b = columns.reshape(-1, 9 * c), v["kernel"].reshape(c, -1).T
        run, given = jax.jit(jnp.matmul), (jnp.asarray(a), jnp.asarray(b))
    else:
        from jaxconv._deform import deform_conv

        named = "columns" if peer.endswith("columns") else None

        def forward(v: Any) -> Any:
            return deform_conv(
                *(v[k] for k in ("x", "offset", "kernel", "bias")),
                mask=v["mask"],
                padding=1,
                implementation=named,
            )

        def gradients(v: Any) -> Any:
            y, back = jax.vjp(forward, v)
            return y, back(v["x"])[0]  # x has the shape of y

        run = jax.jit(forward if role == "forward" else gradients)
        given = ({k: jnp.asarray(a) for k, a in v.items()},)
    return lambda: jax.block_until_ready(run(*given))


def build_torch(role: str, v: Operands) -> Callable[[], Any]:
    import torch
    from torchvision.ops import deform_conv2d

    t = {k: torch.tensor(a, requires_grad=True) for k, a in v.items()}

    def forward() -> Any:
        return deform_conv2d(
            t["x"], t["offset"], t["kernel"], t["bias"], padding=1, mask=t["mask"]
        )

    def gradients() -> Any:
        y = forward()
        found = torch.autograd.grad(y, list(t.values()), t["x"].detach())
        return y, dict(zip(t, found, strict=True))

    def without() -> Any:
        with torch.no_grad():
            return forward()

    return without if role == "forward" else gradients


def arrays(result: Any) -> list[np.ndarray]:
    if not isinstance(result, tuple):
        return [_numpy(result)]
    y, gradients = result
    return [_numpy(y), *(_numpy(gradients[k]) for k in sorted(gradients))]


def _numpy(a: Any) -> np.ndarray:
    return a.detach().numpy() if hasattr(a, "detach") else np.asarray(a)


def describe(peer: str) -> dict[str, str]:
    if peer == "torchvision":
        import torch
        import torchvision

        return {"torch": torch.__version__, "torchvision": torchvision.__version__}
    import jax
    import jaxlib

    device = jax.devices()[0]
    return {
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
        "device": "cpu" if device.platform == "cpu" else device.device_kind,
    }


def work(peer: str, cores: int) -> None:
    """Answers lines of JSON on stdin until it ends."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    run: Callable[[], Any] = dict
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["do"] == "describe":
            answer: dict[str, Any] = describe(peer)
        elif asked["do"] == "build":
            v = operands(*asked["shape"])
            torch = peer == "torchvision"
            role = asked["role"]
            run = build_torch(role, v) if torch else build_jax(peer, role, v)
            np.savez(asked["path"], *arrays(run()))
            answer = {}
        else:
            answer = {"seconds": least(run)}
        print(json.dumps(answer), flush=True)


def least(run: Callable[[], Any]) -> float:
    """The quickest of a turn's runs; the first one is not counted if there are more."""
    best, end = float("inf"), time.perf_counter() + ROUND_S
    run()
    while True:
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
        if time.perf_counter() > end:
            return best


# The driver ---------------------------------------------------------------------------


class Worker:
    def __init__(self, peer: str, python: str, cores: int) -> None:
        arguments = ["-m", "benchmarks.deform", "--worker", peer, "--cores", str(cores)]
        environment = {"JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": str(cores)}
        self.process = subprocess.Popen(
            [python, *arguments],
            cwd=ROOT,
            env=environment | os.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(request), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a worker died with status {self.process.wait()}")
        return json.loads(line)

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def measure(
    shape: tuple[int, int, int], role: str, workers: dict[str, Worker]
) -> dict[str, Any]:
    """Values first, then the peers take turns."""
    values: dict[str, list[np.ndarray]] = {}
    peers: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for peer, worker in workers.items():
            path = f"{folder}/{peer}.npz"
            worker.ask(do="build", shape=shape, role=role, path=path)
            with np.load(path) as saved:
                values[peer] = list(saved.values())
    for peer in workers:
        peers[peer] = {}
        if peer != "product" and peer != "jaxconv":
            off = max(map(difference, values["jaxconv"], values[peer]))
            if off > TOLERANCE:
                raise RuntimeError(f"{peer} and jaxconv differ by {off:.1e}")
            peers[peer]["difference"] = off
    samples: dict[str, list[float]] = {peer: [] for peer in workers}
    for _ in range(ROUNDS):
        for peer, worker in workers.items():
            samples[peer].append(worker.ask(do="run")["seconds"])
    for peer, seconds in samples.items():
        peers[peer] |= statistic(seconds)
    return {"shape": shape, "role": role, "peers": peers}


def main(argv: list[str] | None = None) -> int:
    options = _parse(argv)
    if options.worker:
        work(options.worker, options.cores)
        return 0
    pythons = {"torchvision": options.torchvision or sys.executable}
    left_out = ["torchvision"] if options.torchvision == "" else []
    workers = {
        peer: Worker(peer, pythons.get(peer, sys.executable), options.cores)
        for peer in PEERS
        if peer not in left_out
    }
    try:
        versions = {"python": platform.python_version()}
        for worker in workers.values():
            versions |= worker.ask(do="describe")
        cells: list[dict[str, Any]] = []
        for shape in SHAPES:
            for role in ROLES:
                chosen = {
                    peer: worker
                    for peer, worker in workers.items()
                    if peer != "product" or role == "forward"
                }
                cells.append(measure(shape, role, chosen))
                _print(cells[-1])
    finally:
        for worker in workers.values():
            worker.stop()
    name = versions.pop("device")
    result = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "device": {"name": _cpu() if name == "cpu" else name, "cores": options.cores},
        "versions": versions,
        "dtype": "float32",
        "cells": cells,
    }
    path = options.json or RESULTS / _file_name(result)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"Written: {path}")
    return 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.deform", description=__doc__)
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", type=Path, metavar="PATH", help="the result file")
    parser.add_argument(
        "--torchvision", metavar="PYTHON", help='its interpreter; "" to leave it out'
    )
    parser.add_argument("--worker", choices=PEERS, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def _print(cell: dict[str, Any]) -> None:
    times = (f"{p} {v['min_s'] * 1e3:.2f} ms" for p, v in cell["peers"].items())
    print(f"{cell['shape']}, {cell['role']}: {', '.join(times)}", flush=True)


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    found = info.exists() and re.search(r"model name\s*: (.*)", info.read_text())
    return found[1] if found else platform.processor() or platform.machine()


def _file_name(result: dict[str, Any]) -> str:
    device = re.sub(r"[^a-z0-9]+", "-", result["device"]["name"].lower()).strip("-")
    cores, jax = result["device"]["cores"], result["versions"]["jax"]
    return f"deform-{device}-{cores}core-jax{jax}-{result['date']}.json"


if __name__ == "__main__":
    sys.exit(main())
