"""`python -m benchmarks.models.report RESULT.json`: the models' result as Markdown.

With ``--write FILE ...`` the texts replace what stands between each's marker lines:
"models", all of them, and "snippets", the three that the README has code for.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.report import insert, table
from benchmarks.summary import number, setting

SLOWER = 0.95
SHOWN = ("U-Net (Flax)", "DCGAN generator (Equinox)", "MobileNetV2 (Keras)")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="benchmarks.models.report", description=__doc__
    )
    parser.add_argument("result", type=Path, help="a models file of benchmarks/results")
    parser.add_argument("--write", nargs="+", type=Path, metavar="FILE", default=[])
    options = parser.parse_args(argv)
    result = json.loads(options.result.read_text())
    blocks = {"models": markdown(result), "snippets": snippets(result)}
    if not options.write:
        print(*blocks.values(), sep="\n\n")
    for path in options.write:
        page = path.read_text(encoding="utf-8")
        path.write_text(insert(page, blocks), encoding="utf-8")
        print(f"Written: {path}")
    return 0


def snippets(result: dict[str, Any]) -> str:
    """One model of each library that the README has code for, before and after."""
    models = _by_model(result)
    lines = [
        [name, *(_before_and_after(models[name].get(task)) for task in TASKS)]
        for name in SHOWN
        if name in models
    ]
    return (
        f"{table(['milliseconds, before → after', *TASKS], lines)}\n\n{_where(result)}"
    )


TASKS = ("inference", "training step")


def _before_and_after(peers: dict[str, Any] | None) -> str:
    if peers is None:
        return ""
    plain, ours = _seconds(peers, "plain"), _seconds(peers, "outside")
    shown = [number(None if t is None else 1e3 * t) for t in (plain, ours)]
    return f"{' → '.join(shown)} ({number(_ratio(peers, 'outside'), '×')})"


def _where(result: dict[str, Any]) -> str:
    return (
        f"Batch {result['batch']}. The shortest time of all rounds. {setting(result)}."
    )


def markdown(result: dict[str, Any]) -> str:
    """The table, its setting, and what the table hides."""
    head = ["model", "inference", "training step", "first call"]
    tasks = head[1:3]
    lines = [
        [name, *(_cell(cells.get(task)) for task in tasks), _first_call(cells)]
        for name, cells in _by_model(result).items()
    ]
    parts = [
        table(head, lines),
        "How many times quicker `jaxconv.accelerate` makes a model, and in brackets "
        "its milliseconds without and with; of a training step `accelerate(step)` and "
        "after the slash `jax.grad(accelerate(loss))`. First call: seconds to trace "
        f"and compile both, without and with. Batch {result['batch']}, the model's own "
        f"image size, float32, the least time of all rounds. {setting(result)}.",
        *_remarks(result),
    ]
    return "\n\n".join(parts)


def _by_model(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for cell in result["cells"]:
        name = f"{cell['model']} ({cell['library'].capitalize()})"
        found.setdefault(name, {})[cell["task"]] = cell["peers"]
    return found


def _seconds(peers: dict[str, Any], way: str) -> float | None:
    return peers.get(way, {}).get("min_s")


def _ratio(peers: dict[str, Any], way: str) -> float | None:
    plain, ours = _seconds(peers, "plain"), _seconds(peers, way)
    return None if plain is None or ours is None else plain / ours


def _cell(peers: dict[str, Any] | None) -> str:
    if peers is None:
        return ""
    ways = [way for way in ("outside", "inside") if way in peers]
    ratios = " / ".join(number(_ratio(peers, way), "×") for way in ways)
    times = (_seconds(peers, way) for way in ("plain", *ways))
    shown = [number(None if t is None else 1e3 * t) for t in times]
    return f"{ratios} ({shown[0]} → {' / '.join(shown[1:])})"


def _first_call(cells: dict[str, dict[str, Any]]) -> str:
    """Of inference and training step together."""
    sums = []
    for way in ("plain", "outside"):
        entries = [peers.get(way, {}) for peers in cells.values()]
        if any("compile_s" not in entry for entry in entries):
            return "-"
        sums.append(sum(entry["lower_s"] + entry["compile_s"] for entry in entries))
    plain, ours = sums
    return f"{number(ours / plain, '×')} ({number(plain)} → {number(ours)} s)"


def _remarks(result: dict[str, Any]) -> list[str]:
    entries = [
        (cell, way, entry)
        for cell in result["cells"]
        for way, entry in cell["peers"].items()
    ]
    spreads = [e["spread"] for _, _, e in entries if e.get("spread") is not None]
    apart = [e["difference"] for _, _, e in entries if e.get("difference") is not None]
    said = []
    if spreads and apart:
        said.append(
            f"Median spread of the rounds {statistics.median(spreads):.0%}; values "
            f"differ by at most {max(apart):.0e} of their norm."
        )
    once = [
        f"{cell['model']} ({cell['task']}, {way})"
        for cell, way, entry in entries
        if entry.get("rounds") == 1
    ]
    if once:
        said.append(f"Over 5 s and so run once: {', '.join(once)}.")
    slower = [
        f"{cell['model']} ({cell['task']})"
        for cell in result["cells"]
        if (_ratio(cell["peers"], "outside") or 1) < SLOWER
    ]
    if slower:
        said.append(f"Slower than without: {', '.join(slower)}.")
    said += [
        f"Not measured: {cell['model']} ({cell['task']}, {way}): {entry['error']}."
        for cell, way, entry in entries
        if "error" in entry
    ]
    return said


if __name__ == "__main__":
    sys.exit(main())
