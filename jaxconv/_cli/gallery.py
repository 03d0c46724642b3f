"""`python -m jaxconv gallery`: the pictures of docs/gallery, and their animations."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jaxconv._cli import images
from jaxconv._cli.errors import UserError
from jaxconv._cli.images import grey, portrait, reduced
from jaxconv.viz import gallery


def run(svg: Path | None, gif: Path | None) -> int:
    if svg is None and gif is None:
        raise UserError("gallery: nothing to write; give --svg DIR, --gif DIR or both")
    photo = square(images.load(None).pixels)
    for folder, suffix in ((svg, ".svg"), (gif, ".gif")):
        if folder is None:
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for entry in gallery.entries():
                path = folder / f"{entry.name}{suffix}"
                if suffix == ".gif":
                    entry.scene(photo).save(path)
                else:
                    path.write_text(entry.svg(photo), encoding="utf-8", newline="\n")
                print(f"Wrote {path}", flush=True)
            if suffix == ".svg":
                index = folder / "index.md"
                index.write_text(gallery.index(), encoding="utf-8", newline="\n")
                print(f"Wrote {index}")
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            remedy = "write a folder that can be made and written to"
            raise UserError(f"{folder}: {why}; {remedy}") from None
    return 0


def square(pixels: np.ndarray) -> np.ndarray:
    """The upper middle of a photo, grey, as wide as the gallery has it."""
    small = grey(reduced(pixels, 200))
    return portrait(small, gallery.SIDE)
