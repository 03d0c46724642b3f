"""Blocks of random calls; what fails is made small.  See `__main__`."""

from __future__ import annotations

import collections
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
import jax
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st

from fuzz.check import DONE, check

BLOCK = 200
QUIET = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)


class Find(NamedTuple):
    """The smallest call found that fails, and how."""

    line: str
    error: str


def block(
    strategy: st.SearchStrategy[Any],
    seed: int,
    count: int,
    *,
    shrink: bool = True,
    before: Callable[[Any], None] = lambda subject: None,
) -> Find | None:
    """Checks so many calls."""
    last: list[Any] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        derandomize=False,
        database=None,
        deadline=None,
        suppress_health_check=QUIET,
        phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
        print_blob=False,
        report_multiple_bugs=False,
    )
    @hypothesis.given(strategy)
    def one(subject: Any) -> None:
        last[:] = [subject]
        before(subject)
        DONE["calls"] += 1
        check(subject)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            one()
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})"
        return Find(f"check({last[0]!r})", text)
    finally:
        jax.clear_caches()
    return None


def blocks(
    strategy: st.SearchStrategy[Any],
    seed: int,
    count: int,
    *,
    seconds: float = float("inf"),
    note: Path | None = None,
) -> Iterator[tuple[int, Find | None]]:
    """After each block how many calls were checked, and a find if there is one.

    The call in progress is written to the file ``note``.
    """

    def before(subject: Any) -> None:
        if note is not None:
            note.write_text(f"check({subject!r})")

    start, done = time.monotonic(), 0
    while done < count and time.monotonic() - start < seconds:
        size = min(BLOCK, count - done)
        find = block(strategy, seed * 1_000_003 + done, size, before=before)
        done += size
        yield done, find


def summary() -> str:
    counts: collections.Counter[str] = DONE
    return ", ".join(f"{name} {counts[name]}" for name in sorted(counts))
