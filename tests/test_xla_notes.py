"""docs/xla-notes.md: its reproductions give what its table says, its tests exist.

What ends the process runs in one of its own; all others share one.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "xla-notes.md").read_text(encoding="utf-8")
VERSION = ".".join(jax.__version__.split(".")[:2])
DIES = "dies"


class Fault(NamedTuple):
    code: str
    outcomes: dict[str, str]  # by version of jax
    test: str


def read(page: str) -> dict[str, Fault]:
    blocks = dict(re.findall(r"^## (.+?)\n.*?^```python\n(.*?)^```", page, re.M | re.S))
    lines = [line[2:-2].split(" | ") for line in page.splitlines() if line[:2] == "| "]
    (first, *head), _, *rows = lines
    assert first == "fault"
    versions = [title.removeprefix("jax ") for title in head[:-2]]
    found = {}
    for name, *outcomes, _, test in rows:
        title = re.fullmatch(r"\[(.+)\]\(#.+\)", name)
        assert title is not None
        by_version = dict(zip(versions, outcomes, strict=True))
        found[title[1]] = Fault(blocks.pop(title[1]), by_version, test.strip("`"))
    assert not blocks, "a section that the table lacks"
    return found


FAULTS = read(PAGE)


def expected(fault: Fault) -> str:
    """With the installed jax."""
    known = [v for v in fault.outcomes if v.startswith(f"{VERSION}.")]
    if not known:
        pytest.skip(f"the table has no jax {VERSION}")
    return fault.outcomes[known[-1]]


def run(code: str) -> subprocess.CompletedProcess[str]:
    flags = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **flags},
        capture_output=True,
        text=True,
        timeout=240,
    )


TOGETHER = """
import contextlib, io, json, os
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
found = {}
for name, code in json.loads(%r).items():
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code, {})
    found[name] = out.getvalue().strip()
print(json.dumps(found))
"""


def test_those_that_live() -> None:
    wanted = {name: expected(fault) for name, fault in FAULTS.items()}
    living = {k: FAULTS[k].code for k, outcome in wanted.items() if outcome != DIES}
    assert len(living) >= 6
    done = run(TOGETHER % json.dumps(living))
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found.keys() == living.keys()
    for name, outcome in found.items():
        lucky = outcome == "right" and wanted[name] == "wrong values"  # memory of zeros
        assert lucky or outcome == wanted[name], name


FATAL = [name for name, fault in FAULTS.items() if DIES in fault.outcomes.values()]


@pytest.mark.parametrize("name", FATAL)
def test_those_that_die(name: str) -> None:
    if expected(FAULTS[name]) == DIES:
        assert run(FAULTS[name].code).returncode < 0


def test_the_table_names_tests_that_exist() -> None:
    for name, fault in FAULTS.items():
        file, _, function = fault.test.partition("::")
        text = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert not function or f"def {function}(" in text, name
