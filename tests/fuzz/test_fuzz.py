"""A few hundred random calls, always the same ones; ``make fuzz N=20000`` for more."""

from __future__ import annotations

import jax
import pytest

from fuzz import runner, subjects

# Chosen so that the file takes half a minute on one core.
COUNTS = {"conv": 300, "lax": 60, "accelerate": 40, "deform": 25}


@pytest.mark.parametrize("subject", COUNTS)
def test_random_calls_by_numpy(subject: str) -> None:
    """The jaxpr is evaluated, so this is all but XLA's own part."""
    count = COUNTS[subject]
    find = runner.block(subjects.drawn(subject, "numpy"), 20, count, shrink=False)
    assert find is None, f"{find.error}\n{find.line}"


@pytest.mark.parametrize("engine", ["xla", "eager"])
def test_random_calls_by_xla(engine: str) -> None:
    find = runner.block(subjects.drawn("conv", engine), 21, 8, shrink=False)
    jax.clear_caches()
    assert find is None, f"{find.error}\n{find.line}"
