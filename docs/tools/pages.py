"""The pages of docs/ that are generated: `python docs/tools/pages.py --write`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import badges
import commands_page
import geometry_page
import lowerings_page

DOCS = Path(__file__).resolve().parent.parent
PAGES = {
    "geometry.md": geometry_page.page,
    "lowerings.md": lowerings_page.page,
    "reference/command-line.md": commands_page.page,
    **{
        f"img/{name}": lambda name=name: badges.badges()[name]
        for name in badges.badges()
    },
}


def main() -> int:
    """Returns 0 if every page is as its generator makes it, or has been written."""
    parser = argparse.ArgumentParser(description="The generated pages of docs/.")
    parser.add_argument("--write", action="store_true", help="write them")
    write = parser.parse_args().write
    stale = [name for name, make in PAGES.items() if not _settle(name, make(), write)]
    for name in stale:
        print(f"docs/{name} is not current; write it with --write", file=sys.stderr)
    return bool(stale)


def _settle(name: str, text: str, write: bool) -> bool:
    path = DOCS / name
    if write:
        path.write_text(text, encoding="utf-8", newline="\n")
    return path.is_file() and path.read_text("utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
