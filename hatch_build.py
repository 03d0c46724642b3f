"""The README of the package: the repository's, its links made absolute.

In the repository they are relative, so that they lead to the files of the same commit
and the tests can follow them.  The index shows the text alone, where they would lead
nowhere.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

try:
    from hatchling.metadata.plugin.interface import MetadataHookInterface
except ModuleNotFoundError:  # the tests import `absolute` without hatchling
    MetadataHookInterface = object

LINK = re.compile(r"(!?)\[((?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*)\]\(([^)\s]+)\)")
FENCE = re.compile(r"(?ms)^```.*?^```$")


class Readme(MetadataHookInterface):
    """Fills in ``readme`` while a wheel or a source distribution is built."""

    def update(self, metadata: dict[str, Any]) -> None:
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        url = metadata["urls"]["Repository"]
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": absolute(text, url, f"v{metadata['version']}"),
        }


def absolute(text: str, url: str, tag: str) -> str:
    """Markdown whose relative links lead to a tag of the repository at ``url``."""

    def link(match: re.Match[str]) -> str:
        mark, words, target = match.groups()
        words = LINK.sub(link, words)  # a picture that is itself a link
        if not re.match(r"[a-z]+:|#", target):
            target = f"{url}/{'raw' if mark else 'blob'}/{tag}/{target}"
        return f"{mark}[{words}]({target})"

    parts, start = [], 0
    for fence in [*FENCE.finditer(text), None]:
        end = fence.start() if fence else len(text)
        parts.append(LINK.sub(link, text[start:end]))
        if fence:
            parts.append(fence[0])
            start = fence.end()
    return "".join(parts)
