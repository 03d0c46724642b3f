"""Every block of docs/summaries.md runs and prints the text that stands after it."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import jax
import pytest

PAGE = Path(__file__).parent.parent / "docs" / "summaries.md"
BLOCKS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE.read_text(), re.S)


def run(code: str, scope: dict[str, Any]) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, PAGE.name, "exec"), scope)
    return out.getvalue()


def test_the_page_prints_what_it_says() -> None:
    assert len(BLOCKS) == PAGE.read_text().count("```python") == 5
    scope: dict[str, Any] = {}
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        for code, text in BLOCKS:
            assert run(code, scope) == text


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)#:]+)\)", PAGE.read_text()))
def test_links_lead_somewhere(path: str) -> None:
    assert (PAGE.parent / path).exists()
