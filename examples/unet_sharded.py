"""Trains a U-Net whose images are cut over devices, by batch and by rows.

    python examples/unet_sharded.py                      # 4 devices forced on a CPU
    python examples/unet_sharded.py --mesh 2x4 --size 4096 --channels 32 --batch 8
    python examples/unet_sharded.py --distributed --coordinator host:1234 \
        --processes 2 --process 0                        # one such line per machine

The same code runs on CPUs, GPUs and TPUs: the mesh is all that says where things lie.
Convolutions exchange the rows that cross a border, and nothing is ever gathered; the
step's compiled text is searched for it.
"""

from __future__ import annotations

import argparse
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jaxconv

Params = dict[str, jax.Array]


def arguments() -> argparse.Namespace:
    summary = (__doc__ or "").splitlines()[0]
    read = argparse.ArgumentParser(description=summary)
    read.add_argument("--mesh", default="2x2", help="parts of the batch x of the rows")
    text = "the batch is not cut: the mesh's first axis holds copies"
    read.add_argument("--replicas", action="store_true", help=text)
    read.add_argument("--size", type=int, default=32, help="pixels of a side")
    read.add_argument("--channels", type=int, default=8, help="of the first level")
    read.add_argument("--levels", type=int, default=2)
    read.add_argument("--batch", type=int, default=4)
    read.add_argument("--steps", type=int, default=5)
    read.add_argument("--rate", type=float, default=0.5)
    read.add_argument("--distributed", action="store_true")
    read.add_argument("--coordinator", help="host:port of the first process")
    read.add_argument("--processes", type=int)
    read.add_argument("--process", type=int)
    return read.parse_args()


def init(channels: int, levels: int) -> Params:
    """Kernels, by name: two convolutions a level, one up, one at the end."""
    rng = np.random.default_rng(0)

    def kernel(*shape: int) -> jax.Array:
        scale = np.sqrt(2 / np.prod(shape[1:]))
        return jnp.asarray(rng.normal(0, scale, shape), jnp.float32)

    params: Params = {}
    wide = [channels * 2**level for level in range(levels + 1)]
    for level, c in enumerate(wide):
        below = 1 if level == 0 else wide[level - 1]
        params[f"in{level}"] = kernel(c, below, 3, 3)
        params[f"mix{level}"] = kernel(c, c, 3, 3)
        if level < levels:
            params[f"up{level}"] = kernel(2 * c, c, 2, 2)
            params[f"out{level}"] = kernel(c, 2 * c, 3, 3)
    return {**params, "last": kernel(1, channels, 1, 1)}


def unet(params: Params, x: jax.Array, levels: int) -> jax.Array:
    """(N, 1, H, W) to (N, 1, H, W); every level halves the image and comes back."""
    skips: list[jax.Array] = []
    for level in range(levels + 1):
        stride = 1 if level == 0 else 2
        x = jax.nn.relu(jaxconv.conv(x, params[f"in{level}"], stride=stride, padding=1))
        x = jax.nn.relu(jaxconv.conv(x, params[f"mix{level}"], padding=1))
        skips.append(x)
    for level in reversed(range(levels)):
        x = jaxconv.conv_transpose(x, params[f"up{level}"], stride=2)
        x = jnp.concatenate([x, skips[level]], 1)
        x = jax.nn.relu(jaxconv.conv(x, params[f"out{level}"], padding=1))
    return jaxconv.conv(x, params["last"])


def train_step(
    params: Params, x: jax.Array, y: jax.Array, *, levels: int, rate: float
) -> tuple[Params, jax.Array]:
    def loss(params: Params) -> jax.Array:
        return jnp.mean((unet(params, x, levels) - y) ** 2)

    value, gradient = jax.value_and_grad(loss)(params)
    return jax.tree.map(lambda p, g: p - rate * g, params, gradient), value


def images(sharding: NamedSharding, n: int, size: int, noise: float) -> jax.Array:
    """Discs under noise; every process makes only the shards that it holds."""

    def row(number: int, at: int) -> np.ndarray:
        middle = size * (0.3 + 0.4 * number / n)
        disc = np.hypot(at - middle, np.arange(size) - size / 2) < size / 4
        rng = np.random.default_rng((number, at))
        return disc + noise * rng.normal(size=size)

    def part(index: tuple[slice, ...]) -> np.ndarray:
        numbers, rows = range(n)[index[0]], range(size)[index[2]]
        made = np.array([[row(number, at) for at in rows] for number in numbers])
        return made[:, None, :, index[3]].astype(np.float32)

    return jax.make_array_from_callback((n, 1, size, size), sharding, part)


def main(options: argparse.Namespace) -> None:
    parts = tuple(map(int, options.mesh.split("x")))
    # Where the CPU is the platform, it acts as so many devices.
    local = parts[0] * parts[1] // (options.processes or 1)
    jax.config.update("jax_num_cpu_devices", local)
    if options.distributed:
        where = (options.coordinator, options.processes, options.process)
        jax.distributed.initialize(*where)
    mesh = jax.make_mesh(parts, ("batch", "rows"), (AxisType.Auto,) * 2)
    batch = None if options.replicas else "batch"
    cut, whole = NamedSharding(mesh, P(batch, None, "rows")), NamedSharding(mesh, P())
    params = jax.device_put(init(options.channels, options.levels), whole)
    x, y = (images(cut, options.batch, options.size, noise) for noise in (0.5, 0.0))
    step = partial(train_step, levels=options.levels, rate=options.rate)
    step = jax.jit(step, donate_argnums=0, out_shardings=(whole, whole))
    compiled = step.lower(params, x, y).compile()
    assert "all-gather" not in compiled.as_text()
    says = partial(print, flush=True) if jax.process_index() == 0 else lambda text: None
    for number in range(options.steps):
        params, loss = compiled(params, x, y)
        says(f"step {number}  loss {float(loss):.4f}")
    used = compiled.memory_analysis()
    each = used.temp_size_in_bytes + used.argument_size_in_bytes
    says(f"{mesh.size} devices, {each / 2**20:.2f} MiB on each")


if __name__ == "__main__":
    main(arguments())
