"""Every way to compute one cell, held ready in one process of JAX."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.layers import BY_NAME
from benchmarks.peers import jaxconv_cell, lax_cell, to_numpy
from benchmarks.worker import describe, sketch
from benchmarks.workloads import Workload

WARM_S = 0.05  # a quicker run is preceded by one that does not count
ONEDNN = "onednn"
Call = Callable[[], Any]
# Of a convolution, and of a transposed one: what a cell's role is to the plan.
ROLES = (
    {"forward": "output", "input": "input", "kernel": "kernel"},
    {"forward": "input", "input": "output", "kernel": "kernel"},
)


class Lowerings:
    """Holds one cell at a time, compiled with each of its lowerings and as lax's."""

    def __init__(self) -> None:
        self.cell: tuple[str, str] = ("", "")
        self.operands: dict[str, Any] = {}
        self.calls: dict[str, Call] = {}
        self.reference: Any = None

    def describe(self) -> dict[str, Any]:
        return describe("jaxconv")

    def names(self, workload: str, role: str) -> dict[str, Any]:
        """The admissible ways to compute the cell, and the plan's choice."""
        from jaxconv._plan.place import Place

        case = contraction(BY_NAME[workload], role)
        where = Place.here("cpu")
        return {"names": admissible(case), "chosen": label(case, where)}

    def build(self, workload: str, role: str, name: str) -> dict[str, Any]:
        """Compiles the cell with one lowering and runs it once."""
        if self.cell != (workload, role):
            self._begin(workload, role)
        compiled, compile_s = compiled_cell(BY_NAME[workload], role, name)
        started = time.perf_counter()
        result = compiled(**self.operands).block_until_ready()
        first_s = time.perf_counter() - started
        if self.reference is None:
            self.reference = result
        self.calls[name] = lambda: compiled(**self.operands).block_until_ready()
        off = _difference(result, self.reference)
        return {"first_s": first_s, "compile_s": compile_s, "difference": off}

    def save(self, path: str) -> dict[str, Any]:
        """Writes a sketch of the first lowering's values."""
        np.save(Path(path), sketch(to_numpy(self.reference)))
        return {}

    def turn(self, names: list[str], seconds: float) -> dict[str, float]:
        """The quickest of each one's runs, which follow each other for a while."""
        return {name: _least(self.calls[name], seconds) for name in names}

    def _begin(self, workload: str, role: str) -> None:
        import jax.numpy as jnp

        known = BY_NAME[workload]
        self.cell, self.calls, self.reference = (workload, role), {}, None
        self.operands = {
            letter: jnp.asarray(value, known.dtype)
            for letter, value in known.arrays().items()
        }


def contraction(workload: Workload, role: str) -> Any:
    """The one contraction that a cell runs, as the plan sees it."""
    import jax

    from jaxconv._inspect.walk import contractions

    shapes = {
        letter: jax.ShapeDtypeStruct(shape, workload.dtype)
        for letter, shape in workload.shapes.items()
    }
    cell = jaxconv_cell(workload, role)
    with jax.enable_x64(workload.dtype == "float64"):
        found = contractions(cell, *shapes.values())
    wanted = ROLES[workload.transposed][role]
    (case,) = (each.case for each in found if each.case.role == wanted)
    return case


def place(onednn: bool) -> Any:
    """A CPU where oneDNN may be called, or may not."""
    from jaxconv._plan.place import Place

    return Place("cpu", onednn=onednn)


def label(case: Any, where: Any) -> str:
    """How the tables call what the plan chooses."""
    from jaxconv._plan import choose as plan

    return _named(plan.choose(case, where).lowering, case, where)


def _named(lowering: Any, case: Any, where: Any) -> str:
    """The lowering, and whether oneDNN computes the case that it comes down to."""
    from jaxconv._plan import choose as plan

    if lowering.inner is None:
        return lowering.name
    *_, (_, last) = plan.chain(lowering.inner(case), where)
    return lowering.name + f",{ONEDNN}" * (last.lowering.name == ONEDNN)


def admissible(case: Any) -> list[str]:
    """The lowerings that can run here, refuse nothing and keep to the memory limit."""
    from jaxconv._lowerings import LOWERINGS
    from jaxconv._plan import choose as plan
    from jaxconv._plan.place import Place

    found: dict[str, None] = {}
    for where in (place(False), Place.here("cpu")):
        for name, lowering in LOWERINGS.items():
            if (
                not lowering.by_hand
                and case.role in lowering.roles
                and ".accelerators." not in lowering.roles[case.role].__module__
                and plan.runs_at(lowering, case, where)
                and plan.takes(lowering, case)
                and (name == "xla" or plan.fits(lowering, case, where))
            ):
                found[_named(lowering, case, where)] = None
    return list(found)


def compiled_cell(workload: Workload, role: str, name: str) -> tuple[Any, float]:
    """The cell compiled with a lowering, or as lax's; and how long that took."""
    import contextlib

    import jax

    import jaxconv
    from jaxconv._plan import choose as plan

    forced: Any = contextlib.nullcontext()
    cell = lax_cell(workload, role)
    if name != "lax":
        key = plan.case_key(contraction(workload, role), "cpu")
        forced, cell = _tuning(key, name), jaxconv_cell(workload, role)
    mode = jaxconv.onednn("auto" if ONEDNN in name else "forbid")
    shapes = {
        letter: jax.ShapeDtypeStruct(shape, workload.dtype)
        for letter, shape in workload.shapes.items()
    }
    wide = workload.dtype == "float64"
    with jax.enable_x64(wide), mode, forced:
        started = time.perf_counter()
        compiled = jax.jit(cell).lower(**shapes).compile()
        return compiled, time.perf_counter() - started


def _tuning(key: str, name: str) -> Any:
    import jaxconv

    return jaxconv.Tuning(((key, name.split(",")[0]),))


def _difference(got: Any, wanted: Any) -> float:
    """The largest one, in units of the wanted values' root mean square."""
    got, wanted = np.asarray(got), np.asarray(wanted)
    if got.dtype.itemsize < 4:
        got, wanted = got.astype(np.float32), wanted.astype(np.float32)
    scale = math.sqrt(float(np.mean(np.square(wanted, dtype=np.float64))))
    off = float(np.max(np.abs(got - wanted), initial=0.0)) / (scale or 1.0)
    return off if math.isfinite(off) else 1e300


def _least(call: Call, seconds: float) -> float:
    started = time.perf_counter()
    call()
    best = time.perf_counter() - started
    end = started + best + seconds
    while best < WARM_S or seconds > 0:
        started = time.perf_counter()
        call()
        now = time.perf_counter()
        best = min(best, now - started)
        if now >= end:
            break
    return best
