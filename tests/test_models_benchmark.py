"""The benchmark of whole models: its table, its ways, one task in full."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from benchmarks.models import MODELS, RATE, Model, __main__, report, worker

ROOT = Path(__file__).parent.parent


def synthetic() -> dict:
    def entry(seconds, spread=0.04):
        rounds = {"min_s": seconds, "spread": spread, "rounds": 5}
        return rounds | {"lower_s": 1.0, "compile_s": 2 * seconds, "difference": 3e-7}

    def cell(model, task, **peers):
        return {"model": model, "library": "flax", "task": task, "peers": peers}

    slow = entry(9.0, None) | {"rounds": 1}
    return {
        "date": "2030-01-02",
        "device": {"name": "A processor", "cores": 2},
        "versions": {"jax": "9.8.7"},
        "batch": 4,
        "cells": [
            cell("A", "inference", plain=entry(8.0), outside=entry(2.0)),
            cell(
                *("A", "training step"),
                plain=slow,
                outside=entry(1.0),
                inside=entry(0.5),
            ),
            cell("B", "inference", plain=entry(1.0), outside=entry(2.0)),
            cell(
                *("B", "training step"),
                plain={"error": "no answer within 600 s, stopped"},
                outside=entry(1.0),
                inside=entry(0.5),
            ),
        ],
    }


def test_the_table_says_what_was_measured():
    text = report.markdown(synthetic())
    times = "9.00× / 18.0× (9000 → 1000 / 500)"
    first = "0.222× (36.0 → 8.00 s)"  # 1 + 16 + 1 + 18, 1 + 4 + 1 + 2
    assert f"| A (Flax) | 4.00× (8000 → 2000) | {times} | {first} |" in text
    assert "| B (Flax) | 0.500× (1000 → 2000) | - / - (- → 1000 / 500) | - |" in text
    assert "A processor, 2 cores; jax 9.8.7; 2030-01-02" in text
    assert "spread of the rounds 4%; values differ by at most 3e-07" in text
    assert "Over 5 s and so run once: A (training step, plain)." in text
    assert "Slower than without: B (inference)." in text
    assert "Not measured: B (training step, plain): no answer within 600 s" in text


def test_the_table_replaces_what_stands_between_its_markers(tmp_path):
    source, page = tmp_path / "result.json", tmp_path / "page.md"
    source.write_text(json.dumps(synthetic()))
    begin, end = "<!-- models:begin -->", "<!-- models:end -->"
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    for _ in range(2):
        assert report.main([str(source), "--write", str(page)]) == 0
        text = page.read_text()
        assert text.startswith(f"before\n{begin}\n| model |")
        assert text.endswith(f".\n{end}\nafter\n")
        assert "old" not in text
    page.write_text(begin)
    with pytest.raises(ValueError, match="one line"):
        report.main([str(source), "--write", str(page)])


def test_values_of_a_step_are_the_loss_and_the_gradients(rng):
    old, new = rng.standard_normal((2, 3, 4))
    model = Model(({"w": old}, ()), None, None, None)
    got = worker.values(model, "training step", (({"w": new}, ()), np.array(7.0)))
    np.testing.assert_allclose(got, [7.0, *((old - new) / RATE).ravel()])
    assert __main__.difference(got * 1.01, got) == pytest.approx(0.01)


def test_every_model_has_both_sizes():
    assert {entry.library for entry in MODELS.values()} == {
        *("keras", "flax", "equinox", "haiku"),
    }
    for entry in MODELS.values():
        assert entry.small.keys() >= entry.real.keys()


def test_one_task_in_full(tmp_path):
    pytest.importorskip("flax", reason="flax is not installed")
    path = tmp_path / "result.json"
    command = [sys.executable, "-m", "benchmarks.models", "--small", "--seconds", "0.1"]
    command += ["--only", "^DCGAN, inference", "--cores", "1", "--json", str(path)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(path.read_text())
    (cell,) = result["cells"]
    assert (cell["model"], cell["task"]) == ("DCGAN", "inference")
    assert set(cell["peers"]) == {"plain", "outside"}
    for entry in cell["peers"].values():
        assert 0 < entry["min_s"] <= entry["median_s"]
        assert 0 < entry["trace_s"] < entry["lower_s"]
        assert entry["compile_s"] > 0
    assert cell["peers"]["outside"]["difference"] < 1e-5
    assert result["versions"]["jax"] == jax.__version__
    assert "| DCGAN (Flax) |" in done.stdout


def test_the_tables_of_the_pages_come_from_a_committed_result():
    root = Path(__file__).parents[1]
    results = [
        json.loads(path.read_text())
        for path in (root / "benchmarks" / "results").glob("models-*.json")
    ]
    readme = (root / "README.md").read_text(encoding="utf-8")
    page = (root / "docs" / "whole-models.md").read_text(encoding="utf-8")
    (short,) = {report.snippets(v) for v in results if report.markdown(v) in page}
    assert short in readme
    assert all(name in short for name in report.SHOWN)
