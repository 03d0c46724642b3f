"""`python -m jaxconv summary`: models by their place in a module."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from jaxconv.__main__ import main

MODULE = """
import jax, jaxconv, numpy as np

KERNEL = np.ones((5, 3, 3, 2), np.float32)

class Model:
    weight = jax.numpy.asarray(KERNEL)
    def __call__(self, x):
        return jaxconv.conv(x, self.weight, stride=2)

def net(x, kernel):
    return jaxconv.conv(x, kernel)

def whole():
    return net, np.ones((2, 3, 8, 7), np.float32), KERNEL

number = 3
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "some_models.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "some_models", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "work"),
    [
        (["net", "--input", "2x3x8x7", "--input", "5x3x3x2"], 2 * 5 * 3 * 6 * 36),
        (["whole"], 2 * 5 * 3 * 6 * 36),
        (["Model", "--input", "1x3x9x8"], 5 * 3 * 6 * 16),
    ],
)
def test_functions_classes_and_makers(
    arguments: list[str], work: int, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *rest = arguments
    assert main(["summary", f"some_models:{name}", *rest, "--json"]) == 0
    found: Any = json.loads(capsys.readouterr().out)
    assert found["totals"]["multiply_adds"] == work


def test_table_and_picture(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="--plot needs matplotlib")
    target = ["summary", "some_models:whole", "--platform", "gpu"]
    assert main([*target, "--plot", "a.png"]) == 0
    assert (here / "a.png").stat().st_size > 1000
    assert "1  convolution  3×2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["net"], "write module:name"),
        (["some_models:nothing"], "has no 'nothing'"),
        (["no_such_models:net"], "no module named 'no_such_models'"),
        (["some_models:number"], "neither a function nor makes one"),
        (["some_models:net"], "--input"),
        (["some_models:net", "--input", "2,3"], "is not a shape"),
        (["some_models:whole", "--dtype", "float31"], "--dtype float31"),
        (["some_models:whole", "--plot", "a.txt"], "--plot a.txt"),
    ],
)
def test_errors_are_one_line(
    arguments: list[str], words: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["summary", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert words in err
