"""`python -m benchmarks.report RESULT.json`: a result file as Markdown and a picture.

With ``--write FILE ...`` the text replaces what stands between the marker lines of each
file, and the picture is drawn anew.  There are three texts: "layers", a few cells for
the README, "benchmarks", the geometric means and the picture, and "cells", every time.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from benchmarks import summary
from benchmarks.summary import LABELS, OURS, Cell, Result
from benchmarks.workloads import ROLES, TITLES

ROOT = Path(__file__).resolve().parent.parent
# What the README shows, in readers' words: where much is gained, and where nothing is.
SHOWN = (
    ("depthwise 3x3 256@124", "forward", "depthwise 3×3, 256 channels of 124×124"),
    ("depthwise convnext 7x7 96@56", "kernel", "depthwise 7×7, 96 of 56×56 (ConvNeXt)"),
    (
        "grouped resnext g32 3x3 128@56",
        "forward",
        "32 groups 3×3, 128 of 56×56 (ResNeXt)",
    ),
    (
        "transposed dcgan 4x4 s2 512-256@8",
        "kernel",
        "transposed 4×4, 512 to 256 (DCGAN)",
    ),
    ("transposed 3x3 s2 op1 64-32@56", "kernel", "transposed 3×3, 64 to 32 of 56×56"),
    ("3d unet k3 16-32@32", "input", "3-D 3×3×3, 16 to 32 of 32×32×32"),
    ("dense 3x3 64@56", "forward", "ordinary 3×3, 64 of 56×56 (ResNet)"),
    ("1d k5 128@512", "forward", "1-D of 5, 128 channels, 512 long"),
)
PICTURE = ROOT / "docs" / "img" / "benchmarks.png"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.report", description=__doc__)
    parser.add_argument("result", type=Path, help="a file of benchmarks/results/")
    parser.add_argument("--write", nargs="+", type=Path, metavar="FILE", default=[])
    parser.add_argument("--picture", type=Path, default=PICTURE, metavar="PNG")
    options = parser.parse_args(argv)
    result = json.loads(options.result.read_text())
    if not summary.rivals(result):
        print(f"{options.result} has nothing to compare jaxconv with", file=sys.stderr)
        return 2
    if not options.write:
        print(layers(result), means(result, None), cells(result), sep="\n\n")
        return 0
    from benchmarks.plot import draw

    options.picture.parent.mkdir(parents=True, exist_ok=True)
    draw(result, options.picture)
    print(f"Drawn: {options.picture}")
    for path in options.write:
        link = Path(os.path.relpath(options.picture.resolve(), path.resolve().parent))
        blocks = {
            "layers": layers(result),
            "benchmarks": means(result, link.as_posix()),
            "cells": cells(result),
        }
        page = insert(path.read_text(encoding="utf-8"), blocks)
        path.write_text(page, encoding="utf-8")
        print(f"Written: {path}")
    return 0


def insert(text: str, blocks: dict[str, str]) -> str:
    """The text with each block between its two marker lines, where it has them."""
    found = 0
    for name, block in blocks.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        if (text.count(begin), text.count(end)) == (1, 1):
            before, _, rest = text.partition(begin)
            _, _, after = rest.partition(end)
            text = f"{before}{begin}\n{block}\n{end}{after}"
            found += 1
        elif begin in text or end in text:
            raise ValueError(f"there must be one line {begin} and one line {end}")
    if not found:
        raise ValueError(f"there are no marker lines for {' or '.join(blocks)}")
    return text


def layers(result: Result) -> str:
    """At most eight cells, with the milliseconds of each library."""
    found = {(cell["workload"], cell["role"]): cell for cell in result["cells"]}
    peers = ("lax", OURS, "torch")
    lines = []
    for workload, role, words in SHOWN:
        cell = found.get((workload, role))
        if cell is not None:
            times = (summary.seconds(cell, peer) for peer in peers)
            shown = (summary.number(None if t is None else 1e3 * t) for t in times)
            lines.append([f"{words}, {TITLES[role]}", *shown])
    head = ["milliseconds", "plain JAX", OURS, "PyTorch"]
    where = f"The shortest time of all rounds. {summary.setting(result)}."
    return f"{table(head, lines)}\n\n{where}"


def means(result: Result, picture: str | None) -> str:
    """Setting, geometric means and picture."""
    against = _against(result)
    parts = [
        f"{summary.setting(result)}. How many times quicker {OURS} is than {against}, "
        "channels first, geometric means:",
        table(*summary.mean_table(result)),
    ]
    if picture:
        parts.append(f"![How many times quicker than {against}]({picture})")
    return "\n\n".join(parts)


def cells(result: Result) -> str:
    """Every cell, and what the means hide."""
    return "\n\n".join(
        [
            f"{summary.setting(result)}. Milliseconds of {OURS}, least of all rounds, "
            f"and in brackets how many times quicker than {_against(result)}.",
            table(*_cell_table(result)),
            *summary.sentences(result),
        ]
    )


def _against(result: Result) -> str:
    return " / ".join(LABELS[rival] for rival in summary.rivals(result))


def _cell_table(result: Result) -> tuple[list[str], list[list[str]]]:
    head = ["workload", *(TITLES[role] for role in ROLES)]
    against = summary.rivals(result)
    lines = [
        [name, *(_cell(cells.get(role), against) for role in ROLES)]
        for name, cells in summary.rows(result)
    ]
    return head, lines


def _cell(cell: Cell | None, against: list[str]) -> str:
    if cell is None:
        return ""
    ours = summary.seconds(cell, OURS)
    if ours is None:
        return "failed" if "error" in cell["peers"].get(OURS, {}) else ""
    quicker = " / ".join(summary.number(summary.ratio(cell, r), "×") for r in against)
    return f"{summary.number(1e3 * ours)} ({quicker})"


def table(head: list[str], lines: list[list[str]]) -> str:
    rule = ["---", *["--:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *lines])


if __name__ == "__main__":
    sys.exit(main())
