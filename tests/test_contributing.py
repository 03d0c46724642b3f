"""CONTRIBUTING.md's lowering, added as the page says: the tests take it up."""

from __future__ import annotations

import importlib.util
import re
import sys
import types
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import jaxconv
from benchmarks import numerics
from jaxconv import _lowerings
from jaxconv._lowerings import LOWERINGS
from jaxconv._plan import onednn

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PACKAGE = Path(jaxconv.__file__).parent
NAME, ROLE = "by_channel", "output"


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Steps 1 and 2: the page's file as a module, and it in the table."""
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
    module = types.ModuleType(f"jaxconv._lowerings.{NAME}")
    exec(compile(code, f"{NAME}.py", "exec"), vars(module))
    assert list(LOWERINGS.values()) == list(_lowerings._ALL)  # step 2's
    monkeypatch.setitem(LOWERINGS, module.LOWERING.name, module.LOWERING)
    return module


def collected(name: str) -> Any:
    """A test file as pytest would import it now."""
    path = ROOT / "tests" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"{name}_again", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cases(test: Any) -> list[tuple[Any, ...]]:
    """The values that a parametrised test gets."""
    (mark,) = [m for m in test.pytestmark if m.name == "parametrize"]
    return [getattr(value, "values", value) for value in mark.args[1]]


def test_the_tests_take_it_up(added: Any, rng: np.random.Generator) -> None:
    again = collected("test_lowerings")
    for test in ("test_values", "test_gradients_and_loops", "test_no_negative_padding"):
        mine = [v for v in cases(getattr(again, test)) if v[0] == NAME]
        assert mine, test
        assert {role for _, role, _ in mine} == {ROLE}
    ((name, role, mine),) = [v for v in cases(again.test_values) if v[0] == NAME]
    assert len(mine) > 20
    again.test_values(name, role, mine[:4], rng)
    right = added.output
    added.LOWERING.roles[ROLE] = lambda x, w, spec: 2 * right(x, w, spec)
    with pytest.raises(AssertionError, match=mine[4].name):
        again.test_values(name, role, mine[4:6], rng)


def test_so_do_those_of_memory_and_numerics(added: Any) -> None:
    again = collected("test_memory")
    bounds = [case for (case,) in cases(again.test_scratch_bounds_what_is_allocated)]
    mine = [case for case in bounds if case.spec.lowering == NAME]
    assert mine
    again.test_scratch_bounds_what_is_allocated(mine[0])
    assert (NAME, ROLE) in numerics.pairs()
    assert (NAME, ROLE) in cases(collected("test_nan").test_spread_is_declared)


def test_it_can_be_asked_for_and_explained(added: Any) -> None:
    x, kernel = np.ones((2, 3, 7), np.float32), np.ones((4, 3, 2), np.float32)
    assert NAME in jaxconv.lowerings(ROLE)
    text = jaxconv.explain(jaxconv.conv, x, kernel, implementation=NAME)
    assert f"lowering {NAME!r}: {added.LOWERING.summary}" in text
    with pytest.raises(ValueError, match=r"cannot run this: it does not take groups"):
        jaxconv.conv(x, kernel[:3, :1], groups=3, implementation=NAME)


def test_a_call_goes_from_end_to_end_as_told(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """The functions that the page names are called one after the other."""
    section = PAGE.split("## One call from end to end")[1].split("\n## ")[0]
    told = re.findall(r"^    (_\S+\.py) +(\w+) ", section, re.M)
    assert len(told) == 10
    monkeypatch.setattr(onednn, "obstacle", lambda *_, **__: "a CPU without oneDNN")
    jax.clear_caches()
    x, kernel = (
        rng.standard_normal((3, 19, 23, 22)),
        rng.standard_normal((18, 19, 3, 3)),
    )
    called: list[tuple[str, str]] = []

    def note(frame: types.FrameType, event: str, _: Any) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(PACKAGE):
            name = path.relative_to(PACKAGE).as_posix()
            called.append((name, frame.f_code.co_name))

    sys.setprofile(note)
    try:
        jaxconv.conv(x, kernel, stride=2)
    finally:
        sys.setprofile(None)
    rest = iter(called)
    for step in told:
        assert step in rest, f"{step} is not called, or not after those before it"


def test_every_file_and_field_that_is_named_exists() -> None:
    section = PAGE.split("## A new lowering")[1].split("\n## ")[0]
    for link in re.findall(r"\]\(([^)#]+)", section):
        assert (ROOT / link).is_file(), link
    for field in ("refuse", "scratch", "spreads", "native"):
        assert f"`{field}`" in section
        assert hasattr(LOWERINGS["xla"], field)
