"""`python -m jaxconv demo`: the comparison, the claim, and pictures."""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path

from jaxconv._cli import check, images, pictures
from jaxconv._cli.errors import UserError, missing
from jaxconv._cli.geometries import cases
from jaxconv._cli.screen import Screen

PICTURES = 5


def run(path: Path | None, out: Path) -> int:
    for package, module in (("matplotlib", "matplotlib"), ("pillow", "PIL")):
        try:
            importlib.import_module(module)
        except ImportError:
            raise missing(package, "the demo") from None
    photo = images.load(path)
    _writable(out)
    chosen = cases(photo.pixels)
    with Screen(sys.stdout, check.steps(chosen) + PICTURES) as screen:
        result = check.measure(photo, chosen, screen)
        screen.line()
        for written in pictures.draw(photo.pixels, out):
            screen.step(written.name)
            screen.line(f"Wrote {written}")
        screen.line(f"The pictures are in {out.resolve()}")
    return 0 if result.ok else 1


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
