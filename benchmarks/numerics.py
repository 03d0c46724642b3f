"""`python -m benchmarks.numerics`: how far each lowering's results are from exact ones.

The error of one result is taken in units of eps * sqrt(sum of the squared terms): eps
of the result's type, and the length of the sum's terms as a vector.  A sum that loses
nothing but its last rounding is off by at most half a unit or so.  Operands are random
and normal; exact is the same contraction of the same rounded operands in float64.

With ``--write`` the table goes into docs/numerics.md, between the marks there.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxconv
from benchmarks.report import insert, table
from jaxconv._core.contract import contract
from jaxconv._core.geometry import Geometry, Ints, output_size
from jaxconv._core.spec import OPERANDS, Case, Layout, Role, Sizes, Spec
from jaxconv._lowerings import LOWERINGS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "numerics.md"
DTYPES = ("float32", "bfloat16", "float16")
DIRECT = "xla"


class Errors(NamedTuple):
    """Of all results: the root mean square and the largest, in the units above."""

    typical: float
    largest: float


class Sample(NamedTuple):
    name: str
    geometry: Geometry
    groups: int
    sizes: Sizes
    only: tuple[str, ...] = ()  # lowerings that do not unroll its taps

    def spec(self, role: Role, dtype: Any, lowering: str | None = None) -> Spec:
        result = np.dtype(dtype)
        return Spec(
            role, self.geometry, self.groups, Layout.LAST, result, lowering=lowering
        )

    def operands(self, role: Role, dtype: Any, scale: float = 1.0) -> list[jax.Array]:
        rng, spec = np.random.default_rng(11), self.spec(role, dtype)
        return [
            jnp.asarray(scale * rng.standard_normal(spec.shape(v, self.sizes)), dtype)
            for v in OPERANDS[role]
        ]

    def accepts(self, name: str, role: Role, dtype: Any) -> bool:
        if self.only and name not in self.only:
            return False
        case = Case(self.spec(role, dtype, name), self.sizes, np.dtype(dtype))
        refuse = LOWERINGS[name].refuse
        return role in LOWERINGS[name].roles and refuse(case) is None


def sample(
    name: str,
    channels: tuple[int, int, int, int],
    size: Ints,
    kernel: Ints,
    padding: int = 0,
    stride: int = 1,
    dilation: int = 1,
) -> Sample:
    n, groups, c, o = channels
    each = (stride, dilation, padding, padding)
    output = tuple(output_size(i, k, *each) for i, k in zip(size, kernel, strict=True))
    steps = ((v,) * len(size) for v in (stride, dilation, padding))
    geometry = Geometry(size, kernel, output, *steps)
    return Sample(name, geometry, groups, Sizes(n, c, o))


# Channels are n, groups, c, o.  Together every lowering takes one in every role it has.
SAMPLES = (
    sample("plane", (3, 1, 32, 24), (22, 20), (3, 5), 1),
    sample("strided plane", (3, 1, 20, 32), (23, 26), (4, 4), 1, 2),
    sample("points", (3, 1, 200, 48), (8, 7), (1, 1)),
    sample("groups", (3, 4, 8, 6), (20, 18), (3, 4), 1),
    sample("two groups", (3, 2, 20, 18), (9, 8), (2, 1))._replace(
        only=("xla", "einsum")
    ),
    sample("depthwise", (3, 24, 1, 1), (30, 28), (5, 6), 2),
    sample("line", (4, 1, 40, 24), (210,), (9,), 4),
    sample("volume", (2, 1, 12, 10), (9, 10, 8), (3, 3, 2), 1),
    sample("few channels out", (3, 1, 48, 3), (20, 22), (7, 5), 3)._replace(
        only=("xla", "exchange", "fft")
    ),
    sample("large kernel", (2, 1, 4, 3), (36, 34), (15, 13), 7)._replace(
        only=("xla", "fft", "exchange")
    ),
)


# Where a lowering is at home; the others take the first sample that they accept.
HOME = {
    "product": "points",
    "shift": "depthwise",
    "grouped": "groups",
    "einsum": "two groups",
    "fft": "large kernel",
    "exchange": "few channels out",
}


def home(name: str, role: Role, dtype: Any) -> Sample:
    accepted = [s for s in SAMPLES if s.accepts(name, role, dtype)]
    return next((s for s in accepted if s.name == HOME.get(name)), accepted[0])


def pairs() -> Iterator[tuple[str, Role]]:
    for name, lowering in LOWERINGS.items():
        for role in lowering.roles:
            yield name, role


def run(
    sample: Sample, role: Role, dtype: Any, name: str, scale: float = 1.0
) -> jax.Array:
    spec = sample.spec(role, dtype, name)
    return contract(*sample.operands(role, dtype, scale), spec)


@functools.cache
def exact(sample: Sample, role: Role, dtype: Any, scale: float = 1.0) -> np.ndarray:
    """The contraction of the rounded operands in float64."""
    wide = [v.astype("float64") for v in sample.operands(role, dtype, scale)]
    return np.asarray(contract(*wide, sample.spec(role, "float64", DIRECT)))


@functools.cache
def lengths(sample: Sample, role: Role, dtype: Any) -> np.ndarray:
    """Of each result's terms, as a vector."""
    squares = [v.astype("float64") ** 2 for v in sample.operands(role, dtype)]
    return np.sqrt(contract(*squares, sample.spec(role, "float64", DIRECT)))


@functools.cache
def errors(sample: Sample, role: Role, dtype: Any, name: str) -> Errors:
    length, wanted = lengths(sample, role, dtype), exact(sample, role, dtype)
    return in_units(run(sample, role, dtype, name), wanted, length, dtype)


def in_units(found: Any, wanted: np.ndarray, length: np.ndarray, dtype: Any) -> Errors:
    some = length > 0
    off = np.abs(np.asarray(found, np.float64) - wanted)[some] / length[some]
    off /= float(jnp.finfo(dtype).eps)
    return Errors(math.sqrt((off**2).mean()), off.max())


class Worst(NamedTuple):
    """The sample whose typical error is most times that of direct convolution."""

    sample: str
    errors: Errors
    ratio: float


def worst(name: str, role: Role, dtype: Any) -> Worst:
    found = [
        (sample.name, errors(sample, role, dtype, name), direct.typical)
        for sample in SAMPLES
        if sample.accepts(name, role, dtype)
        and (direct := errors(sample, role, dtype, DIRECT))
    ]
    return max(
        (Worst(where, ours, ours.typical / direct) for where, ours, direct in found),
        key=lambda v: v.ratio,
    )


def fingerprints() -> dict[str, str]:
    """Hashes of the bits of float32 results: every planned lowering in every role."""
    found = {}
    for name, role in pairs():
        if LOWERINGS[name].by_hand:
            continue
        sample = home(name, role, "float32")
        bits = np.asarray(run(sample, role, "float32", name)).tobytes()
        found[f"{name} {role}"] = hashlib.sha256(bits).hexdigest()
    for name in ("columns", "chunks"):
        for place, v in enumerate(deform(name, jnp.float32)):
            bits = np.asarray(v).tobytes()
            found[f"deform_conv {name} {place}"] = hashlib.sha256(bits).hexdigest()
    return found


# Deformable convolution ---------------------------------------------------------------


@functools.cache
def deform(
    name: str, dtype: Any, wide: Any = None, scale: float = 1.0
) -> list[jax.Array]:
    """The result and its gradients in x, offset and kernel, offsets between pixels."""
    rng = np.random.default_rng(12)
    x = scale * rng.standard_normal((2, 16, 14, 13))
    kernel = scale * rng.standard_normal((12, 16, 3, 3))
    offset = rng.integers(-2, 3, (2, 18, 14, 13)) + rng.uniform(0.2, 0.8)
    ct = rng.standard_normal((2, 12, 14, 13))
    operands = [
        jnp.asarray(v, dtype).astype(wide or dtype) for v in (x, offset, kernel)
    ]

    def call(x: Any, offset: Any, kernel: Any) -> Any:
        return jaxconv.deform_conv(x, offset, kernel, padding=1, implementation=name)

    @jax.jit
    def with_gradients(ct: Any, *operands: Any) -> list[jax.Array]:
        y, pull = jax.vjp(call, *operands)
        return [y, *pull(ct)]

    return with_gradients(jnp.asarray(ct, dtype).astype(wide or dtype), *operands)


DEFORM = ("result", "gradient in x", "in offset", "in the kernel")


def deform_errors(name: str, dtype: Any) -> dict[str, float]:
    """Root mean squares, relative to that of the exact values, in units of eps."""
    found, wanted = deform(name, dtype), deform("columns", dtype, jnp.float64)
    off = {}
    for title, v, exactly in zip(DEFORM, found, wanted, strict=True):
        difference = np.asarray(v, np.float64) - np.asarray(exactly)
        ratio = np.linalg.norm(difference) / np.linalg.norm(exactly)
        off[title] = float(ratio / float(jnp.finfo(dtype).eps))
    return off


# The page -----------------------------------------------------------------------------


def lines() -> Iterator[list[str]]:
    for name, role in pairs():
        cells = []
        for dtype in DTYPES:
            if not any(sample.accepts(name, role, dtype) for sample in SAMPLES):
                cells.append("refused")
                continue
            where, ours, ratio = worst(name, role, dtype)
            shown = f"{ours.typical:.2f} / {ours.largest:.1f}"
            cells += [shown if name == DIRECT else f"{shown} (×{ratio:.1f}, {where})"]
        yield [f"`{name}`", role, *cells]


def page() -> str:
    head = ["lowering", "role", *DTYPES]
    deform_head = ["`deform_conv`", *DEFORM]
    rows = [
        [f"{name}, {dtype}", *(f"{v:.2f}" for v in deform_errors(name, dtype).values())]
        for name in ("columns", "chunks")
        for dtype in DTYPES
    ]
    setting = f"On a CPU, jax {jax.__version__}."
    return "\n\n".join([setting, table(head, [*lines()]), table(deform_head, rows)])


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.numerics", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.name}")
    options = parser.parse_args(argv)
    jax.config.update("jax_enable_x64", True)
    text = page()
    if options.write:
        old = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(insert(old, {"errors": text}), encoding="utf-8")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
