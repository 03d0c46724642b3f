"""Every implementation of a case against the reference: values, then times."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

import jaxconv
from jaxconv._cli import reference
from jaxconv._cli.geometries import Case
from jaxconv._plan.choose import made_for_others
from jaxconv._plan.place import Place

ROLES: dict[str, Literal["output", "input"]] = {
    "conv": "output",
    "conv_transpose": "input",
}
SECONDS = 0.15  # at most so long is one implementation timed, but three times at least


@dataclass(frozen=True)
class Row:
    """One implementation of one case."""

    geometry: str
    function: str
    implementation: str
    status: Literal["agrees", "wrong", "refused", "failed"]
    tolerance: float
    difference: float | None = None  # the largest one to the reference
    compile_ms: float | None = None
    run_ms: float | None = None
    reason: str = ""

    @property
    def bad(self) -> bool:
        return self.status in ("wrong", "failed")


def names() -> Iterator[tuple[str, str]]:
    """Every pair of a function and an implementation of it.

    Without those that the plan has for other platforms only.
    """
    foreign = made_for_others(Place.here().platform)
    for function, role in ROLES.items():
        for name in jaxconv.lowerings(role):
            if name not in foreign:
                yield function, name


def compare(case: Case, y: np.ndarray) -> Iterator[Row]:
    """The rows of one case; ``y`` is the reference's conv(x)."""
    y32 = y.astype(np.float32)
    extra = case.output_padding(y)
    undone = reference.conv_transpose(
        y32, case.kernel, **case.arguments, output_padding=extra
    )
    jobs = {
        "conv": (partial(jaxconv.conv, **case.arguments), case.x, y),
        "conv_transpose": (
            partial(jaxconv.conv_transpose, **case.arguments, output_padding=extra),
            y32,
            undone,
        ),
    }
    for function, name in names():
        call, image, expected = jobs[function]
        allowed = tolerance(expected, case.terms(function))
        row = Row(case.name, function, name, "failed", allowed)
        operands = (jnp.asarray(image), jnp.asarray(case.kernel))
        yield _run(row, partial(call, implementation=name), operands, expected)


def tolerance(expected: np.ndarray, terms: int) -> float:
    """What rounding explains: float32's, growing with the square root of the terms."""
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    return 4 * float(np.finfo(np.float32).eps) * math.sqrt(terms) * scale


def largest(actual: Any, expected: Any) -> float:
    """The largest difference of two arrays; not-a-number where either holds one."""
    actual, expected = np.asarray(actual, float), np.asarray(expected, float)
    if actual.shape != expected.shape:
        return math.inf
    return float(np.abs(actual - expected).max(initial=0.0))


def _run(row: Row, fun: Callable[..., Any], operands: Any, expected: np.ndarray) -> Row:
    try:
        value, compile_ms, run_ms = measure(fun, *operands)
    except Exception as error:  # whatever goes wrong in one row, the others still run
        return _refusal(row, error)
    difference = largest(value, expected)
    agrees = difference <= row.tolerance  # false for not-a-number
    return replace(
        row,
        status="agrees" if agrees else "wrong",
        difference=difference,
        compile_ms=compile_ms,
        run_ms=run_ms,
    )


def _refusal(row: Row, error: Exception) -> Row:
    """An implementation says no by a ValueError that names it; else it has failed."""
    message = str(error).partition("\n")[0]
    start = f"implementation={row.implementation!r}: cannot run this: "
    if isinstance(error, ValueError) and message.startswith(start):
        reason = message.removeprefix(start).partition(". Leave")[0]
        return replace(row, status="refused", reason=reason)
    return replace(row, status="failed", reason=f"{type(error).__name__}: {message}")


def measure(fun: Callable[..., Any], *operands: jax.Array) -> tuple[Any, float, float]:
    """Value, milliseconds to trace and compile, and to run (the least of several)."""
    start = time.perf_counter()
    compiled = jax.jit(fun).lower(*operands).compile()
    compile_ms = 1e3 * (time.perf_counter() - start)
    value = jax.block_until_ready(compiled(*operands))
    times: list[float] = []
    end = time.perf_counter() + SECONDS
    while len(times) < 3 or (len(times) < 20 and time.perf_counter() < end):
        start = time.perf_counter()
        jax.block_until_ready(compiled(*operands))
        times.append(1e3 * (time.perf_counter() - start))
    return value, compile_ms, min(times)
