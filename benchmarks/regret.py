"""`python -m benchmarks.regret`: what the plan's choices cost, by the committed tables.

The regret of a cell is the time of the chosen lowering over that of the quickest one.
It is told twice: where oneDNN may be called, and where it may not.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.lowerings import KIND
from benchmarks.lowerings_worker import ONEDNN, contraction, label, place
from benchmarks.summary import geometric_mean
from benchmarks.workloads import described_workload

RESULTS = Path(__file__).parent / "results"
REFERENCES = ("lax", "torch")  # timed beside the lowerings, and not to be chosen


@dataclass(frozen=True, eq=False)
class Regret:
    """One cell: what is chosen, and what would have been quickest."""

    workload: str
    role: str
    chosen: str
    best: str
    seconds: dict[str, float]

    @property
    def ratio(self) -> float:
        """Infinite where the chosen lowering was too slow to be timed."""
        return self.seconds.get(self.chosen, math.inf) / self.seconds[self.best]

    def over(self, reference: str) -> float | None:
        """The reference's time over that of the chosen lowering."""
        theirs = self.seconds.get(reference)
        return theirs and theirs / self.seconds.get(self.chosen, math.inf)


def tables() -> list[Path]:
    return sorted(RESULTS.glob(f"{KIND}-*.json"))


def regrets(table: dict[str, Any], *, onednn: bool) -> Iterator[Regret]:
    """Of every cell that has a quickest lowering, and whose choice was measured."""
    for cell in table["cells"]:
        workload = described_workload(cell["workload"], cell["arguments"])
        case = contraction(workload, cell["role"])
        allowed = {
            name: s
            for name, s in cell["seconds"].items()
            if name not in REFERENCES and (onednn or ONEDNN not in name)
        }
        if not allowed:
            continue
        best = min(allowed, key=allowed.__getitem__)
        chosen = label(case, place(onednn))
        if ONEDNN in chosen and chosen not in cell["seconds"]:
            continue  # the table is of a time or a place without it
        yield Regret(cell["workload"], cell["role"], chosen, best, cell["seconds"])


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.regret", description=__doc__)
    parser.add_argument("tables", type=Path, nargs="*")
    parser.add_argument("--worst", type=int, default=20, help="how many to show")
    options = parser.parse_args(argv)
    for path in options.tables or tables():
        table = json.loads(path.read_text())
        for onednn in (True, False):
            found = sorted(regrets(table, onednn=onednn), key=lambda r: -r.ratio)
            _show(path, onednn, found, options.worst)
    return 0


def _show(path: Path, onednn: bool, found: list[Regret], worst: int) -> None:
    ratios = [r.ratio for r in found if math.isfinite(r.ratio)]
    mean = geometric_mean(ratios)
    print(f"{path.name}, {'with' if onednn else 'without'} oneDNN: {len(found)} cells")
    print(f"  regret: geometric mean {mean:.3f}, worst {found[0].ratio:.2f}")
    for reference in REFERENCES:
        over = [v for r in found if (v := r.over(reference))]
        below = sum(v < 0.95 for v in over)
        print(
            f"  {reference}: {geometric_mean(over) or math.nan:.2f} times its speed, "
        )
        print(f"    slower than it (0.95) in {below} of {len(over)} cells")
    for r in found[:worst]:
        ours, best = (1e3 * r.seconds.get(n, math.inf) for n in (r.chosen, r.best))
        name = f"{r.workload}, {r.role}"
        print(f"  {r.ratio:.2f}  {name}: {r.chosen} {ours:.3g}, {r.best} {best:.3g} ms")


if __name__ == "__main__":
    sys.exit(main())
