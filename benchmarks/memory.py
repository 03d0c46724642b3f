"""`python -m benchmarks.memory`: one volume that takes a good part of the memory.

A 3-D convolution forwards, then forwards and backwards, in a process of its own.  The
image, the result and their cotangents together take the share of the machine's memory
that is asked for.  Printed are the lowerings and their bounds, and the peak of the
process's memory; where the system ends the process, the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp

import jaxconv
from jaxconv._inspect.walk import contractions
from jaxconv._plan import choose as _plan
from jaxconv._plan.place import Place

GIB = 2**30
CHANNELS = 16
CHILD = "--child"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.memory", description=__doc__)
    parser.add_argument("--share", type=float, default=0.25, help="of the memory")
    parser.add_argument(CHILD, type=int, metavar="EDGE", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.child is not None:
        print(json.dumps(measure(options.child)))
        return 0
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    edge = largest_edge(options.share * total)
    print(
        f"{total / GIB:.1f} GiB of memory; {CHANNELS} channels of {edge}x{edge}x{edge}"
    )
    command = [sys.executable, "-m", "benchmarks.memory", CHILD, str(edge)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        print(f"the process ended with status {done.returncode}", file=sys.stderr)
        return 1
    for key, value in json.loads(done.stdout).items():
        print(f"{key}: {value}")
    return 0


def largest_edge(size: float) -> int:
    """Of a cube: four arrays of it, of float32, take no more than this."""
    edge = 1
    while 4 * CHANNELS * (edge + 1) ** 3 * 4 <= size:
        edge += 1
    return edge


def measure(edge: int) -> dict[str, Any]:
    shape = (1, CHANNELS, edge, edge, edge)
    x = jnp.full(shape, 0.5)
    kernel = jnp.linspace(-1, 1, CHANNELS**2 * 27).reshape(CHANNELS, CHANNELS, 3, 3, 3)

    def conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jaxconv.conv(x, kernel, padding=1)

    def step(x: jax.Array, kernel: jax.Array, ct: jax.Array) -> Any:
        y, pull = jax.vjp(conv, x, kernel)
        return y.sum(), *pull(ct)

    found: dict[str, Any] = {}
    for case in (v.case for v in contractions(step, x, kernel, x)):
        lowering = _plan.choose(case, Place("cpu")).lowering
        bound = _plan.scratch(lowering, case, Place("cpu")) / GIB
        found[f"lowering, {case.role}"] = f"{lowering.name}, at most {bound:.2f} GiB"
    for name, run in {
        "forward": lambda: jax.jit(conv)(x, kernel),
        "and backward": lambda: jax.jit(step)(x, kernel, x),
    }.items():
        start = time.perf_counter()
        done = jax.block_until_ready(run())
        assert all(bool(jnp.isfinite(v.ravel()[0])) for v in jax.tree.leaves(done))
        del done
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        seconds = time.perf_counter() - start
        found[name] = f"{seconds:.0f} s with compilation, peak {peak / GIB:.1f} GiB"
    return found


if __name__ == "__main__":
    sys.exit(main())
