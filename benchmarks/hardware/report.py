"""`python -m benchmarks.hardware.report FILE`: Markdown from compile's results.

With `--write` it goes into docs/accelerators.md, between the marks that stand there.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.table import WORKLOADS
from benchmarks.workloads import ROLES, TITLES

PAGE = Path(__file__).parents[2] / "docs" / "accelerators.md"
SHORT = {
    "convForward": "forward",
    "convBackwardInput": "backward input",
    "convBackwardFilter": "backward filter",
}
ALIKE = 0.03  # cycles closer than that are noise of the layout's choice


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.name}")
    options = parser.parse_args(argv)
    result = json.loads(options.file.read_text())
    parts = {"gpu": gpu_table(result), "tpu": tpu_table(result)}
    if not options.write:
        print("\n\n".join(parts.values()))
        return 0
    page = PAGE.read_text()
    for name, text in parts.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        before, rest = page.split(begin)
        page = f"{before}{begin}\n{text}\n{end}{rest.split(end)[1]}"
    PAGE.write_text(page)
    return 0


def cells(result: dict[str, Any], target: str) -> dict[tuple[str, str], Any]:
    """A target's cells in the table's order."""
    found = {
        (c["workload"], c["role"]): c["peers"]
        for c in result["cells"]
        if c["target"] == target
    }
    order = [(w.name, role) for w in WORKLOADS for role in ROLES]
    return {key: found[key] for key in order if key in found}


def gpu_table(result: dict[str, Any]) -> str:
    found = cells(result, "h200")
    differ = {key: peers for key, peers in found.items() if _differs(peers)}
    lines = [
        f"{_versions(result)}. {len(found)} cells, of which {len(found) - len(differ)} "
        "are lax's own program but for small copies, and the others are these.",
        "",
        "| workload | | lax: call | ours: call | multiply-adds, lax / ours "
        "| MB beside operands, lax → ours |",
        "| --- | --- | --- | --- | --: | --: |",
    ]
    for (workload, role), peers in differ.items():
        ours, lax = peers["jaxconv"], peers["lax"]
        work = "" if ours["product"] else _ratio(lax, ours, "multiply_adds")
        lines.append(
            f"| {workload} | {TITLES[role]} | {_calls(lax)} | {_calls(ours)} "
            f"| {work} | {_mb(lax)} → {_mb(ours)} |"
        )
    return "\n".join(lines)


def _differs(peers: dict[str, Any]) -> bool:
    ours, lax = peers["jaxconv"], peers["lax"]
    if ours["calls"] != lax["calls"] or ours["multiply_adds"] != lax["multiply_adds"]:
        return True
    return abs(ours["temporary_bytes"] - lax["temporary_bytes"]) > 2**20


def _calls(peer: dict[str, Any]) -> str:
    if peer["product"]:
        return "matrix product"
    kinds = zip(peer["calls"], peer["windows"], strict=True)
    return ", ".join(
        f"{SHORT[kind]} {window.split()[0].removeprefix('size=')}"
        for kind, window in kinds
    )


def _mb(peer: dict[str, Any]) -> str:
    return f"{peer['temporary_bytes'] / 1e6:.1f}"


def _ratio(lax: dict[str, Any], ours: dict[str, Any], field: str) -> str:
    return f"{lax[field] / ours[field]:.3g}" if ours[field] else ""


def tpu_table(result: dict[str, Any]) -> str:
    kinds = [k for k in ("v5e", "v6e") if cells(result, k)]
    found = {kind: cells(result, kind) for kind in kinds}
    ratios = {kind: _ratios(found[kind]) for kind in kinds}
    keys = [
        key
        for key in dict.fromkeys(key for kind in kinds for key in found[kind])
        if any(abs(ratios[k].get(key, 1.0) - 1) > ALIKE for k in kinds)
    ]
    counts = ", ".join(f"{len(found[kind])} cells for {kind}" for kind in kinds)
    head = " | ".join(f"{k}: cycles, lax → ours | times fewer" for k in kinds)
    lines = [
        f"{_versions(result)}; bfloat16. {counts}; those within {ALIKE:.0%} of lax on "
        "every one are left out, and an empty place was not compiled.",
        "",
        f"| workload | | {head} |",
        f"| --- | --- |{' --: |' * 2 * len(kinds)}",
    ]
    for key in keys:
        row = [key[0], TITLES[key[1]]]
        for kind in kinds:
            peers = found[kind].get(key)
            if peers is None:
                row += ["", ""]
                continue
            lax, ours = (peers[p]["cycles"] for p in ("lax", "jaxconv"))
            row += [f"{lax:,} → {ours:,}", f"{ratios[kind][key]:.2f}"]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def _ratios(found: dict[tuple[str, str], Any]) -> dict[tuple[str, str], float]:
    return {
        key: peers["lax"]["cycles"] / peers["jaxconv"]["cycles"]
        for key, peers in found.items()
        if peers["jaxconv"]["cycles"]
    }


def _versions(result: dict[str, Any]) -> str:
    used = ", ".join(f"{name} {v}" for name, v in result["versions"].items())
    return f"{used}; {result['date']}"


if __name__ == "__main__":
    sys.exit(main())
