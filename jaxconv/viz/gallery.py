"""The gallery: every picture by its name, and the page that shows them all."""

from __future__ import annotations

import html
from collections.abc import Iterable

from jaxconv.viz._gallery_entry import SIDE as SIDE
from jaxconv.viz._gallery_entry import Entry
from jaxconv.viz._gallery_table import SECTIONS
from jaxconv.viz._gallery_table import offset as offset


def entries() -> Iterable[Entry]:
    """Every picture once."""
    return {e.name: e for section in SECTIONS for e in section.entries}.values()


def index() -> str:
    """The page that shows them all, in Markdown."""
    lines = ["# Gallery", "", _OPENING]
    for section in SECTIONS:
        lines += ["", f"## {section.title}", ""]
        lines += [section.words, ""] if section.words else []
        lines += [f'<table class="gallery of-{section.columns}">']
        for first in range(0, len(section.entries), section.columns):
            row = section.entries[first : first + section.columns]
            lines += ["<tr>", *map(_shown, row), "</tr>"]
        lines.append("</table>")
    return "\n".join(lines) + "\n"


def _shown(entry: Entry) -> str:
    """A cell of the page's table: picture, title, formula and what makes it."""
    title, formula, call = map(html.escape, (entry.title, entry.formula, entry.call))
    image = f'<img src="{entry.name}.svg" alt="{title}">'
    said = f"<br><i>{formula}</i>" if formula else ""
    return f"<td>{image}<br><b>{title}</b>{said}<br><code>{call}</code></td>"


_OPENING = """\
Every picture is computed from the library's own geometry by the line below it, after
`from jaxconv import viz`. Inputs are blue, kernels green and outputs orange, also where
the convolution is transposed. `.save("a.gif")` or `.save("a.svg", moving=True)` on the
result writes it as it moves here, and in a notebook it has a player; `make gallery`
builds this page."""
