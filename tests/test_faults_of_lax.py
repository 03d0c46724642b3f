"""Faults of XLA on a CPU that a convolution can reach, shown beside the primitive.

Where the installed jaxlib has the fault, lax fails here as described, so that a cure is
noticed.  What kills the process runs in another one, here with jaxconv; that lax still
dies of it is what `test_xla_notes` looks at.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
import pytest

import jaxconv
from cases import Case, over_roles
from jaxconv._core.contract import contract
from oracle import Window, close, windows


@pytest.fixture(autouse=True)
def without_onednn() -> Iterator[None]:
    """XLA's own convolutions are looked at here."""
    with jaxconv.onednn("forbid"):
        yield


JAXLIB = tuple(int(part) for part in re.findall(r"\d+", jaxlib.__version__)[:4])


def lax_conv(case: Case) -> Any:
    g = case.spec("output").geometry
    padding = tuple(zip(g.low, g.high, strict=True))
    return lambda x, w: jax.lax.conv_general_dilated(
        x, w, g.stride, padding, rhs_dilation=g.dilation
    )


def elsewhere(code: str, devices: int = 1) -> subprocess.CompletedProcess[str]:
    """Runs code in a process of its own, which may die."""
    here, root = Path(__file__).parent, Path(jaxconv.__file__).parents[1]
    env = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "PYTHONPATH": os.pathsep.join([str(root), str(here)]),
    }
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)


# Negative low padding -----------------------------------------------------------------


def shifted(k: int, lo: int, hi: int) -> Case:
    window = Window((9,), (k,), (windows(9, k, 1, 1, lo, hi),), (1,), (1,), (lo,))
    return Case(f"k={k} padding={(lo, hi)}", window, 2, 1, 4, 3)


# Low padding past the kernel's reach, d(k-1): the gradient's low padding is negative.
# https://github.com/openxla/xla/issues/48713
SHIFTED = [shifted(2, 2, 0), shifted(3, 4, 0), shifted(3, 3, 1)]
over_shifted = pytest.mark.parametrize("case", SHIFTED, ids=lambda case: case.name)


def check_gradient(conv: Any, case: Case, rng: np.random.Generator) -> None:
    """The gradient with respect to x, several times, as the fault comes and goes."""
    for _ in range(4):
        x, w = case.operands("output", rng, np.float32)
        y = case.draw("output", rng, np.float32)
        wide = y.astype(np.float64), w.astype(np.float64)
        found = jax.vjp(lambda x, w=w: conv(x, jnp.asarray(w)), jnp.asarray(x))[1](y)[0]
        close(found, case.expected("input", *wide), case.terms("input"), np.float32)


@pytest.mark.parametrize("jit", [False, True], ids=["eager", "jit"])
@over_shifted
def test_negative_low_padding(case: Case, jit: bool, rng: np.random.Generator) -> None:
    spec = case.spec("output", dtype=np.float32)
    conv = lambda x, w: contract(x, w, spec)  # noqa: E731
    check_gradient(jax.jit(conv) if jit else conv, case, rng)


@pytest.mark.xfail(
    JAXLIB < (0, 12),
    strict=False,  # what lies before the array in memory may happen to be zero
    reason="jaxlib 0.10 and 0.11 read out of bounds",
)
@over_shifted
def test_negative_low_padding_of_lax(case: Case, rng: np.random.Generator) -> None:
    check_gradient(lax_conv(case), case, rng)


@over_shifted
def test_only_lax_hands_on_a_negative_padding(case: Case) -> None:
    spec = case.spec("output", dtype=np.float32, lowering="xla")
    x, w = (
        jax.ShapeDtypeStruct(case.shape(v), np.float32) for v in ("input", "kernel")
    )

    def negative(conv: Any) -> bool:
        gradient = jax.jit(jax.grad(lambda x, w: conv(x, w).sum()))
        lowered = gradient.lower(x, w).as_text(dialect="hlo")
        assert " convolution(" in lowered
        return re.search(r"pad(ding)?=\S*-", lowered) is not None

    assert negative(lax_conv(case))
    assert not negative(lambda x, w: contract(x, w, spec))


# Loops --------------------------------------------------------------------------------

FAST = "b01f_01io->b01f"


def orders_in_a_loop(fun: Any, a: Any, b: Any) -> set[str]:
    """The dimension orders of the convolutions that a compiled scan holds."""
    looped = jax.jit(lambda a, b: jax.lax.scan(lambda c, v: (c, fun(v, b)), 0, a)[1])
    hlo = looped.lower(jnp.stack([a, 2 * a]), b).compile().as_text()
    found = set(re.findall(r"dim_labels=([^\s,]+)", hlo))
    assert found
    return found


@over_roles
def test_order_in_loops(role: str, rng: np.random.Generator) -> None:
    """In another order than N...C they are naive loops: jax-ml/jax issue 12868."""
    window = Window((9, 8), (3, 4), (4, 3), (2, 2), (1, 1), (1, 1))
    case = Case("loop", window, 2, 1, 18, 25)
    spec = case.spec(role, dtype=np.float32)
    a, b = map(jnp.asarray, case.operands(role, rng, np.float32))
    assert orders_in_a_loop(lambda a, b: contract(a, b, spec), a, b) == {FAST}

    def of_lax(a: Any, b: Any) -> Any:
        conv = lax_conv(case)
        x, w = (jnp.zeros(case.shape(v), np.float32) for v in ("input", "kernel"))
        if role == "output":
            return conv(a, b)
        if role == "input":
            return jax.linear_transpose(lambda x: conv(x, b), x)(a)[0]
        return jax.linear_transpose(lambda w: conv(a, w), w)(b)[0]

    assert orders_in_a_loop(of_lax, a, b) != {FAST}


# Integers -----------------------------------------------------------------------------


def test_int8_does_not_wrap(rng: np.random.Generator) -> None:
    window = Window((6, 5), (3, 2), (4, 4), (1, 1), (1, 1), (0, 0))
    case = Case("int8", window, 2, 1, 3, 4)
    x, w = (rng.integers(60, 128, case.shape(v)) for v in ("input", "kernel"))
    exact = case.expected("output", x, w)
    narrow = [jnp.asarray(v, np.int8) for v in (x, w)]
    close(contract(*narrow, case.spec("output", dtype=np.int32)), exact, 1, np.int32)
    assert exact.min() > np.iinfo(np.int8).max
    np.testing.assert_array_equal(lax_conv(case)(*narrow), exact.astype(np.int8))


# Sizes that kill the process ----------------------------------------------------------

# Input and kernel of a convolution with lhs_dilation (2, 2) and no padding.
FATAL = [((3, 2), (2, 3)), ((2, 4), (3, 2)), ((4, 3), (2, 4))]

OURS_FATAL = """
import jax, jax.numpy as jnp, numpy as np, oracle
from cases import Case
from jaxconv._core import spec as _spec
from jaxconv._core.contract import contract
from jaxconv._lowerings import LOWERINGS

def names(role):
    return [None] + [name for name, low in LOWERINGS.items() if role in low.roles]

def try_all(case, x, y, w, exact):
    for name in names("input"):
        spec = case.spec("input", dtype=np.float32, lowering=name)
        asked = _spec.Case(spec, _spec.Sizes(case.n, case.c, case.o), spec.dtype)
        if name is None or LOWERINGS[name].refuse(asked) is None:
            print(name, case.window, flush=True)
            found = contract(y, w, spec)
            oracle.close(found, exact, case.terms("input"), np.float32)
    for name in names("output"):
        spec = case.spec("output", dtype=np.float32, lowering=name)
        asked = _spec.Case(spec, _spec.Sizes(case.n, case.c, case.o), spec.dtype)
        if name is None or LOWERINGS[name].refuse(asked) is None:
            print("gradient of", name, case.window, flush=True)
            found = jax.jit(jax.grad(lambda x: (contract(x, w, spec) * y).sum()))(x)
            oracle.close(found, exact, case.terms("input"), np.float32)

rng = np.random.default_rng(5)
for size, kernel in {pairs}:
    low = tuple(k - 1 for k in kernel)
    image = tuple(2 * i - k for i, k in zip(size, kernel))
    window = oracle.Window(image, kernel, size, (2, 2), (1, 1), low)
    for n, g, c, o in ((1, 1, 1, 1), (2, 2, 1, 3)):
        case = Case("fatal", window, n, g, c, o)
        y, w = case.operands("input", rng, np.float32)
        x = case.draw("input", rng, np.float32)
        exact = case.expected("input", y.astype(float), w.astype(float))
        try_all(case, *map(jnp.asarray, (x, y, w)), exact)
print("right")
"""


def test_small_dilated_inputs() -> None:
    """By every lowering: the last line before a death names it."""
    done = elsewhere(OURS_FATAL.format(pairs=FATAL))
    last = done.stdout.splitlines()[-1:]
    assert last == ["right"], (last, done.returncode, done.stderr[-2000:])


# Sharded, dilated axes ----------------------------------------------------------------

# x is sharded along a spatial axis; low padding 3 is past the kernel's reach, 2.
SHARDED = """
import jax, jax.numpy as jnp, numpy as np, oracle
from cases import Case
from jax.sharding import NamedSharding, PartitionSpec as P
from jaxconv._core.contract import contract
mesh = jax.make_mesh((4,), ("d",), (jax.sharding.AxisType.Auto,))
window = oracle.Window((16, 5), (3, 2), (8, 5), (2, 1), (1, 1), (3, 1))
case = Case("sharded", window, 2, 1, 3, 4)
rng = np.random.default_rng(3)
y, w = case.operands("input", rng, np.float32)
rows = NamedSharding(mesh, P(None, None, "d"))
spec = case.spec("input", dtype=np.float32)
g = spec.geometry

def ours(y, w):
    return contract(y, w, spec)

print("start", flush=True)
run = jax.jit(ours, in_shardings=(rows, NamedSharding(mesh, P())), out_shardings=rows)
found = run(jax.device_put(y, rows), w)
exact = case.expected("input", y.astype(float), w.astype(float))
oracle.close(found, exact, case.terms("input"), np.float32)
print("right", flush=True)
"""


def test_sharded_axis_with_cropped_border() -> None:
    done = elsewhere(SHARDED, devices=4)
    assert done.stdout.split() == ["start", "right"], done.stderr[-2000:]
