"""`python -m benchmarks.run`: measures jaxconv, plain JAX and PyTorch side by side."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.util
import json
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import lowerings
from benchmarks.driver import Handle, Limits, WorkerError, measure
from benchmarks.peers import PEERS
from benchmarks.screen import show
from benchmarks.summary import BEFORE
from benchmarks.table import WORKLOADS, in_turn
from benchmarks.workloads import ROLES, TITLES, Workload

RESULTS = Path(__file__).parent / "results"
DEFAULT_MINUTES = 5.0
START_S = 120.0  # importing a peer on a busy machine
LONGEST_CELL_S = 3.0

Task = tuple[Workload, str]


def main(argv: list[str] | None = None) -> int:
    options = _parse(argv)
    if options.all_lowerings:
        return _all_lowerings(options)
    handles = {peer: Handle(peer, options.cores) for peer in _present(options.peers)}
    if options.before:
        handles[BEFORE] = Handle("jaxconv", options.cores, options.before)
    tasks, left_out = _tasks(options.only, options.full)
    if not tasks:
        print(f"no workload matches {options.only!r}", file=sys.stderr)
        return 2
    try:
        result = _head(handles, options.cores)
        cells, late = _measure_all(tasks, handles, options)
    except WorkerError as error:
        print(f"a peer does not start: {error}", file=sys.stderr)
        return 1
    finally:
        for handle in handles.values():
            handle.stop()
    order = [w.name for w in WORKLOADS]
    cells.sort(key=lambda c: (order.index(c["workload"]), ROLES.index(c["role"])))
    result |= {"cells": cells, "left_out": left_out + late}
    show(result)
    path = options.json or (None if options.only else RESULTS / _file_name(result))
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n")
        print(f"\nWritten: {path}")
    failed = any("error" in cell["peers"].get("jaxconv", {}) for cell in cells)
    return 1 if failed else 0


def _all_lowerings(options: argparse.Namespace) -> int:
    handles = {"lowerings": Handle("lowerings", options.cores)}
    if "torch" in _present(options.peers):
        handles["torch"] = Handle("torch", options.cores)
    try:
        head = _head(handles, options.cores)
        head["device"]["features"] = lowerings.features()
        path = options.json or RESULTS / f"{lowerings.KIND}-{_file_name(head)}"
        minutes = float("inf") if options.minutes is None else options.minutes
        result = lowerings.measure_all(path, head, handles, options.only, minutes)
    except WorkerError as error:
        print(f"a peer does not start: {error}", file=sys.stderr)
        return 1
    finally:
        for handle in handles.values():
            handle.stop()
    print(f"\n{len(result['cells'])} cells: {path}")
    return 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.run", description=__doc__)
    available = (
        len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="every workload, cells that take plain JAX over 5 s too; no time limit",
    )
    parser.add_argument(
        "--all-lowerings",
        action="store_true",
        help="every lowering of these workloads and of further layers, for the plan; "
        "goes on with the result file where one is there",
    )
    parser.add_argument(
        "--only",
        metavar="REGEX",
        help="only what is found in 'name, role', from all workloads; the roles are "
        f"{', '.join(ROLES)}",
    )
    parser.add_argument(
        "--before",
        type=Path,
        metavar="CHECKOUT",
        help="measure the jaxconv of another checkout too, with its own workloads",
    )
    parser.add_argument("--peers", type=_peers, default=PEERS, help=",".join(PEERS))
    parser.add_argument(
        "--cores", type=int, choices=range(1, available + 1), default=available
    )
    parser.add_argument(
        "--json",
        type=Path,
        metavar="PATH",
        help="the result file; by default one in benchmarks/results/, with --only none",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        help=f"start no cell after that ({DEFAULT_MINUTES:.0f}, with --full unlimited)",
    )
    return parser.parse_args(argv)


def _peers(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    unknown = sorted(set(names) - set(PEERS))
    if unknown:
        raise argparse.ArgumentTypeError(f"no peer {unknown[0]!r}: {', '.join(PEERS)}")
    return names


def _present(peers: tuple[str, ...]) -> list[str]:
    """Without PyTorch where it is not installed, or where JAX is not on the CPU."""
    names = list(peers)
    if "torch" in names and importlib.util.find_spec("torch") is None:
        print("PyTorch is not installed: measured without it")
        names.remove("torch")
    elif "torch" in names and os.environ.get("JAX_PLATFORMS", "cpu") != "cpu":
        print("PyTorch is measured on the CPU only: left out")
        names.remove("torch")
    return names


def _left(task: Task, reason: str) -> dict[str, str]:
    return {"workload": task[0].name, "role": task[1], "reason": reason}


def _tasks(only: str | None, full: bool) -> tuple[list[Task], list[dict[str, str]]]:
    """The cells to measure, and those left out as plain JAX is too slow for them."""
    tasks, left_out = [], []
    for workload in in_turn(WORKLOADS):
        if not (full or only or workload.default):
            continue
        for role in ROLES:
            name = f"{workload.name}, {role}"
            if only and not re.search(only, name):
                continue
            if role in workload.slow and not full:
                left_out.append(_left((workload, role), "lax takes over 5 s"))
            else:
                tasks.append((workload, role))
    return tasks, left_out


def _head(handles: dict[str, Handle], cores: int) -> dict[str, Any]:
    """Date, device and versions, as the workers report them."""
    versions = {"python": platform.python_version()}
    name = _cpu_name()
    for handle in handles.values():
        told = handle.ask("describe", START_S)
        versions |= told["versions"]
        if told.get("platform", "cpu") != "cpu":
            name = told["device_kind"]
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "device": {"name": name, "cores": cores, "system": platform.system()},
        "versions": versions,
    }


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
        if found:
            return found[1]
    return platform.processor() or platform.machine()


def _measure_all(
    tasks: list[Task], handles: dict[str, Handle], options: argparse.Namespace
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """The measured cells, and those that the time did not suffice for."""
    minutes = options.minutes
    if minutes is None:
        minutes = float("inf") if options.full else DEFAULT_MINUTES
    end = time.monotonic() + 60 * minutes
    cells: list[dict[str, Any]] = []
    with (
        contextlib.suppress(KeyboardInterrupt),
        tempfile.TemporaryDirectory() as folder,
        _progress(len(tasks)) as advance,
    ):
        for workload, role in tasks:
            left = end - time.monotonic()
            if left <= 0 and cells:
                break
            advance(f"{workload.name}, {TITLES[role]}")
            # Half of what is left is for compiling and checking.
            share = min(LONGEST_CELL_S, max(0.0, left) / 2 / (len(tasks) - len(cells)))
            limits = Limits(cell_s=share, build_s=600.0 if options.full else 120.0)
            cells.append(measure(workload, role, handles, Path(folder), limits))
    return cells, [_left(task, "out of time") for task in tasks[len(cells) :]]


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Any]:
    """A function that names the next cell: rich's bar, or lines without rich."""
    try:
        from rich.progress import Progress
    except ImportError:
        count = iter(range(1, total + 1))
        yield lambda name: print(f"[{next(count)}/{total}] {name}", flush=True)
        return
    with Progress(transient=True) as bar:
        task = bar.add_task("", total=total)
        started: list[str] = []

        def advance(name: str) -> None:
            bar.update(task, description=name, completed=len(started))
            started.append(name)

        yield advance


def _file_name(result: dict[str, Any]) -> str:
    device = re.sub(r"[^a-z0-9]+", "-", result["device"]["name"].lower()).strip("-")
    cores, version = result["device"]["cores"], result["versions"].get("jax", "none")
    return f"{device}-{cores}core-jax{version}-{result['date']}.json"


if __name__ == "__main__":
    sys.exit(main())
