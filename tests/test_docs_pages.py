"""The pages of docs/ and the other Markdown: their code runs, their commands exist."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import pytest

from jaxconv._cli.arguments import parser

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
    for path in [*ROOT.glob("*.md"), *sorted(DOCS.rglob("*.md"))]
}
# Their blocks are run by tests of their own.
ELSEWHERE = {
    "README.md": "test_readme.py",
    "README.zh-CN.md": "test_readme_translation.py",  # the same blocks
    "docs/frameworks.md": "test_frameworks.py",
    "docs/layers.md": "test_layers.py",
    "docs/summaries.md": "test_summaries_page.py",
    "docs/xla-notes.md": "test_upstream.py",
}
FENCED = re.compile(r"(?ms)^```(\w+)\n(.*?)^```(?:\n\n```text\n(.*?)^```)?")
over_pages = pytest.mark.parametrize("name", PAGES)


def blocks(name: str, *languages: str) -> list[tuple[str, str]]:
    """A page's blocks in these languages, and the text said to come out of each."""
    found = FENCED.findall(PAGES[name])
    return [(code, said) for language, code, said in found if language in languages]


# Python -------------------------------------------------------------------------------

WITH_CODE = [name for name in PAGES if blocks(name, "python", "pycon")]


def test_pages_with_code_are_found() -> None:
    assert {"docs/conventions.md", *ELSEWHERE} <= set(WITH_CODE)


@pytest.mark.parametrize("name", [v for v in WITH_CODE if v not in ELSEWHERE])
def test_code_runs_and_prints_what_it_says(name: str) -> None:
    """In one namespace a page, and with JAX's own settings, as a reader has them."""
    scope: dict[str, Any] = {}
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        for code, said in blocks(name, "python", "pycon"):
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(code, name, "exec"), scope)
            assert out.getvalue() == said, code


# Commands -----------------------------------------------------------------------------

# The name of a target, option or module, not a word that happens to follow "make".
MAKE = re.compile(r"(?m)(?:`|^ *)make ([a-z][\w-]*)(?:`| |$)")
MODULE = re.compile(r"(?m)(?:`|^ *)python -m ([\w.]+)([^`\n]*)")
TARGETS = re.findall(r"(?m)^([a-z][\w-]*):", (ROOT / "Makefile").read_text("utf-8"))


@over_pages
def test_make_targets_exist(name: str) -> None:
    assert set(MAKE.findall(PAGES[name])) <= set(TARGETS)


@over_pages
def test_modules_and_their_arguments_exist(name: str) -> None:
    for module, words in MODULE.findall(PAGES[name]):
        assert module == "pip" or find_spec(module) is not None, module
        if module == "jaxconv" and name != "docs/reference/command-line.md":
            accepts(shlex.split(words, comments=True))


def accepts(words: list[str]) -> None:
    """The command line takes these words; a bare command need not be complete."""
    top = parser()
    commands = next(v.choices for v in top._actions if getattr(v, "choices", None))
    if len(words) < 2:
        assert {*words} <= set(commands)
    else:
        assert top.parse_args(words).run


def test_commands_are_found() -> None:
    """The patterns above see something, and would see what is not there."""
    assert {"demo", "docs"} <= set(MAKE.findall(PAGES["README.md"]))
    assert {"test", "package"} <= set(MAKE.findall(PAGES["CONTRIBUTING.md"]))
    assert len(MODULE.findall(PAGES["README.md"])) >= 2
    assert set(MAKE.findall("    make sense\nand `make tea`")) == {"sense", "tea"}
    with pytest.raises(Exception, match="invalid choice"):
        accepts(["brew", "--hot"])


# Links --------------------------------------------------------------------------------


@over_pages
def test_links_lead_somewhere(name: str) -> None:
    folder = (ROOT / name).parent
    text = FENCED.sub("", PAGES[name])
    for target, anchor in re.findall(r"\]\(([^)\s#:]*)(#[^)\s]+)?\)", text):
        path = (folder / target).resolve() if target else ROOT / name
        assert path.exists(), target
        if anchor and path.suffix == ".md":
            assert anchor[1:] in anchors(path.read_text("utf-8")), anchor


def anchors(text: str) -> set[str]:
    """Of a page's headings, as Git hosts and MkDocs make them."""
    titles = re.findall(r"(?m)^#+ (.+)$", FENCED.sub("", text))
    plain = (re.sub(r"[^\w\s-]", "", title).strip().lower() for title in titles)
    return {re.sub(r"[\s-]+", "-", title) for title in plain}


# The site -----------------------------------------------------------------------------


def test_every_page_is_in_the_navigation() -> None:
    """mkdocs.yml names every page of docs/, and no other but those that hooks add."""
    text = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:")[2]
    listed = re.findall(r"[\w./-]+\.md", text.partition("\n\n")[0])
    ours = {v.removeprefix("docs/") for v in PAGES if v.startswith("docs/")}
    added = {"readme.zh-CN.md", "changelog.md", "contributing.md"}
    assert sorted(listed) == sorted(ours | added)


def test_the_site_takes_nothing_from_the_network() -> None:
    text = (ROOT / "mkdocs.yml").read_text("utf-8")
    assert "font: false" in text
    assert not re.search(r"(?m)^extra_javascript|https?://", text)
