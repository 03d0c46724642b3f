"""Notebooks in Chinese: the code, the outputs and the formulas are the English ones."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
TRANSLATIONS = sorted(FOLDER.glob("zh-CN/*.ipynb"))
EXACT = re.compile(r"\$\$.+?\$\$|\$[^$]+\$|`[^`]+`", re.S)
LINK = re.compile(r"\]\(([^)]+)\)")


def cells(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def exact(text: str) -> list[str]:
    """Formulas and code, which are said alike in both languages."""
    return sorted(" ".join(found.split()) for found in EXACT.findall(text))


def test_the_first_three_are_translated() -> None:
    assert [path.name[0] for path in TRANSLATIONS] == ["1", "2", "3"]


@pytest.mark.parametrize("path", TRANSLATIONS, ids=lambda path: path.stem)
def test_only_the_words_differ(path: Path) -> None:
    pairs = zip(cells(FOLDER / path.name), cells(path), strict=True)
    for english, chinese in pairs:
        if english["cell_type"] == "code":
            assert chinese == english
            continue
        assert chinese["cell_type"] == "markdown"
        words, said = ("".join(cell["source"]) for cell in (english, chinese))
        assert exact(said) == exact(words)
        assert said.count("<details>") == words.count("<details>")
        assert re.findall(r"^#+ ", said, re.M) == re.findall(r"^#+ ", words, re.M)
        assert len(re.findall(r"[\u4e00-\u9fff]", said)) > len(words) // 9
        for target in LINK.findall(EXACT.sub("", said)):
            assert (path.parent / target).is_file(), target
