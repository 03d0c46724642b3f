"""What a release consists of besides its code: versions, links and the README."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "hatch_build", ROOT / "hatch_build.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_citation_has_the_version_and_the_address() -> None:
    text = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {PROJECT['version']}\n" in text
    assert f"\nrepository-code: {PROJECT['urls']['Repository']}\n" in text


def test_the_changelog_names_the_version() -> None:
    newest = re.split(r"(?m)^## ", (ROOT / "CHANGELOG.md").read_text("utf-8"))[1]
    assert PROJECT["version"] in newest


def test_one_address() -> None:
    """All links of the package lead to the repository."""
    urls = PROJECT["urls"]
    assert {"Repository", "Documentation", "Changelog", "Issues"} == urls.keys()
    assert all(url.startswith(urls["Repository"]) for url in urls.values())


def test_links_become_absolute(build: ModuleType) -> None:
    text = (
        "[a](docs/a.md#x) ![b](b.svg) [c](https://c.org) [d](#d)\n"
        "[![e](e.svg)](https://e.org) [![f](f.png)](f.md)\n"
        "```python\ny = table[0](x.y)\n```\nand [g](g/)\n"
    )
    base = "https://h.org/r"
    assert build.absolute(text, base, "v1") == (
        f"[a]({base}/blob/v1/docs/a.md#x) ![b]({base}/raw/v1/b.svg) "
        "[c](https://c.org) [d](#d)\n"
        f"[![e]({base}/raw/v1/e.svg)](https://e.org) "
        f"[![f]({base}/raw/v1/f.png)]({base}/blob/v1/f.md)\n"
        f"```python\ny = table[0](x.y)\n```\nand [g]({base}/blob/v1/g/)\n"
    )


def test_the_packages_readme_has_no_relative_link(build: ModuleType) -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    made = build.absolute(text, PROJECT["urls"]["Repository"], "v1")
    prose = re.sub(r"(?ms)^```.*?^```$", "", made)
    targets = re.findall(r"\]\(([^)\s]+)\)", prose)
    assert len(targets) > 10
    assert [v for v in targets if not re.match(r"https://|#", v)] == []


def test_the_workflow_only_calls_ci() -> None:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    assert re.findall(r"- run: (.*)", text) == [".ci/run"]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
