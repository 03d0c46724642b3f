"""`python -m benchmarks.gains`: the file from which `summarize` knows what is gained.

It has, for every measured layer and the gradient of its input, lax's time over that of
the lowering that the plan chose, and what a layer must be like to be compared with it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.lowerings_worker import contraction
from benchmarks.regret import tables
from benchmarks.workloads import described_workload

WRITTEN = Path(__file__).parent.parent / "jaxconv/_inspect/summary/gains.json"


def text() -> str:
    """The newest table's layers, one a line, as JSON."""
    every = (json.loads(path.read_text("utf-8")) for path in tables())
    table = max(every, key=lambda table: table["date"])
    device = f"{table['device']['name']}, {table['device']['cores']} cores"
    lines = ",\n".join(json.dumps(cell) for cell in _cells(table))
    return f'{{"device": {json.dumps(device)}, "layers": [\n{lines}\n]}}\n'


def _cells(table: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Of plain calls with zeros around; a gradient of a kernel is another's layer."""
    for cell in table["cells"]:
        named, seconds = cell["arguments"], cell["seconds"]
        lax, ours = seconds.get("lax"), seconds.get(cell["chosen"])
        plain = named["context"] == "plain" and named["padding_mode"] == "zeros"
        if not (plain and lax and ours) or cell["role"] == "kernel":
            continue
        case = contraction(described_workload(cell["workload"], named), cell["role"])
        n, c, o = case.sizes
        g = case.geometry
        yield {
            "role": case.role,
            "dtype": case.dtype.name,
            "window": g.kernel,
            "stride": g.stride,
            "dilation": g.dilation,
            "sizes": [n, c, o, case.groups, *g.input],
            "gain": float(f"{lax / ours:.2g}"),
        }


def main() -> int:
    WRITTEN.write_text(text(), encoding="utf-8", newline="\n")
    print(f"Written: {WRITTEN}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
