"""Random geometries for oneDNN, each in a child process that may die of it.

A child computes several in one program, which is quicker, and compares each with NumPy
in float64.  Where a child dies, its geometries are tried again one by one.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxconv._core.geometry import Geometry, output_size, read_extent, span
from jaxconv._core.spec import OPERANDS, Case, Layout, Role, Sizes, Spec
from jaxconv._lowerings import LOWERINGS
from jaxconv._lowerings.cpu import onednn_kernel
from jaxconv._plan.probe import by_numpy

ONEDNN = LOWERINGS["onednn"]
Steps = list[tuple[str, Any]]  # names, and operands or None
TOGETHER = 8  # geometries in a program
A_CHILD = 4000  # geometries that a child computes before the next one starts
NEAR = 1e-5  # in units of the longest sum of squares
WORK = 2**22  # multiply-adds at most, which NumPy has to do too


def draw(seed: int, index: int, role: Role) -> Case:
    """The geometry with a number: tiny to a few dozen channels, odd in all ways."""
    rng = np.random.default_rng([seed, index])
    while True:
        case = _any(rng, role)
        if case.multiply_adds <= WORK and ONEDNN.refuse(case) is None:
            return case


def _any(rng: np.random.Generator, role: Role) -> Case:
    def some(*values: int) -> int:
        return int(rng.choice(values))

    ndim = some(1, 1, 2, 2, 2, 3)
    most = {1: 70, 2: 24, 3: 10}[ndim]
    axes = [_axis(rng, most) for _ in range(ndim)]
    groups = some(1, 1, 1, 2, 3, 4, 8, 16, 17, 32)
    wide = (1, 1, 2, 3, 4, 7, 8, 15, 16, 17, 24, 32, 33, 48, 64)
    c, o = some(*wide), some(*wide)
    if groups > 1 and rng.random() < 0.5:
        c, o = 1, some(1, 1, 1, 2, 3)
    elif groups > 8:
        c, o = some(1, 2, 4), some(1, 2, 4)
    geometry = Geometry.of(axes)
    kind = np.dtype(np.float32)
    layout = Layout(str(rng.choice(["channels_last", "channels_first"])))
    spec = Spec(role, geometry, groups, layout, kind)
    return Case(spec, Sizes(some(1, 1, 2, 3, 4, 8), c, o), kind)


def _axis(rng: np.random.Generator, most: int) -> tuple[int, ...]:
    """Input, kernel, output, stride, dilation and low padding of one axis."""
    while True:
        i, k = int(rng.integers(1, most + 1)), int(rng.choice([1, 2, 3, 3, 3, 4, 5, 7]))
        s, d = (
            int(rng.choice([1, 1, 1, 2, 2, 3, 4])),
            int(rng.choice([1, 1, 1, 2, 3, 6])),
        )
        reach = span(k, d)
        usual = rng.random() < 0.7
        low, high = (
            int(rng.integers(0, reach) if usual else rng.integers(-2, reach + 4))
            for _ in range(2)
        )
        o = output_size(i, k, s, d, low, high)
        if 1 <= o <= most + 2 * reach:
            return i, k, o, s, d, low


# In the child -------------------------------------------------------------------------


def child(seed: int, first: int, stop: int, step: int, role: Role) -> None:
    """Says which geometries it is about to compute, and which came out wrong."""
    onednn_kernel.BLOCK = 2**13  # or blocks would need more work than NumPy can do
    for start in range(first, stop, step):
        numbers = range(start, min(start + step, stop))
        print(json.dumps({"at": start, "count": len(numbers)}), flush=True)
        cases = [draw(seed, n, role) for n in numbers]
        rng = np.random.default_rng([seed, start, 1])
        arrays = [_operands(case, rng) for case in cases]
        steps = [_after(case, rng) for case in cases]
        names = [[name for name, _ in some] for some in steps]
        others = [[v for _, v in some] for some in steps]
        found = jax.jit(functools.partial(_compute, cases, names))(arrays, others)
        for number, case, (a, b), after, got in zip(
            numbers, cases, arrays, steps, found, strict=True
        ):
            error = _error(case, a, b, after, np.asarray(got))
            if not error <= NEAR:
                print(json.dumps({"wrong": number, "by": float(error)}), flush=True)
        jax.clear_caches()
    print(json.dumps({"at": stop, "count": 0}), flush=True)


def _operands(case: Case, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    spec = case.spec.as_last
    first, second = (spec.shape(v, case.sizes) for v in OPERANDS[case.role])
    return tuple(
        rng.standard_normal(shape).astype(case.dtype) for shape in (first, second)
    )


def _after(case: Case, rng: np.random.Generator) -> Steps:
    """Steps after the output role: often none, and else up to three after a shift."""
    empty = any(read_extent(axis).empty for axis in case.geometry.axes)
    if case.role != "output" or empty or rng.random() < 0.4:
        return []
    shape = case.spec.as_last.shape("output", case.sizes)
    sizes: dict[str, tuple[int, ...]] = {"shift": shape[-1:], "add": shape}
    first = ["shift"] if rng.random() < 0.7 else []
    later = sorted(ONEDNN.finishes - {"shift"})
    names = [*first, *rng.choice(later, rng.integers(0, 4))]
    return [
        (str(name), _normal(rng, sizes[name]) if name in sizes else None)
        for name in names
    ]


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def _compute(
    cases: list[Case], names: list[list[str]], arrays: Any, others: Any
) -> list[jax.Array]:
    found: list[jax.Array] = []
    for case, some, (a, b), more in zip(cases, names, arrays, others, strict=True):
        after = {"after": list(zip(some, more, strict=True))} if some else {}
        found.append(ONEDNN.roles[case.role](a, b, case.spec, **after))
    return found


# The slope of each is at most 1.1, so that an error hardly grows.
BY_NUMPY: dict[str, Callable[..., np.ndarray]] = {
    "shift": np.add,
    "add": np.add,
    "sigmoid": lambda v, _: 1 / (1 + np.exp(-v)),
    "silu": lambda v, _: v / (1 + np.exp(-v)),
    "tanh": lambda v, _: np.tanh(v),
}


def _error(
    case: Case, a: np.ndarray, b: np.ndarray, after: Steps, got: np.ndarray
) -> float:
    """The largest difference, by the length of the longest sum of squares."""
    wide = (a.astype(np.float64), b.astype(np.float64))
    spec = case.spec.as_last
    want = by_numpy(spec, *wide)
    if got.shape != want.shape:
        return np.inf
    scale = np.sqrt(by_numpy(spec, *(v * v for v in wide)).max(initial=1e-30))
    for name, operand in after:
        want, scale = BY_NUMPY[name](want, operand), max(scale, 1.0)
    return float(np.abs(got.astype(np.float64) - want).max(initial=0) / scale)


# In the parent ------------------------------------------------------------------------


def parent(count: int, seed: int, role: Role, seconds: float) -> int:
    """All geometries of a role; 1 if one died or was wrong."""
    start, done, finds = time.monotonic(), 0, 0
    while done < count and time.monotonic() - start < seconds:
        stop = min(done + A_CHILD, count)
        reached, wrong, code = _run(seed, done, stop, TOGETHER, role, seconds)
        finds += len(wrong)
        for line in wrong:
            print(f"FOUND {line} {draw(seed, line['wrong'], role)}", flush=True)
        done = reached
        if code:
            last = min(done + TOGETHER, stop)
            for number in range(done, last):
                _, _, died = _run(seed, number, number + 1, 1, role, 600)
                if died:
                    finds += 1
                    case = draw(seed, number, role)
                    print(f"FOUND the process died ({died}): {case}", flush=True)
            done = last
    took = time.monotonic() - start
    print(f"{role}: {done} geometries in {took:.0f} s, {finds} finds", flush=True)
    return 1 if finds else 0


def _run(
    seed: int, first: int, stop: int, step: int, role: Role, seconds: float
) -> tuple[int, list[dict[str, Any]], int]:
    """How far a child came, what was wrong, and how it ended."""
    numbers = f"{seed}, {first}, {stop}, {step}, {role!r}"
    code = f"import sys; sys.path[:0] = {sys.path!r}\n"
    code += f"from fuzz import onednn; onednn.child({numbers})"
    at, wrong, begun = first, [], time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        for text in process.stdout:
            line = json.loads(text)
            at = line.get("at", at)
            wrong += [line] if "wrong" in line else []
            if time.monotonic() - begun > seconds:
                process.kill()
                return at, wrong, 0
    return at, wrong, process.returncode
