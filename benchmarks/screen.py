"""A result on the terminal."""

from __future__ import annotations

from benchmarks import summary
from benchmarks.peers import PEERS
from benchmarks.summary import Result
from benchmarks.workloads import TITLES


def show(result: Result) -> None:
    print(f"\n{summary.setting(result)}")
    print("Least of all rounds, in ms; a ratio above 1 says that jaxconv is quicker.\n")
    _print_table(*_cell_table(result), words=2)
    against = " / ".join(summary.LABELS[r] for r in summary.rivals(result))
    if against:
        print(f"\nGeometric means of the ratios, against {against}:\n")
        _print_table(*summary.mean_table(result), words=1)
    print("\n" + "\n".join(summary.sentences(result)))
    if found := summary.ratios(result["cells"], summary.BEFORE):
        print(f"\nAgainst the other checkout: {summary.geometric_mean(found):.2f}×")
        for cell in summary.behind(result, summary.BEFORE):
            name = f"{cell['workload']}, {TITLES[cell['role']]}"
            print(f"  slower: {name}: {summary.ratio(cell, summary.BEFORE):.2f}×")


def _cell_table(result: Result) -> tuple[list[str], list[list[str]]]:
    peers = [p for p in PEERS if any(p in cell["peers"] for cell in result["cells"])]
    against = summary.rivals(result)
    labels = summary.LABELS
    head = ["workload", "role", *(labels[p] for p in peers)]
    head += [f"vs {labels[r]}" for r in against] + ["lowering"]
    lines = []
    for cell in result["cells"]:
        times = [summary.seconds(cell, peer) for peer in peers]
        shown = [None if t is None else 1e3 * t for t in times]
        lowering = cell["peers"].get(summary.OURS, {}).get("lowering") or ""
        errors = [
            f"{p}: {e['error']}" for p, e in cell["peers"].items() if "error" in e
        ]
        lines.append(
            [cell["workload"], TITLES[cell["role"]]]
            + [summary.number(t) for t in shown]
            + [summary.number(summary.ratio(cell, r), "×") for r in against]
            + ["; ".join([lowering, *errors]).strip("; ")]
        )
    return head, lines


def _print_table(head: list[str], lines: list[list[str]], words: int) -> None:
    """Words, the first columns and the lowering, stand left; numbers right."""
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    for line in [head, ["-" * width for width in widths], *lines]:
        padded = [
            text.ljust(width)
            if i < words or head[i] == "lowering"
            else text.rjust(width)
            for i, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(padded).rstrip())
