"""`python -m benchmarks.deform_report FILE ...`: Markdown from deform's results.

With `--write` it goes into docs/deformable.md, between the marks that stand there.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

PAGE = Path(__file__).resolve().parent.parent / "docs" / "deformable.md"
MARKS = ("<!-- deform:begin -->", "<!-- deform:end -->")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.name}")
    options = parser.parse_args(argv)
    text = "\n\n".join(table(json.loads(path.read_text())) for path in options.files)
    if not options.write:
        print(text)
        return 0
    before, rest = PAGE.read_text().split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    PAGE.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}")
    return 0


def table(result: dict[str, Any]) -> str:
    device, versions = result["device"], result["versions"]
    cores = f"{device['cores']} core{'s' if device['cores'] > 1 else ''}"
    used = ", ".join(f"{k} {v}" for k, v in versions.items())
    spreads = [p["spread"] for c in result["cells"] for p in c["peers"].values()]
    lines = [
        f"{device['name']}, {cores}; {used}; {result['date']}; {result['dtype']}; "
        f"median spread of the rounds {np.median(spreads):.0%}.",
        "",
        "| batch x channels @ size | | jaxconv ms | all columns at once | torchvision "
        "| times quicker | of the product alone |",
        "| --- | --- | --: | --: | --: | --: | --: |",
    ]
    floors = {
        str(c["shape"]): c["peers"]["product"]["min_s"]
        for c in result["cells"]
        if "product" in c["peers"]
    }
    for cell in result["cells"]:
        time = {p: v["min_s"] for p, v in cell["peers"].items()}
        ours, other = time["jaxconv"], time.get("torchvision")
        theirs = (
            "|  |  |" if other is None else f"| {_ms(other)} | {other / ours:.1f} |"
        )
        ratio = ours / floors[str(cell["shape"])]
        lines.append(
            f"| {_title(cell['shape'])} | {cell['role']} | {_ms(ours)} "
            f"| {_ms(time['jaxconv columns'])} {theirs} {ratio:.2f} |"
        )
    return "\n".join(lines)


def _title(shape: list[int]) -> str:
    n, c, size = shape
    return f"{n} x {c} @ {size}x{size}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g}"


if __name__ == "__main__":
    sys.exit(main())
