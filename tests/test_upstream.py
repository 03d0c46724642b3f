"""Faults of XLA and lax on a CPU: they are as docs/xla-notes.md says, and avoided here.

The page's reproductions give what its table says, and the tests that it names exist.
Of the calls that reach a fault, each is held against the loops.  What ends the process
runs in one of its own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxconv
import oracle
from cases import LAYOUTS, Case, arrange, over_roles, random
from jaxconv._core.contract import contract
from oracle import Window, close

Rng = np.random.Generator
ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "xla-notes.md").read_text(encoding="utf-8")
VERSION = ".".join(jax.__version__.split(".")[:2])
DIES = "dies"


# XLA's own convolutions are looked at here.
pytestmark = pytest.mark.usefixtures("without_onednn")


def elsewhere(code: str, *arguments: str, **env: str) -> Any:
    """Runs code in a process of its own, which may die."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": paths, **env},
        capture_output=True,
        text=True,
        timeout=240,
    )


# The page -----------------------------------------------------------------------------


class Fault(NamedTuple):
    code: str
    outcomes: dict[str, str]  # by version of jax
    test: str


def read(page: str) -> dict[str, Fault]:
    blocks = dict(re.findall(r"^## (.+?)\n.*?^```python\n(.*?)^```", page, re.M | re.S))
    lines = [line[2:-2].split(" | ") for line in page.splitlines() if line[:2] == "| "]
    (first, *head), _, *rows = lines
    assert first == "fault"
    versions = [title.removeprefix("jax ") for title in head[:-2]]
    found = {}
    for name, *outcomes, _, test in rows:
        title = re.fullmatch(r"\[(.+)\]\(#.+\)", name)
        assert title is not None
        by_version = dict(zip(versions, outcomes, strict=True))
        found[title[1]] = Fault(blocks.pop(title[1]), by_version, test.strip("`"))
    assert not blocks, "a section that the table lacks"
    return found


FAULTS = read(PAGE)


def expected(fault: Fault) -> str:
    """With the installed jax."""
    known = [v for v in fault.outcomes if v.startswith(f"{VERSION}.")]
    if not known:
        pytest.skip(f"the table has no jax {VERSION}")
    return fault.outcomes[known[-1]]


TOGETHER = """
import contextlib, io, json, os
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
found = {}
for name, code in json.loads(%r).items():
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code, {})
    found[name] = out.getvalue().strip()
print(json.dumps(found))
"""


def test_those_that_live() -> None:
    wanted = {name: expected(fault) for name, fault in FAULTS.items()}
    living = {k: FAULTS[k].code for k, outcome in wanted.items() if outcome != DIES}
    assert len(living) >= 6
    done = elsewhere(TOGETHER % json.dumps(living), XLA_FLAGS="")
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found.keys() == living.keys()
    for name, outcome in found.items():
        lucky = outcome == "right" and wanted[name] == "wrong values"  # memory of zeros
        assert lucky or outcome == wanted[name], name


FATAL = [name for name, fault in FAULTS.items() if DIES in fault.outcomes.values()]


@pytest.mark.parametrize("name", FATAL)
def test_those_that_die(name: str) -> None:
    if expected(FAULTS[name]) == DIES:
        assert elsewhere(FAULTS[name].code, XLA_FLAGS="").returncode < 0


def test_the_table_names_tests_that_exist() -> None:
    for name, fault in FAULTS.items():
        file, _, function = fault.test.partition("::")
        text = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert not function or f"def {function}(" in text, name


# Negative low and positive high padding: jaxlib 0.10 reads outside of the array -------

SHIFTED = {
    "shifted causal": (2, (2, 0)),
    "shifted causal, more": (3, (4, 0)),
    "past both ends": (3, (3, 1)),
}
SPACES = ((13,), (9, 7))
CHANNELS = (4, 17, 32)
# Every pair of a padding, a number of channels, and a rank.
TRIPLES = [
    (name, channels, SPACES[(i + j) % 2])
    for i, name in enumerate(SHIFTED)
    for j, channels in enumerate(CHANNELS)
]


@pytest.mark.parametrize(("name", "channels", "space"), TRIPLES)
def test_gradients_of_shifted_convolutions(
    name: str, channels: int, space: tuple[int, ...], rng: Rng
) -> None:
    k, (lo, hi) = SHIFTED[name]
    size = (space[0] + lo + hi - k + 1, *space[1:])
    x = random(rng, (2, channels, *space), np.float32)
    w = random(rng, (3, channels, k, *(1,) * (len(space) - 1)), np.float32)
    y = random(rng, (2, 3, *size), np.float32)
    one = (1,) * len(space)
    window = Window(space, w.shape[2:], size, one, one, (lo, *(0,) * (len(space) - 1)))
    pads = ((lo, hi), *((0, 0),) * (len(space) - 1))
    layout = LAYOUTS[channels % 2]
    a, b, c = (
        jnp.asarray(arrange(v, role, layout))
        for v, role in ((x, "input"), (w, "kernel"), (y, "input"))
    )

    def conv(a: Any, b: Any) -> Any:
        return jaxconv.conv(a, b, padding=pads, layout=layout)

    image = oracle.contract("input", y, w, window)
    kernel = oracle.contract("kernel", x, y, window)
    pulled = [
        jax.jit(lambda a, b, c: jax.vjp(conv, a, b)[1](c))(a, b, c),
        (jax.linear_transpose(lambda a: conv(a, b), a)(c)[0], None),
    ]
    if channels == 4:  # outside jit as well
        pulled.append(jax.vjp(conv, a, b)[1](c))
    for to_image, to_kernel in pulled:
        close(to_image, arrange(image, "input", layout), 3 * k, np.float32)
        if to_kernel is not None:
            desired = arrange(kernel, "kernel", layout)
            close(to_kernel, desired, y[:, 0].size, np.float32)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_transposed_convolution_that_shifts(dtype: Any, rng: Rng) -> None:
    """One tap, dilation 3, padding 1, output_padding 2: crops in front, adds behind."""
    x, w = random(rng, (2, 5, 6), dtype), random(rng, (5, 4, 1), dtype)
    z = jaxconv.conv_transpose(
        jnp.asarray(x), jnp.asarray(w), dilation=3, padding=1, output_padding=2
    )
    window = Window((6,), (1,), (6,), (1,), (3,), (1,))
    close(z, oracle.contract("input", x, w, window), 5, dtype)


# Loops, and integers ------------------------------------------------------------------


def lax_conv(case: Case) -> Any:
    g = case.spec("output").geometry
    padding = tuple(zip(g.low, g.high, strict=True))
    return lambda x, w: jax.lax.conv_general_dilated(
        x, w, g.stride, padding, rhs_dilation=g.dilation
    )


FAST = "b01f_01io->b01f"


def orders_in_a_loop(fun: Any, a: Any, b: Any) -> set[str]:
    """The dimension orders of the convolutions that a compiled scan holds."""
    looped = jax.jit(lambda a, b: jax.lax.scan(lambda c, v: (c, fun(v, b)), 0, a)[1])
    hlo = looped.lower(jnp.stack([a, 2 * a]), b).compile().as_text()
    found = set(re.findall(r"dim_labels=([^\s,]+)", hlo))
    assert found
    return found


@over_roles
def test_order_in_loops(role: str, rng: Rng) -> None:
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


def test_int8_does_not_wrap(rng: Rng) -> None:
    window = Window((6, 5), (3, 2), (4, 4), (1, 1), (1, 1), (0, 0))
    case = Case("int8", window, 2, 1, 3, 4)
    x, w = (rng.integers(60, 128, case.shape(v)) for v in ("input", "kernel"))
    exact = case.expected("output", x, w)
    narrow = [jnp.asarray(v, np.int8) for v in (x, w)]
    close(contract(*narrow, case.spec("output", dtype=np.int32)), exact, 1, np.int32)
    assert exact.min() > np.iinfo(np.int8).max
    np.testing.assert_array_equal(lax_conv(case)(*narrow), exact.astype(np.int8))


# Sizes that end the process -----------------------------------------------------------

# Input and kernel of a convolution with lhs_dilation (2, 2) and no padding; channels.
SMALL = [
    (((3, 2), (2, 3)), (1, 1, 1, 1)),
    (((2, 4), (3, 2)), (2, 2, 1, 3)),
    (((4, 3), (2, 4)), (1, 1, 1, 1)),
]
BY_EVERY_LOWERING = """
import sys
import jax, jax.numpy as jnp, numpy as np, oracle
from cases import Case
from jaxconv._core import spec as _spec
from jaxconv._core.contract import contract
from jaxconv._lowerings import LOWERINGS

def specs(case, role):
    for name in [None, *(n for n, low in LOWERINGS.items() if role in low.roles)]:
        spec = case.spec(role, dtype=np.float32, lowering=name)
        asked = _spec.Case(spec, _spec.Sizes(case.n, case.c, case.o), spec.dtype)
        if name is None or LOWERINGS[name].refuse(asked) is None:
            yield name, spec

def ways(case):
    for name, spec in specs(case, "input"):
        yield name, lambda x, y, w, spec=spec: contract(y, w, spec)
    for name, spec in specs(case, "output"):
        yield f"gradient of {{name}}", lambda x, y, w, spec=spec: jax.grad(
            lambda x: (contract(x, w, spec) * y).sum())(x)

rng = np.random.default_rng(5)
for (size, kernel), channels in {cases}:
    low = tuple(k - 1 for k in kernel)
    image = tuple(2 * i - k for i, k in zip(size, kernel))
    window = oracle.Window(image, kernel, size, (2, 2), (1, 1), low)
    case = Case("fatal", window, *channels)
    y, w = case.operands("input", rng, np.float32)
    x = case.draw("input", rng, np.float32)
    exact = case.expected("input", y.astype(float), w.astype(float))
    found = dict(ways(case))
    for names in ([name] for name in found) if {apart} else [list(found)]:
        print(names, window, flush=True)
        run = jax.jit(lambda *v: [found[name](*v) for name in names])
        for result in run(*map(jnp.asarray, (x, y, w))):
            oracle.close(result, exact, case.terms("input"), np.float32)
print("right")
"""


def test_small_dilated_inputs() -> None:
    """All lowerings in one program; if that dies, one by one, to name the culprit."""
    for apart in (False, True):
        done = elsewhere(BY_EVERY_LOWERING.format(cases=SMALL, apart=apart))
        last = done.stdout.splitlines()[-1:]
        if last == ["right"]:
            break
    assert not apart, (last, done.returncode, done.stderr[-2000:])


CALLS = """
import sys, json
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import jaxconv

arrays = dict(np.load(sys.argv[1]))
found = {}
for name, case in json.loads(sys.argv[2]).items():
    function = getattr(jaxconv, case["function"])
    x, w = jnp.asarray(arrays[name + " x"]), jnp.asarray(arrays[name + " w"])
    def call(x, w):
        y = function(x, w, **case["options"])
        if not case["gradient"]:
            return y
        return jax.grad(lambda x: function(x, w, **case["options"]).sum())(x)
    if case["sharded"]:
        mesh = Mesh(np.array(jax.devices()), "d")
        x = jax.device_put(x, NamedSharding(mesh, PartitionSpec(None, None, "d")))
    found[name] = jax.jit(call)(x, w)
np.savez(sys.argv[3], **found)
"""


def fatal(
    function: str,
    x: Any,
    w: Any,
    gradient: bool = False,
    sharded: bool = False,
    **options: Any,
) -> dict[str, Any]:
    return {
        "function": function,
        "x": x,
        "w": w,
        "gradient": gradient,
        "sharded": sharded,
        "options": options,
    }


# XLA fails a check in the algebraic simplifier, or in the partitioner.
FATALS = {
    "short input": fatal(
        "conv_transpose", (1, 1, 3, 2), (1, 1, 2, 3), stride=2, padding=(1, 2)
    ),
    "short input of a gradient": fatal(
        "conv", (1, 1, 4, 1), (1, 1, 2, 3), gradient=True, stride=2, padding=(0, 1)
    ),
    "short input with channels": fatal(
        "conv_transpose", (2, 3, 3, 2), (3, 4, 2, 3), stride=2, padding=(1, 2)
    ),
    "sharded": fatal(
        "conv_transpose",
        (2, 3, 16, 5),
        (3, 4, 2, 3),
        sharded=True,
        stride=(2, 1),
        padding=(3, 1),
    ),
    "sharded gradient": fatal(
        "conv",
        (2, 3, 16, 5),
        (4, 3, 2, 3),
        gradient=True,
        sharded=True,
        stride=2,
        padding=(3, 1),
    ),
}


def test_calls_that_end_the_process_of_lax(tmp_path: Path, rng: Rng) -> None:
    """Sharded, dilated axes with a cropped border, and short inputs."""
    given = {
        f"{name} {operand}": random(rng, case[operand], np.float32)
        for name, case in FATALS.items()
        for operand in ("x", "w")
    }
    files = [str(tmp_path / name) for name in ("given.npz", "found.npz")]
    np.savez(files[0], **given)
    done = elsewhere(CALLS, files[0], json.dumps(FATALS), files[1])
    assert done.returncode == 0, done.stderr[-2000:]
    found = dict(np.load(files[1]))
    for name in FATALS:
        x, w = given[f"{name} x"], given[f"{name} w"]
        close(found[name], desired(FATALS[name], x, w), w.size, np.float32)


def desired(case: dict[str, Any], x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The transposed convolution, of x or of ones, by the loops."""
    n = len(w.shape) - 2
    s = tuple(int(v) for v in np.broadcast_to(case["options"]["stride"], n))
    p = tuple(case["options"]["padding"])
    k, one = w.shape[2:], (1,) * n
    if case["gradient"]:
        i = x.shape[2:]
        o = tuple(map(oracle.windows, i, k, s, one, p, p))
        y = np.ones((x.shape[0], w.shape[0], *o), np.float32)
    else:
        y, o = x, x.shape[2:]
        i = tuple((o[a] - 1) * s[a] + k[a] - 2 * p[a] for a in range(n))
    return oracle.contract("input", y, w, Window(i, k, o, s, one, p))
