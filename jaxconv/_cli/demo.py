"""`python -m jaxconv demo`: how much faster, the claim in numbers, and pictures."""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path

from jaxconv._cli import check, images, pictures, report, speed
from jaxconv._cli.claim import measure_claim
from jaxconv._cli.errors import UserError, missing
from jaxconv._cli.geometries import Case, cases
from jaxconv._cli.images import Photo
from jaxconv._cli.screen import Screen

PICTURES = 5


def run(path: Path | None, out: Path, every: bool) -> int:
    """Measures, shows, draws; ``every`` adds the table of `check`."""
    for package, module in (("matplotlib", "matplotlib"), ("pillow", "PIL")):
        try:
            importlib.import_module(module)
        except ImportError:
            raise missing(package, "the demo") from None
    photo = images.load(path)
    _writable(out)
    chosen, contests = cases(photo.pixels), speed.contests()
    steps = len(contests) + 1 + PICTURES + (check.steps(chosen) if every else 0)
    with Screen(sys.stdout, steps) as screen:
        right = _race(contests, screen)
        right &= _claim(photo, chosen[0], screen)
        names: list[str] = []
        for written in pictures.draw(photo.pixels, out):
            screen.step(written.name)
            names.append(written.name)
        screen.line(f"Pictures in {out.resolve()}: {', '.join(names)}")
        if every:
            screen.line()
            right &= check.measure(photo, chosen, screen).ok
    return 0 if right else 1


def _race(contests: list[speed.Contest], screen: Screen) -> bool:
    screen.line(report.machine())
    screen.line()
    screen.line(speed.HEADER)
    right = True
    for contest in contests:
        screen.step(contest.name)
        outcome = speed.measure(contest)
        screen.line(speed.line(outcome))
        right &= outcome.agrees
    return right


def _claim(photo: Photo, case: Case, screen: Screen) -> bool:
    screen.step("the claim")
    claim = measure_claim(case)
    screen.line()
    for text in report.claim_summary(claim, photo):
        screen.line(text)
    return claim.holds


def _writable(out: Path) -> None:
    """Fails before the work rather than after it."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        why = error.strerror or str(error)
        remedy = "write a folder that can be made and written to"
        raise UserError(f"--out {out}: {why.lower()}; {remedy}") from None
