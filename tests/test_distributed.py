"""Several processes, as on several machines: gloo on this one, two devices each."""

from __future__ import annotations

import contextlib
import io
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax

ROOT = Path(__file__).parents[1]

# The rows lie across the processes, so that halos travel between them.
CHILD = r"""
import sys
import jax, jax.numpy as jnp, numpy as np, jaxconv
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

jax.config.update("jax_num_cpu_devices", 2)
jax.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]))
devices = np.array(jax.devices()).reshape(2, 2).T
assert jax.process_count() == 2 and len(jax.local_devices()) == 2
mesh = Mesh(devices, ("batch", "rows"))
whole = NamedSharding(mesh, P())
rng = np.random.default_rng(7)
x = rng.normal(size=(4, 6, 16, 10)).astype(np.float32)
down = rng.normal(size=(8, 6, 3, 3)).astype(np.float32)
mix = rng.normal(size=(8, 2, 3, 3)).astype(np.float32)
up = rng.normal(size=(8, 6, 4, 4)).astype(np.float32)


def loss(x, down, mix, up):
    y = jaxconv.conv(x, down, stride=2, padding=((1, 0), (1, 0)))
    y = jnp.tanh(jaxconv.conv(jnp.sin(y), mix, padding=1, groups=4))
    return (jaxconv.conv_transpose(y, up, stride=2, padding=1) ** 2).sum()


def placed(v, sharding):
    return jax.make_array_from_callback(v.shape, sharding, lambda index: v[index])


want = jax.jit(jax.grad(loss, (0, 1, 2, 3)))(x, down, mix, up)
for batch in ("batch", None):  # None: that axis of the mesh holds copies
    cut = NamedSharding(mesh, P(batch, None, "rows"))
    args = [placed(x, cut), *(placed(v, whole) for v in (down, mix, up))]
    outs = (cut, whole, whole, whole)
    run = jax.jit(jax.grad(loss, (0, 1, 2, 3)), out_shardings=outs)
    compiled = run.lower(*args).compile()
    text = compiled.as_text()
    assert "collective-permute" in text and "all-gather" not in text
    for got, right in zip(compiled(*args), want, strict=True):
        right = np.asarray(right)
        for shard in got.addressable_shards:
            error = np.abs(np.asarray(shard.data) - right[shard.index]).max()
            assert error < 1e-5 * np.abs(right).max(), (error, np.abs(right).max())
print("process", jax.process_index(), "agrees", flush=True)
"""


def environment() -> dict[str, str]:
    """This one without its eight devices: a child says how many it wants."""
    kept = {name: v for name, v in os.environ.items() if name != "XLA_FLAGS"}
    return {**kept, "JAX_PLATFORMS": "cpu"}


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def both(command: list[str], *rest: str) -> list[str]:
    """What the two processes print; the second learns where the first listens."""
    running = [
        subprocess.Popen(
            [sys.executable, *command, *(v.format(n) for v in rest)],
            env=environment(),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in range(2)
    ]
    try:
        said = [child.communicate(timeout=240) for child in running]
    finally:
        for child in running:
            child.kill()
    for child, (_, errors) in zip(running, said, strict=True):
        assert child.returncode == 0, errors[-3000:]
    return [out for out, _ in said]


def test_two_processes_agree_with_one() -> None:
    address = f"127.0.0.1:{free_port()}"
    first, second = both(["-c", CHILD], address, "{}")
    assert "process 0 agrees" in first
    assert "process 1 agrees" in second


def losses(out: str) -> list[float]:
    return [float(v) for v in re.findall(r"loss (\d+\.\d+)", out)]


def test_the_example_learns_and_does_not_mind_the_mesh() -> None:
    """Cut by batch and rows, by rows with copies, and on one device."""
    found: list[list[float]] = []
    for mesh in (["2x2"], ["2x2", "--replicas"], ["1x1"]):
        command = [sys.executable, "examples/unet_sharded.py", "--mesh", *mesh]
        command += ["--size", "16", "--channels", "4", "--levels", "1", "--steps", "3"]
        done = subprocess.run(
            command, env=environment(), cwd=ROOT, capture_output=True, text=True,
            timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        assert "MiB on each" in done.stdout
        found.append(losses(done.stdout))
    *cut, whole = found
    assert len(whole) == 3
    assert whole[2] < whole[0]
    for losses_there in cut:
        pairs = zip(losses_there, whole, strict=True)
        assert all(abs(a - b) < 3e-4 for a, b in pairs)


PAGE = ROOT / "docs" / "distributed.md"
BLOCKS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE.read_text(), re.S)


def test_the_page_prints_what_it_says() -> None:
    assert len(BLOCKS) == PAGE.read_text().count("```python") == 3
    scope: dict[str, Any] = {}
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        for code, text in BLOCKS:
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(code, PAGE.name, "exec"), scope)
            assert out.getvalue() == text
