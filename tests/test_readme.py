"""Every Python block of the README runs and prints what its comments say.

This file is run against the wheel alone too, so it imports nothing of the checkout.
"""

import contextlib
import io
import re
from pathlib import Path

import jax
import pytest

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def expected_lines(block: str) -> list[str]:
    """The comment beside each print, or on the line after it."""
    lines = []
    for line, following in zip(
        block.splitlines(), [*block.splitlines()[1:], ""], strict=True
    ):
        if "print(" not in line:
            continue
        comment = line.partition("  # ")[2] or following.partition("# ")[2]
        lines.append(comment.strip())
    return lines


def lenient() -> contextlib.AbstractContextManager[None]:
    return jax.numpy_rank_promotion("allow")


def test_the_readme_has_code():
    assert len(BLOCKS) >= 2


def test_readme_prints_what_it_says():
    for library in ("flax", "equinox", "keras"):
        pytest.importorskip(library, reason=f"{library} is not installed")
    scope: dict[str, object] = {}
    prints = 0
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"), lenient():
        for block in BLOCKS:
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(block, "README.md", "exec"), scope)
            printed, expected = out.getvalue().splitlines(), expected_lines(block)
            assert len(printed) == len(expected)
            prints += len(printed)
            for got, said in zip(printed, expected, strict=True):
                assert said == got or said.startswith(f"{got}: "), (got, said)
    assert prints == 6  # three libraries, three functions


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)#:]+)\)", README.read_text()))
def test_readme_links_lead_somewhere(path):
    assert (README.parent / path).exists()
