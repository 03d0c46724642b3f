"""Tests once whether oneDNN works on this machine, in a process that may crash.

The parent runs this module in a child process, and stores the result in the user's
cache folder.  The child compares convolutions of every kind with NumPy.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxconv._plan.machine import processor

SECONDS = 120  # time limit of the child
NEAR = 1e-5  # tolerance for float32, relative to the largest result


class Found(NamedTuple):
    """The result of a probe: None if oneDNN works, else why it does not."""

    failed: str | None

    @property
    def reason(self) -> str | None:
        return self.failed and f"the probe of this machine failed: {self.failed}"


def run() -> Found:
    """Probes this machine, and stores the result."""
    found = Found(_in_a_child("float32"))
    _keep(found)
    remembered.cache_clear()
    _kept_here[key()] = found
    return found


_kept_here: dict[str, Found] = {}  # also where the cache folder cannot be written


@functools.cache
def remembered() -> Found | None:
    """The stored result for this machine and jaxlib, or None."""
    if key() in _kept_here:
        return _kept_here[key()]
    try:
        document = json.loads(path().read_text(encoding="utf-8"))
        failed = document[key()]["failed"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return Found(None if failed is None else str(failed))


def path() -> Path:
    """The file in the user's cache folder, by the XDG specification."""
    folder = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(folder) if os.path.isabs(folder) else Path.home() / ".cache"
    return base / "jaxconv" / "onednn.json"


def key() -> str:
    """The jaxlib and the processor for which a result is valid."""
    return f"jaxlib {version('jaxlib')}, {sys.platform} {_processor()}"


@functools.cache
def _processor() -> str:
    names = sorted(
        n for n in processor() if n.startswith(("avx", "amx", "sve", "bf16"))
    )
    return f"{platform.machine()} {' '.join(names)}".strip()


def _keep(found: Found) -> None:
    """Stores a result; replaces the file atomically, for concurrent readers."""
    file = path()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            document = {}
        document = document if isinstance(document, dict) else {}
        document[key()] = found._asdict()
        handle, name = tempfile.mkstemp(dir=file.parent, prefix="onednn-")
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            json.dump(document, out, indent=1)
        os.replace(name, file)
    except OSError:
        return  # a home that cannot be written to: probed again next time


def _in_a_child(dtype: str) -> str | None:
    """Runs the child; None if all its results are right, else what went wrong."""
    if not sys.executable:
        return "there is no Python executable to try it with"
    command = [sys.executable, "-m", "jaxconv._plan.probe", dtype]
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": "",
    }
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{type(error).__name__}"
    if done.returncode == 0 and done.stdout.strip().endswith("right"):
        return None
    last = (done.stdout.strip() or done.stderr.strip()).splitlines()[-1:]
    return f"a child process ended with {done.returncode}: {''.join(last)[:200]}"


# In the child -------------------------------------------------------------------------


def main(dtype: str) -> int:
    """Every kind of convolution, in every role, against NumPy in float64."""
    import jax

    from jaxconv._core.spec import OPERANDS, Case, Layout, Sizes, Spec
    from jaxconv._lowerings import LOWERINGS

    lowering, draw = LOWERINGS["onednn"], np.random.default_rng(0)
    for geometry, groups, sizes in _kinds():
        for role in lowering.roles:
            spec = Spec(role, geometry, groups, Layout.LAST, np.dtype(dtype))
            if lowering.refuse(Case(spec, Sizes(*sizes), np.dtype("float32"))):
                continue
            shapes = (spec.shape(v, Sizes(*sizes)) for v in OPERANDS[role])
            a, b = (draw.standard_normal(shape).astype(dtype) for shape in shapes)
            run = jax.jit(functools.partial(_compute, lowering.roles[role], spec))
            got = np.asarray(run(a, b), np.float64)
            want = by_numpy(spec, a.astype(np.float64), b.astype(np.float64))
            error = np.abs(got - want).max() / np.abs(want).max()
            if not error <= NEAR:
                print(f"wrong by {error:.1e}: {role} {geometry} groups={groups}")
                return 1
    print("right")
    return 0


def _compute(role: Any, spec: Any, a: Any, b: Any) -> Any:
    return role(a, b, spec)


def _kinds() -> list[tuple[Any, int, tuple[int, int, int]]]:
    """Geometries, groups, and (batch, input channels, output channels) per group.

    There are asymmetric, negatively padded, strided, dilated, grouped and depthwise
    convolutions, with one to three axes.
    """
    from jaxconv._core.geometry import Geometry

    one, ones = (1, 1), (1, 1, 1)
    lines = [
        (Geometry((19,), (4,), (8,), (2,), (1,), (1,)), 1, (2, 5, 7)),
        (Geometry((18,), (3,), (18,), (1,), (3,), (5,)), 3, (2, 4, 6)),
        (Geometry((17,), (5,), (15,), (1,), (1,), (1,)), 24, (3, 1, 1)),
    ]
    planes = [
        (Geometry((11, 13), (3, 2), (11, 12), one, one, (1, 0)), 1, (3, 7, 18)),
        (Geometry((12, 15), (3, 4), (6, 5), (2, 3), one, (0, 2)), 1, (2, 16, 33)),
        (Geometry((14, 11), (3, 3), (12, 8), one, (2, 3), (1, 2)), 2, (2, 9, 8)),
        (Geometry((13, 12), (3, 3), (13, 12), one, one, one), 32, (2, 1, 1)),
        (Geometry((13, 12), (2, 3), (4, 5), (3, 2), one, (-2, -1)), 4, (2, 2, 3)),
        (Geometry((9, 9), (1, 1), (9, 9), one, one, (0, 0)), 1, (2, 20, 17)),
    ]
    volumes = [
        (
            Geometry((7, 8, 6), (2, 3, 2), (7, 8, 6), ones, ones, (1, 1, 0)),
            1,
            (2, 6, 9),
        ),
        (
            Geometry((9, 7, 8), (3, 2, 3), (4, 3, 3), (2, 2, 2), (1, 2, 2), (0, 1, 1)),
            2,
            (2, 3, 4),
        ),
    ]
    return [*lines, *planes, *volumes]


def by_numpy(spec: Any, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The contraction with channels last, as one product per tap."""
    g, groups = spec.geometry, spec.groups
    sizes = spec.sizes(a.shape, b.shape)
    out = np.zeros(spec.result_shape(a.shape, b.shape))
    held = {**dict(zip(spec.operands, (a, b), strict=True)), spec.role: out}
    x, y = (
        held[v].reshape(*held[v].shape[:-1], groups, -1) for v in ("input", "output")
    )
    w = held["kernel"].reshape(*g.kernel, sizes.c, groups, sizes.o)
    for tap in np.ndindex(*g.kernel):
        read, written = _reached(g, tap)
        part = (slice(None), *read), (slice(None), *written)
        if spec.role == "output":
            y[part[1]] += np.einsum("n...gc,cgo->n...go", x[part[0]], w[tap])
        elif spec.role == "input":
            x[part[0]] += np.einsum("n...go,cgo->n...gc", y[part[1]], w[tap])
        else:  # an einsum cannot sum over the axes of "..."
            rows = (
                v.reshape(-1, groups, v.shape[-1]) for v in (x[part[0]], y[part[1]])
            )
            w[tap] += np.einsum("pgc,pgo->cgo", *rows)
    return out


def _reached(g: Any, tap: tuple[int, ...]) -> tuple[list[slice], list[slice]]:
    """The slices of inputs that a tap reads, and of the positions that read them."""
    read: list[slice] = []
    written: list[slice] = []
    for axis, t in zip(g.axes, tap, strict=True):
        shift = t * axis.d - axis.lo
        first = max(0, -(shift // axis.s))
        stop = min(axis.o, (axis.i - 1 - shift) // axis.s + 1)
        start, count = first * axis.s + shift, max(0, stop - first)
        end = start + (count - 1) * axis.s + 1 if count else start
        read.append(slice(max(0, start), max(0, end), axis.s))
        written.append(slice(first, first + count))
    return read, written


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
