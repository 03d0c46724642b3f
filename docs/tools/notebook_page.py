"""A notebook as Markdown, with the outputs that are saved in it."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

PICTURE = '<img alt="output of this cell" src="data:image/{};base64,{}">'


def markdown(path: Path) -> str:
    """Every cell in order; the file itself is linked from the first line."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    title, *rest = (text for cell in cells for text in _cell(cell))
    head, _, opening = title.partition("\n")
    link = f'<a href="{path.name}">The notebook</a>, with the outputs saved in it.'
    return "\n\n".join([head, link, opening.strip(), *rest]) + "\n"


def short(path: Path) -> str:
    """For the navigation: its number, and its title up to the first colon."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    title = "".join(cells[0]["source"]).partition("\n")[0].lstrip("# ")
    words = re.split("[:,\uff1a\uff0c]", title)[0]
    return f"{path.name.partition('-')[0]} {words}"


def listed(paths: list[Path], root: Path) -> str:
    """A list of links to their pages."""
    titles = (json.loads(path.read_text("utf-8"))["cells"][0] for path in paths)
    words = ("".join(cell["source"]).partition("\n")[0].lstrip("# ") for cell in titles)
    pages = (path.relative_to(root).with_suffix(".md").as_posix() for path in paths)
    links = zip(words, pages, strict=True)
    return "\n".join(f"- [{text}]({page})" for text, page in links)


def _cell(cell: dict[str, Any]) -> list[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] != "code":
        return [source]
    shown = map(_output, cell["outputs"])
    return [f"```python\n{source}\n```", *filter(None, shown)]


def _output(output: dict[str, Any]) -> str:
    data = {kind: "".join(text) for kind, text in output.get("data", {}).items()}
    if "image/svg+xml" in data:  # as an image, so that its styles stay its own
        encoded = base64.b64encode(data["image/svg+xml"].encode()).decode()
        return PICTURE.format("svg+xml", encoded)
    if "image/png" in data:
        return PICTURE.format("png", data["image/png"].replace("\n", ""))
    text = "".join(output.get("text", data.get("text/plain", "")))
    return f"```text\n{text.rstrip()}\n```" if text.strip() else ""
