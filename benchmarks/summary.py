"""Ratios and geometric means of a result file.  Nothing else computes them.

A ratio is a rival's time over jaxconv's: 2 is twice as fast as the rival, 0.5 takes
twice as long.  Times are the least of all rounds.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks.workloads import FAMILIES, ROLES, TITLES

Result = dict[str, Any]
Cell = dict[str, Any]

OURS = "jaxconv"
RIVALS = ("lax", "torch")
BEFORE = "before"  # jaxconv of another checkout
LABELS = {"jaxconv": "jaxconv", "lax": "lax", "torch": "PyTorch"}
BEHIND = 0.95  # below this a cell counts as slower than the rival


def seconds(cell: Cell, peer: str) -> float | None:
    return cell["peers"].get(peer, {}).get("min_s")


def ratio(cell: Cell, rival: str) -> float | None:
    ours, theirs = seconds(cell, OURS), seconds(cell, rival)
    return None if ours is None or theirs is None else theirs / ours


def ratios(cells: Iterable[Cell], rival: str) -> list[float]:
    return [r for r in (ratio(cell, rival) for cell in cells) if r is not None]


def geometric_mean(values: list[float]) -> float | None:
    return statistics.geometric_mean(values) if values else None


def select(result: Result, family: str | None, role: str | None) -> list[Cell]:
    return [
        cell
        for cell in result["cells"]
        if family in (None, cell["family"]) and role in (None, cell["role"])
    ]


def families(result: Result) -> list[str]:
    present = {cell["family"] for cell in result["cells"]}
    return [family for family in FAMILIES if family in present]


def rivals(result: Result) -> list[str]:
    """Those with at least one cell to compare in."""
    return [rival for rival in RIVALS if ratios(result["cells"], rival)]


def behind(result: Result, rival: str) -> list[Cell]:
    def slower(cell: Cell) -> bool:
        r = ratio(cell, rival)
        return r is not None and r < BEHIND

    return [cell for cell in result["cells"] if slower(cell)]


def rows(result: Result) -> Iterator[tuple[str, dict[str, Cell]]]:
    """Each workload with its cells by role, families together."""
    for family in families(result):
        found: dict[str, dict[str, Cell]] = {}
        for cell in select(result, family, None):
            found.setdefault(cell["workload"], {})[cell["role"]] = cell
        yield from found.items()


def number(value: float | None, unit: str = "") -> str:
    """Three significant digits, as 0.0123, 1.23, 12.3, 123 or 1234; a dash for None."""
    if value is None:
        return "-"
    return (f"{value:.0f}" if value >= 99.95 else f"{value:#.3g}") + unit


def mean_table(result: Result) -> tuple[list[str], list[list[str]]]:
    """Head and lines: geometric means of the ratios by family and role."""
    against = rivals(result)
    head = ["", *(TITLES[role] for role in ROLES), "all"]
    lines = []
    for family in [*families(result), None]:
        line = [family or "all"]
        for role in (*ROLES, None):
            cells = select(result, family, role)
            means = [geometric_mean(ratios(cells, rival)) for rival in against]
            line.append(" / ".join(number(mean, "×") for mean in means) or "-")
        lines.append(line)
    return head, lines


def sentences(result: Result) -> list[str]:
    """What the means hide: slower cells, noise, compile time, cells left out."""
    said = [_about(result, peer) for peer in (OURS, *rivals(result))]
    for rival in rivals(result):
        total, slower = len(ratios(result["cells"], rival)), behind(result, rival)
        names = ", ".join(f"{c['workload']} ({TITLES[c['role']]})" for c in slower)
        said.append(
            f"Below {BEHIND}× of {LABELS[rival]}: {len(slower)} of {total} cells"
            + (f": {names}." if names else ".")
        )
    reasons = {left["reason"]: None for left in result["left_out"]}  # in order
    for reason in reasons:
        cells = [left for left in result["left_out"] if left["reason"] == reason]
        names = ", ".join({left["workload"]: None for left in cells})
        said.append(f"Not measured ({reason}): {len(cells)} cells of {names}.")
    return said


def _about(result: Result, peer: str) -> str:
    entries = [cell["peers"].get(peer, {}) for cell in result["cells"]]

    def median(key: str) -> float | None:
        known = [e[key] for e in entries if e.get(key) is not None]
        return statistics.median(known) if known else None

    spread, lower, compiling = map(median, ("spread", "lower_s", "compile_s"))
    parts: list[str] = []
    if spread is not None:
        parts.append(f"spread of the rounds {spread:.0%}")
    if lower is not None and compiling is not None:
        parts.append(f"lowering {lower:.2f} s, compiling {compiling:.2f} s")
    failed = sum("error" in entry for entry in entries)
    told = f"{LABELS[peer]}: failed in {failed} cells"
    return f"{told}; medians: {', '.join(parts)}." if parts else f"{told}."


def setting(result: Result) -> str:
    """Device, versions and date in one line."""
    versions = ", ".join(f"{k} {v}" for k, v in result["versions"].items())
    name, cores = result["device"]["name"], result["device"]["cores"]
    plural = "s" if cores > 1 else ""
    return f"{name}, {cores} core{plural}; {versions}; {result['date']}"
