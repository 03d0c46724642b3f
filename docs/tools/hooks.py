"""What MkDocs does here beside its plugins.

Files that stand outside docs/ become pages as they are: the README on the first page,
the changelog, the notebooks with their outputs, and the source files that pages link
to.  Links in the repository's terms become those of the site.  Formulas become MathML,
which browsers show without a script.
"""

from __future__ import annotations

import html
import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files, InclusionLevel

import notebook_page
from jaxconv._explorer.page import page as explorer

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = {
    "README.md": "index.md",
    "README.zh-CN.md": "readme.zh-CN.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
TRANSLATED = sorted(ROOT.glob("notebooks/zh-CN/*.ipynb"))
INDEX = "notebooks.md"
WIDE = ("gallery/index.md", "explorer.md")  # shown without a table of contents
README = "<!-- README.md -->"  # where docs/index.md shows it
LINK = re.compile(r"\]\(([^)\s#:]+)(#[^)\s]*)?\)")
FENCE = re.compile(r"(?ms)^( *)```.*?^\1```")


# Files that stand elsewhere -----------------------------------------------------------


def on_files(files: Files, config: Any) -> Files:
    for name, page in list(PAGES.items())[1:]:
        files.append(File.generated(config, page, abs_src_path=str(ROOT / name)))
    for path in (*NOTEBOOKS, *TRANSLATED):
        uri, text = path.relative_to(ROOT).as_posix(), notebook_page.markdown(path)
        files.append(File.generated(config, uri, abs_src_path=str(path)))
        files.append(File.generated(config, _page_of(path), content=text))
    (listed,) = (v["Notebooks"] for v in config.nav if "Notebooks" in v)
    pages = [*NOTEBOOKS, *TRANSLATED]
    listed += ({notebook_page.short(path): _page_of(path)} for path in pages)
    files.append(File.generated(config, "explore.html", content=explorer()))
    for path in sorted(_sources(files)):
        content = f"# `{path.name}`\n\n```python\n{path.read_text('utf-8')}```\n"
        page = File.generated(config, _page_of(path), content=content)
        page.inclusion = InclusionLevel.NOT_IN_NAV
        files.append(page)
    return files


def _sources(files: Files) -> set[Path]:
    """The Python files that pages link to."""
    found: set[Path] = set()
    for page in files.documentation_pages():
        text, folder = _text(page)
        targets = (folder / match[1] for match in LINK.finditer(text))
        found |= {path.resolve() for path in targets if path.suffix == ".py"}
    return found


def _text(page: File) -> tuple[str, Path]:
    """A page's Markdown, and the folder that its links start from."""
    if page.src_uri == "index.md":
        return (ROOT / "README.md").read_text("utf-8"), ROOT
    path = page.abs_src_path
    folder = Path(path).parent if path else ROOT / PurePosixPath(page.src_uri).parent
    return page.content_string, folder


def _page_of(path: Path) -> str:
    """The page that shows a file of the repository."""
    name = path.resolve().relative_to(ROOT).as_posix()
    if path.suffix == ".py":
        return f"source/{name.removesuffix('.py')}.md"
    if path.suffix == ".ipynb":
        return f"{name.removesuffix('.ipynb')}.md"
    return PAGES[name] if name in PAGES else name.removeprefix("docs/")


# Links --------------------------------------------------------------------------------


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    uri, folder = page.file.src_uri, _text(page.file)[1]
    if uri in WIDE:
        page.meta["hide"] = ["toc"]
    if uri == "index.md":
        readme = (ROOT / "README.md").read_text("utf-8")
        body = readme.split("\n\n", 2)[2]  # without the title and the badges
        return markdown.replace(README, _relinked(body, uri, folder))
    if uri == INDEX:
        both = (notebook_page.listed(v, ROOT) for v in (NOTEBOOKS, TRANSLATED))
        for mark, links in zip(("notebooks", "translated"), both, strict=True):
            markdown = markdown.replace(f"<!-- {mark} -->", links)
        return markdown
    if uri.startswith("source/"):
        return markdown
    return _relinked(markdown, uri, folder)


def _relinked(markdown: str, uri: str, folder: Path) -> str:
    """Links to files of the repository lead to the pages that show them."""

    def link(match: re.Match[str]) -> str:
        target = (folder / match[1]).resolve()
        if not target.is_file() or not target.is_relative_to(ROOT):
            return match[0]  # MkDocs warns of it
        there = _page_of(target)
        anchor = "" if target.suffix == ".py" else match[2] or ""
        return f"]({os.path.relpath(there, PurePosixPath(uri).parent)}{anchor})"

    kept = [match[0] for match in FENCE.finditer(markdown)]
    words = FENCE.split(markdown)[::2]
    words = [LINK.sub(link, part) for part in words]
    return "".join(
        part for pair in zip(words, [*kept, ""], strict=True) for part in pair
    )


# Formulas -----------------------------------------------------------------------------


def on_page_content(html: str, **_: Any) -> str:
    inline = r'<span class="arithmatex">\\\((.*?)\\\)</span>'
    block = r'<div class="arithmatex">\\\[(.*?)\\\]</div>'
    html = re.sub(inline, lambda match: _mathml(match[1], "inline"), html, flags=re.S)
    return re.sub(block, lambda match: _mathml(match[1], "block"), html, flags=re.S)


def _mathml(latex: str, display: str) -> str:
    found = convert(html.unescape(latex).strip(), display=display)
    # A word is one identifier, not the product of its letters.
    word = r"<mrow>((?:<mi mathvariant=\"(\w+)\">[^<]*</mi>)+)</mrow>"
    return re.sub(word, _identifier, found)


def _identifier(match: re.Match[str]) -> str:
    letters = re.sub(r"<[^>]*>", "", match[1])
    return f'<mi class="{match[2]}">{letters}</mi>'
