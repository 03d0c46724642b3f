"""Every claim of the notes has a test whose name carries its number."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator

import pytest

ROWS = {0: 16, 1: 11, 2: 13, 3: 6, 4: 8}  # how many claims each note makes
CLAIMS = [(note, row) for note, rows in ROWS.items() for row in range(1, rows + 1)]
ERRATA = [
    *((0, row) for row in (5, 6, 10, 11, 12)),
    *((1, row) for row in (6, 9)),
    *((2, row) for row in (3, 9, 10, 13)),
    *((3, row) for row in (1, 2, 4)),
    (4, 2),
]
NAME = re.compile(r"test_n(\d)_(\d\d)(_erratum)?_\w+")


def carried(note: int) -> Iterator[tuple[int, int, bool]]:
    """Note, row and whether it is of an erratum, for each test of a note's module."""
    for name, value in vars(importlib.import_module(f"test_n{note}")).items():
        if name.startswith("test_") and callable(value):
            match = NAME.fullmatch(name)
            assert match is not None, f"{name} does not carry a claim's number"
            yield int(match[1]), int(match[2]), match[3] is not None


@pytest.mark.parametrize(("note", "row"), CLAIMS)
def test_claim_has_a_test(note: int, row: int) -> None:
    found = [erratum for *claim, erratum in carried(note) if claim == [note, row]]
    assert found
    assert any(found) == ((note, row) in ERRATA)


@pytest.mark.parametrize("note", ROWS)
def test_no_test_carries_an_unknown_number(note: int) -> None:
    claims = {(found, row) for found, row, _ in carried(note)}
    assert claims == {claim for claim in CLAIMS if claim[0] == note}
