"""deform's benchmark: equal work for all peers, and a page that shows its results."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest

from benchmarks import deform, deform_report

FILES = sorted(deform.RESULTS.glob("deform-*.json"))


def test_both_implementations_compute_the_same() -> None:
    v = deform.operands(2, 3, 7)
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        for role, count in (("forward", 1), ("gradients", 6)):
            found = [
                deform.arrays(deform.build_jax(peer, role, v)())
                for peer in ("jaxconv", "jaxconv columns")
            ]
            assert len(found[0]) == count
            for a, b in zip(*found, strict=True):
                assert deform.difference(a, b) < deform.TOLERANCE
                assert np.count_nonzero(a)


def test_the_product_is_as_large_as_the_convolutions() -> None:
    v = deform.operands(2, 3, 7)
    with jax.enable_x64(False):
        (y,) = deform.arrays(deform.build_jax("product", "forward", v)())
    assert y.shape == (2 * 7 * 7, 3)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_page_shows_what_was_measured(path) -> None:
    table = deform_report.table(json.loads(path.read_text()))
    assert table in deform_report.PAGE.read_text()
    assert table.count("\n|") == 2 + 2 * len(deform.SHAPES)


def test_there_are_results() -> None:
    assert FILES
