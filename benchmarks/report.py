"""`python -m benchmarks.report RESULT.json`: a result file as Markdown and a picture.

With ``--write FILE ...`` the text replaces what stands between the two marker lines of
each file, and the picture is drawn anew.
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
PICTURE = ROOT / "docs" / "img" / "benchmarks.png"
BEGIN, END = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"


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
        print(markdown(result, None))
        return 0
    from benchmarks.plot import draw

    options.picture.parent.mkdir(parents=True, exist_ok=True)
    draw(result, options.picture)
    print(f"Drawn: {options.picture}")
    for path in options.write:
        link = Path(os.path.relpath(options.picture.resolve(), path.resolve().parent))
        path.write_text(insert(path.read_text(), markdown(result, link.as_posix())))
        print(f"Written: {path}")
    return 0


def insert(text: str, block: str) -> str:
    """The text with the block between its two marker lines."""
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"there must be one line {BEGIN} and one line {END}")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{block}\n{END}{after}"


def markdown(result: Result, picture: str | None) -> str:
    """Setting, geometric means, picture, and every cell in a part that unfolds."""
    against = " / ".join(LABELS[rival] for rival in summary.rivals(result))
    parts = [
        f"{summary.setting(result)}. How many times quicker {OURS} is than {against}, "
        "channels first, geometric means:",
        _table(*summary.mean_table(result)),
    ]
    if picture:
        parts.append(f"![How many times quicker than {against}]({picture})")
    parts += [
        "<details><summary>Every cell</summary>",
        f"Milliseconds of {OURS}, least of all rounds, and in brackets how many times "
        f"quicker than {against}.",
        _table(*_cell_table(result)),
        "\n\n".join(summary.sentences(result)),
        "</details>",
    ]
    return "\n\n".join(parts)


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


def _table(head: list[str], lines: list[list[str]]) -> str:
    rule = ["---", *["--:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *lines])


if __name__ == "__main__":
    sys.exit(main())
