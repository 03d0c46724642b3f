"""`python -m jaxconv check`: the comparison and the claim, without pictures.

On a CPU it also tries oneDNN in a child process; what came of it is kept for the plan.
"""

from __future__ import annotations

import sys
from pathlib import Path

import jax

from jaxconv._cli import comparison, images, report
from jaxconv._cli.claim import measure_claim
from jaxconv._cli.comparison import Row
from jaxconv._cli.geometries import Case, cases
from jaxconv._cli.images import Photo
from jaxconv._cli.report import Result
from jaxconv._cli.screen import Screen
from jaxconv._plan import probe

EXTRA_STEPS = 1  # besides the rows: the claim


def run(path: Path | None, *, as_json: bool = False) -> int:
    photo = images.load(path, without=True)
    chosen = cases(photo.pixels)
    with Screen(sys.stderr if as_json else sys.stdout, steps(chosen)) as screen:
        result = measure(photo, chosen, screen, table=not as_json)
    found = probe.run() if jax.default_backend() == "cpu" else None
    if as_json:
        print(report.document(result, found))
    elif found is not None:
        print(f"\n{report.onednn(found.failed)}\nkept in {probe.path()}")
    return 0 if result.ok else 1


def steps(chosen: list[Case]) -> int:
    return len(chosen) * len(list(comparison.names())) + EXTRA_STEPS


def measure(
    photo: Photo, chosen: list[Case], screen: Screen, *, table: bool = True
) -> Result:
    """Everything, shown while it is measured; without a table one line a geometry.

    The highest precision, because a GPU's default rounds float32 to fewer bits.
    """
    lines = [*report.opening(photo), "", report.HEADER] if table else []
    for line in lines:
        screen.line(line)
    rows: list[Row] = []
    geometries: dict[str, str] = {}
    with jax.default_matmul_precision("highest"):
        for case in chosen:
            y = case.output()
            geometries[case.name] = case.describe(y)
            screen.line(f"{case.name}: {geometries[case.name]}")
            here: list[Row] = []
            for row in comparison.compare(case, y):
                here.append(row)
                screen.step(f"{row.geometry} {row.function} {row.implementation}")
                if table and row.status != "refused":
                    screen.line(report.row_line(row))
            if table:
                screen.line(report.refused_line(here))
            rows += here
        if table:
            screen.line(report.summary(rows))
        claim = measure_claim(chosen[0])
        screen.step("the claim")
    for line in ["", *report.claim_lines(claim)] if table else []:
        screen.line(line)
    return Result(photo, geometries, tuple(rows), claim)
