"""The Chinese README keeps up with the English one in all that needs no translating."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ENGLISH, CHINESE = "README.md", "README.zh-CN.md"
CODE = re.compile(r"^```.*?^```$|^ {4}\S.*?$", re.DOTALL | re.MULTILINE)
GENERATED = re.compile(r"^<!-- (\w+):begin -->$.*?^<!-- \1:end -->$", re.DOTALL | re.M)


def code(text: str) -> list[str]:
    return CODE.findall(text)


def headings(text: str) -> list[str]:
    """The level of each, as its number signs; those of comments in code are none."""
    return re.findall(r"^(#+) ", CODE.sub("", text), re.MULTILINE)


def links(text: str) -> list[str]:
    """Where links and images lead, but for the link from one language to the other."""
    found = re.findall(r"(!?)\[[^\]]*\]\(([^)]+)\)", CODE.sub("", text))
    return sorted(
        mark + target for mark, target in found if target not in (ENGLISH, CHINESE)
    )


def generated(text: str) -> list[str]:
    return [match[0] for match in GENERATED.finditer(text)]


@pytest.mark.parametrize("part", [code, headings, links, generated])
def test_both_languages_have_the_same(part: Callable[[str], list[str]]):
    english, chinese = (part(read(name)) for name in (ENGLISH, CHINESE))
    assert len(english) >= 2
    assert chinese == english


@pytest.mark.parametrize(("here", "there"), [(ENGLISH, CHINESE), (CHINESE, ENGLISH)])
def test_each_language_leads_to_the_other(here: str, there: str):
    assert f"]({there})" in read(here)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")
