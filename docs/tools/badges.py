"""The README's badges, docs/img/badge-*.svg, from pyproject.toml.

They are files of the repository, so that a page which shows them asks no other host.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LETTER = 6.6  # pixels, of a sans-serif of size 11


def badges() -> dict[str, str]:
    """The SVG of each by its file's name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (jax,) = (v for v in project["dependencies"] if re.match(r"jax\b", v))
    facts = {
        "version": project["version"],
        "python": project["requires-python"].replace(">=", "≥ "),
        "jax": jax.removeprefix("jax").replace(">=", "≥ "),
        "licence": project["license"],
    }
    return {f"badge-{name}.svg": _badge(name, said) for name, said in facts.items()}


def _badge(name: str, said: str) -> str:
    left, right = (round(LETTER * len(words)) + 14 for words in (name, said))
    width = left + right
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20"'
        f' role="img" aria-label="{name} {said}">'
        f'<rect width="{width}" height="20" rx="3" fill="#444"/>'
        f'<path d="M{left} 0h{right - 3}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3H{left}z"'
        ' fill="#0b6cad"/>'
        '<g fill="#fff" text-anchor="middle" font-size="11"'
        ' font-family="Verdana,DejaVu Sans,sans-serif">'
        f'<text x="{left / 2}" y="14">{name}</text>'
        f'<text x="{left + right / 2}" y="14">{said}</text></g></svg>\n'
    )
