"""Rounding, overflow and determinism of every lowering, and what the page says of them.

The samples, operands and the unit of errors are those of `benchmarks.numerics`, which
writes docs/numerics.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import oracle
from benchmarks import numerics
from jaxconv._lowerings import LOWERINGS
from oracle import Window

ROOT = Path(__file__).parents[1]
PAIRS = [*numerics.pairs()]
PLANNED = [(name, role) for name, role in PAIRS if not LOWERINGS[name].by_hand]
optimised = pytest.mark.optimised
over_planned = pytest.mark.parametrize(("name", "role"), PLANNED)

MORE = 2.0  # at most so many times direct convolution's typical error
# What rounds worse, by how much at most, and where docs/numerics.md gives the reason.
WORSE = {
    ("exchange", "kernel"): 5.0,
    ("fft", "input"): 4.0,
    ("fft", "output"): 4.0,
    ("grouped", "kernel"): 5.0,
    ("onednn", "kernel"): 4.0,
    ("transpose", "kernel"): 4.0,
    ("vjp", "kernel"): 4.0,
}


def sample(name: str, role: str, dtype: str = "float32") -> numerics.Sample:
    return numerics.home(name, role, dtype)


# Rounding -----------------------------------------------------------------------------


@optimised
@over_planned
def test_errors_are_those_of_direct_convolution(name: str, role: str) -> None:
    where = sample(name, role)
    ours = numerics.errors(where, role, "float32", name)
    direct = numerics.errors(where, role, "float32", numerics.DIRECT)
    assert 0 < ours.typical <= WORSE.get((name, role), MORE) * direct.typical
    assert ours.largest <= 2 * WORSE.get((name, role), MORE) * direct.largest


@optimised
def test_the_unit_sees_a_lost_digit() -> None:
    """A result rounded to one bit less than float32 has, is out of bounds."""
    where = sample("xla", "output")
    length = numerics.lengths(where, "output", "float32")
    exact = numerics.exact(where, "output", "float32")
    rounded = numerics.in_units(exact.astype(np.float32), exact, length, "float32")
    assert rounded.largest <= 8
    halves = numerics.in_units(exact.astype(np.float16), exact, length, "float32")
    direct = numerics.errors(where, "output", "float32", numerics.DIRECT)
    assert halves.typical > 100 * direct.typical


@optimised
@pytest.mark.parametrize("name", ["columns", "chunks"])
def test_deformable_errors(name: str) -> None:
    """A few eps, as positions are in the tens."""
    assert max(numerics.deform_errors(name, "float32").values()) <= 16


# Overflow -----------------------------------------------------------------------------

LARGE = 150.0  # products of such numbers leave float16's range as soon as two add up
INSIDE = 60000.0


@over_planned
def test_sums_of_halves_do_not_overflow(name: str, role: str) -> None:
    """Where the result is in float16's range, whatever the sums on the way are."""
    if not any(v.accepts(name, role, np.float16) for v in numerics.SAMPLES):
        pytest.skip("refuses float16")
    where = sample(name, role, "float16")
    found = np.asarray(numerics.run(where, role, "float16", name, LARGE), np.float64)
    wanted = numerics.exact(where, role, "float16", LARGE)
    inside = np.abs(wanted) < INSIDE
    assert inside.sum() > 20
    assert np.isfinite(found[inside]).all()
    off = np.abs(found - wanted)[inside]
    assert (
        off <= 2.0**-10 * np.abs(wanted[inside]) + 2.0**-18 * np.abs(wanted).max()
    ).all()


def test_sums_in_float16_would_overflow(rng: np.random.Generator) -> None:
    """The same numbers, added up in float16 by the oracle."""
    window = Window((20,), (9,), (12,), (1,), (1,), (0,))
    x, w = (LARGE * rng.standard_normal(v) for v in ((2, 40, 20), (24, 40, 9)))
    exact = oracle.contract("output", x, w, window)
    with np.errstate(over="ignore", invalid="ignore"):
        halves = oracle.contract("output", *(v.astype("f2") for v in (x, w)), window)
    inside = np.abs(exact) < INSIDE
    assert not np.isfinite(halves[inside]).all()


def test_deformable_sums_of_halves_do_not_overflow() -> None:
    found = numerics.deform("columns", jnp.float16, scale=LARGE)[0]
    wanted = np.asarray(numerics.deform("columns", jnp.float16, jnp.float64, LARGE)[0])
    inside = np.abs(wanted) < INSIDE
    assert 100 < inside.sum() < inside.size
    assert np.isfinite(np.asarray(found)[inside]).all()


# Determinism --------------------------------------------------------------------------

CHILD = """
import json, jax
jax.config.update("jax_enable_x64", True)
from benchmarks import numerics
print(json.dumps(numerics.fingerprints()))
"""


@cache
def elsewhere() -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@optimised
def test_bits_are_the_same_in_every_run_and_process() -> None:
    first, again = numerics.fingerprints(), numerics.fingerprints()
    assert first == again
    assert {key.split()[0] for key in first} >= {
        name for name, lowering in LOWERINGS.items() if not lowering.by_hand
    }
    assert len({*first.values()}) > len(first) // 2  # not all of zeros
    assert elsewhere() == first


# The page -----------------------------------------------------------------------------


def test_page_is_up_to_date() -> None:
    """Every lowering in every role, and the exceptions above."""
    page = numerics.PAGE.read_text(encoding="utf-8")
    block = page.split("<!-- errors:begin -->")[1].split("<!-- errors:end -->")[0]
    cells = [line.split(" | ") for line in block.splitlines()]
    rows = {(row[0].strip("| `"), row[1]) for row in cells if row[0][:3] == "| `"}
    assert rows - {("deform_conv", "result")} == {*PAIRS}
    reasons = page.split("### Worse than twice")[1].split("\n## ")[0]
    assert {name for name, _ in WORSE} == {
        line.split("`")[1] for line in reasons.splitlines() if line[:3] == "* `"
    }


def test_the_script_writes_between_the_marks(tmp_path: Path, monkeypatch: Any) -> None:
    page = tmp_path / "numerics.md"
    page.write_text("before\n<!-- errors:begin -->\nold\n<!-- errors:end -->\nafter\n")
    monkeypatch.setattr(numerics, "PAGE", page)
    monkeypatch.setattr(numerics, "pairs", lambda: [("xla", "output")])
    monkeypatch.setattr(numerics, "SAMPLES", numerics.SAMPLES[2:3])
    monkeypatch.setattr(numerics, "DTYPES", ("float32",))
    monkeypatch.setattr(numerics, "deform_errors", lambda *_: {"result": 1.0})
    assert numerics.main(["--write"]) == 0
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "| `xla` | output |" in text
    assert "old" not in text
    assert jax.__version__ in text
