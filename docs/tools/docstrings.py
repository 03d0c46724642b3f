"""Reads jaxconv's docstrings as Markdown: a Griffe extension.

They follow Google's sections, with formulas as Sphinx writes them, several arguments
to an entry, and sections of their own at the end.  Griffe parses what this makes of
them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import griffe

NAMES = r"[\w*\\]+(?:, [\w*\\]+)+"  # "stride, padding, dilation"
ENTRIES = ("Args", "Attributes")
CODE = re.compile(r"(?<![\w`])`(?:jaxconv\.)?(\w+)`(?!`)")
REMARKS = ("Elsewhere", "Source")


class Docstrings(griffe.Extension):
    """Rewrites every docstring of a package when it has been read."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        public = {name for name in pkg.members if not name.startswith("_")}
        for found in _objects(pkg):
            if found.docstring is not None:
                text = markdown(found.docstring.value)
                found.docstring.value = _references(text, public, found.name)


def _objects(found: griffe.Object) -> Iterator[griffe.Object]:
    yield found
    for member in found.members.values():
        if isinstance(member, griffe.Object):
            yield from _objects(member)


def markdown(text: str) -> str:
    """A docstring's text, for Griffe's parser of Google's style."""
    text = re.sub(r":math:`([^`]+)`", r"$\1$", text)
    text = re.sub(
        r"(?m)^( *)\.\. math::(.*\n(?:\1 +\S.*\n|\n(?=\1 ))*)", _formula, text
    )
    parts = re.split(r"(?m)^(?=[A-Z][a-z]+:(?:\s|$))", text)
    return "".join(map(_section, parts))


def _formula(match: re.Match[str]) -> str:
    indent, lines = match[1], " ".join(match[2].split())
    return f"\n{indent}$${lines}$$\n\n"


def _section(part: str) -> str:
    name, _, body = part.partition(":")
    if name in REMARKS:
        return f"**{name}:**{body}"
    if name == "Example":
        return f"Examples:{body}"
    if name == "Returns":  # no name, no type: a colon in its words ends neither
        return f"Returns:\n  : {body.strip()}\n\n"
    if name == "Raises" and not re.search(r"(?m)^  \w[\w, ]*:", body):
        return f"**Raises:** {body.lstrip()}"
    if name in ENTRIES:
        return f"{name}:{_one_name_each(body)}"
    return part


def _one_name_each(body: str) -> str:
    """An entry for several names becomes one for each."""
    body = re.sub(r"(?m)^(  [^:\n]*,)\n +(?=[^:\n]*:)", r"\1 ", body)

    def several(match: re.Match[str]) -> str:
        return "".join(f"  {name}:{match[2]}" for name in match[1].split(", "))

    return re.sub(rf"(?m)^  ({NAMES}):((?:.*\n?)(?:    .*\n?)*)", several, body)


def _stars(text: str) -> str:
    """C*m is a product, not the beginning of emphasis."""
    parts = re.split(r"(``.*?``|`[^`]*`|\$\$?.*?\$\$?)", text)
    parts[::2] = (re.sub(r"(?<=\w)\*(?=\w)", r"\\*", part) for part in parts[::2])
    return "".join(parts)


def _references(text: str, public: set[str], own: str) -> str:
    """Public names in backquotes lead to their entries."""

    def link(match: re.Match[str]) -> str:
        name = match[1]
        return f"[`{name}`][jaxconv.{name}]" if name in public - {own} else match[0]

    lines = re.split(r"(?m)^( *>>>.*\n(?: *\S.*\n?)*)", text)  # examples stay
    lines[::2] = (CODE.sub(link, _stars(v)) for v in lines[::2])
    return "".join(lines)
