"""Calls that reach faults of XLA on a CPU: wrong values, or the end of the process.

They are right here because no lowering hands XLA what it trips over.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxconv
import oracle
from cases import LAYOUTS, arrange, random
from oracle import Window, close

Rng = np.random.Generator
ROOT = Path(__file__).parents[1]

# Negative low and positive high padding: jaxlib 0.10 reads outside the array -----

SHIFTED = {
    "shifted causal": (2, (2, 0)),
    "shifted causal, more": (3, (4, 0)),
    "past both ends": (3, (3, 1)),
}


@pytest.mark.parametrize("name", SHIFTED)
@pytest.mark.parametrize("channels", [4, 17, 32])
@pytest.mark.parametrize("space", [(13,), (9, 7)], ids=("line", "plane"))
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


# Calls that end the process run in a process of their own -----

FATAL = """
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


# jaxlib 0.10 and 0.12 fail a check in the algebraic simplifier, or in the partitioner.
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


@pytest.fixture(scope="module")
def survived(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, dict]:
    """Operands and results, from a process that has not died."""
    rng, folder = np.random.default_rng(5), tmp_path_factory.mktemp("fatal")
    given = {
        f"{name} {operand}": random(rng, case[operand], np.float32)
        for name, case in FATALS.items()
        for operand in ("x", "w")
    }
    np.savez(folder / "given.npz", **given)
    paths = str(folder / "given.npz"), json.dumps(FATALS), str(folder / "found.npz")
    done = subprocess.run(
        [sys.executable, "-c", FATAL, *paths],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return given, dict(np.load(folder / "found.npz"))


@pytest.mark.parametrize("name", FATALS)
def test_process_survives_with_right_values(name: str, survived: Any) -> None:
    given, found = survived
    case = FATALS[name]
    x, w = given[f"{name} x"], given[f"{name} w"]
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
    desired = oracle.contract("input", y, w, Window(i, k, o, s, one, p))
    close(found[name], desired, w.size, np.float32)
