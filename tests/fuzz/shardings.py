"""Random shardings of random calls: ``python -m tests.fuzz.shardings 1000``.

Every axis of every operand and of the cotangent may be cut over any mesh axes, or none;
value and all gradients must be what one device computes.
"""

from __future__ import annotations

import argparse
import math
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
if __name__ == "__main__":
    import fuzz.settings  # noqa: F401

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import jaxconv

MESHES = ((8,), (4, 2), (2, 4), (2, 2, 2), (4,), (2, 2), (2,), (3, 2), (6,))
MODES = ("zeros", "reflect", "replicate", "circular")
Shape = tuple[int, ...]


class Trial(NamedTuple):
    """A call, by name, with its operands' shapes, and how all of it is sharded.

    outs: whether results are to lie as operands and cotangent do.
    how: "jit" with shardings of all operands, "explicit" axes, or "manual": the batch
      is cut over mesh axes that belong to `jax.shard_map`.
    """

    op: str
    shapes: tuple[Shape, ...]
    options: dict[str, Any]
    mesh: Shape
    specs: tuple[P, ...]  # of the operands and, last, of the cotangent
    how: str = "jit"
    outs: bool = False
    own: Shape = (0,)  # the mesh axes that are shard_map's

    def call(self, *operands: Any) -> Any:
        return OPS[self.op](*operands, **self.options)


def _general(x: Any, w: Any, **options: Any) -> Any:
    return jaxconv.conv_general_dilated(x, w, **options)


def _lax(x: Any, w: Any, **options: Any) -> Any:
    return lax.conv_general_dilated(x, w, **options)


OPS: dict[str, Callable[..., Any]] = {
    "conv": jaxconv.conv,
    "conv_transpose": jaxconv.conv_transpose,
    "conv_general_dilated": _general,
    "lax": _lax,
    "accelerate": jaxconv.accelerate(_lax),
    "deform_conv": lambda x, offset, w, mask, **options: jaxconv.deform_conv(
        x, offset, w, mask=mask, **options
    ),
    "unfold": jaxconv.unfold,
    "fold": jaxconv.fold,
}
DRAWN = (
    *("conv",) * 4,
    *("conv_transpose",) * 3,
    "conv_general_dilated",
    "deform_conv",
    "unfold",
    "fold",
)


def draw(rng: np.random.Generator, ops: tuple[str, ...] = DRAWN) -> Trial:
    """A call that fits, and shardings that divide it."""
    while True:
        op = _one(rng, ops)
        mesh = _one(rng, MESHES)
        how = _one(rng, ("jit", "jit", "jit", "explicit", "manual"))
        if op not in ("conv", "conv_transpose") and how == "explicit":
            how = "jit"
        try:
            trial = _call(rng, op, mesh, how)
            avals = [jax.ShapeDtypeStruct(v, np.float64) for v in trial.shapes]
            out = jax.eval_shape(trial.call, *avals)
        except ValueError:
            continue
        shapes = (*trial.shapes, out.shape)
        axes = range(len(mesh))
        if how == "manual":
            if len(mesh) == 1:
                continue
            order = [int(axis) for axis in rng.permutation(len(mesh))]
            own = order[: rng.integers(1, len(mesh))]
            if shapes[0][0] % math.prod(mesh[axis] for axis in own):
                continue
            axes = [axis for axis in axes if axis not in own]
            trial = trial._replace(own=tuple(own))
        specs = (_cut(rng, shape, mesh, axes, how == "manual") for shape in shapes)
        return trial._replace(specs=tuple(specs), outs=bool(rng.integers(2)))


def _one(rng: np.random.Generator, among: Any) -> Any:
    return among[rng.integers(len(among))]


def _call(rng: np.random.Generator, op: str, mesh: Shape, how: str) -> Trial:
    ndim = int(_one(rng, (1, 2, 2, 2, 3)))
    if op == "deform_conv":
        ndim = min(ndim, 2)
    groups = int(_one(rng, (1, 1, 2, 4, 8)))
    n = int(_one(rng, (1, 2, 4, 6, 8)))
    c, o = (int(_one(rng, (1, 2, 3, 4) if groups > 2 else (1, 3, 4, 8))) for _ in "co")
    space = tuple(int(_one(rng, (5, 6, 8, 8, 12, 16))) for _ in range(ndim))
    window = tuple(int(_one(rng, (1, 2, 3, 3, 4))) for _ in range(ndim))

    def several(*among: int) -> Shape:
        return tuple(int(_one(rng, among)) for _ in range(ndim))

    options: dict[str, Any] = {
        "stride": several(1, 1, 1, 2, 3),
        "dilation": several(1, 1, 2),
    }
    first = bool(rng.integers(2))
    options["layout"] = "channels_first" if first else "channels_last"

    def image(channels: int, space: Shape) -> Shape:
        return (n, channels, *space) if first else (n, *space, channels)

    kernel = (groups * o, c, *window) if first else (*window, c, groups * o)
    if op in ("lax", "accelerate", "conv_general_dilated"):
        options = _lax_options(rng, ndim, first, options, groups)
        return Trial(op, (image(groups * c, space), kernel), options, mesh, (), how)
    if op == "fold":
        geometry = {"kernel_size": window, **options}
        pads = several(0, 1)
        x = jax.ShapeDtypeStruct(image(c, space), np.float64)
        u = jax.eval_shape(lambda x: jaxconv.unfold(x, padding=pads, **geometry), x)
        options = {"output_size": space, **geometry, "padding": pads}
        return Trial(op, (u.shape,), options, mesh, (), how)
    options["padding"] = several(0, 1, 1, 2)
    if op == "unfold":
        options["kernel_size"] = window
        return Trial(op, (image(c, space),), options, mesh, (), how)
    if op == "deform_conv":
        out = [
            (i + 2 * p - d * (k - 1) - 1) // s + 1
            for i, k, s, d, p in zip(
                space, window, options["stride"], options["dilation"],
                options["padding"], strict=True,
            )
        ]  # fmt: skip
        taps, parts = math.prod(window), int(_one(rng, (1, 1, 2)))
        if min(out) < 1:
            raise ValueError
        at = tuple(out)
        shapes = (image(groups * c, space), image(parts * taps * ndim, at), kernel,
                  image(parts * taps, at))  # fmt: skip
        return Trial(op, shapes, options, mesh, (), how)
    options["groups"] = groups
    if how != "explicit":
        options["padding_mode"] = _one(rng, ("zeros", "zeros", "zeros", *MODES))
    channels = groups * (c if op == "conv" else o)
    if op == "conv" and rng.integers(4) == 0:
        options["padding"] = _one(rng, ("SAME", "VALID"))
    return Trial(op, (image(channels, space), kernel), options, mesh, (), how)


def _lax_options(
    rng: np.random.Generator, ndim: int, first: bool, given: Any, groups: int
) -> dict[str, Any]:
    letters = "DHW"[-ndim:]
    spec = (f"N{letters}C", f"{letters}IO")
    if first:
        spec = (f"NC{letters}", f"OI{letters}")
    pads = [tuple(int(v) for v in rng.integers(0, 3, 2)) for _ in range(ndim)]
    return {
        "window_strides": given["stride"],
        "padding": _one(rng, (pads, "SAME")),
        "rhs_dilation": given["dilation"],
        "dimension_numbers": (*spec, spec[0]),
        "feature_group_count": groups,
    }


def _cut(
    rng: np.random.Generator, shape: Shape, mesh: Shape, axes: Any, whole_batch: bool
) -> P:
    """Each mesh axis cuts some axis of the array that it divides, or none."""
    parts: list[list[str]] = [[] for _ in shape]
    left = list(shape)
    for axis in rng.permutation(np.asarray(axes, int)):
        fit = [at for at, size in enumerate(left) if size % mesh[axis] == 0]
        if whole_batch and 0 in fit:
            fit.remove(0)
        if fit and rng.random() < 0.75:
            at = int(_one(rng, fit))
            left[at] //= mesh[axis]
            parts[at].append("abc"[axis])
    return P(*(tuple(part) or None for part in parts))


# Checking -----------------------------------------------------------------------------


def _mesh(trial: Trial, kind: AxisType = AxisType.Auto) -> Mesh:
    names = tuple("abc"[: len(trial.mesh)])
    devices = jax.devices()[: math.prod(trial.mesh)]
    return jax.make_mesh(trial.mesh, names, (kind,) * len(names), devices=devices)


def check(trial: Trial, seed: int = 0) -> None:
    """Raises an AssertionError where value or gradients differ from one device's."""
    rng = np.random.default_rng(seed)
    avals = [jax.ShapeDtypeStruct(v, np.float64) for v in trial.shapes]
    out = jax.eval_shape(trial.call, *avals)
    arrays = [rng.normal(size=v.shape) for v in (*avals, out)]
    got = _run(trial, arrays)
    want = jax.jit(lambda *v: _all(trial.call, *v))(*arrays)
    for name, mine, right in zip(_names(trial), got, want, strict=True):
        scale = max(1.0, float(np.abs(right).max(initial=0)))
        error = float(np.abs(np.asarray(mine) - np.asarray(right)).max(initial=0))
        assert error <= 1e-11 * scale, f"{name} is off by {error / scale:.2g}: {trial}"


def _names(trial: Trial) -> tuple[str, ...]:
    return ("value", *(f"gradient {n}" for n in range(len(trial.shapes))))


def _all(call: Callable[..., Any], *arrays: Any) -> tuple[Any, ...]:
    """The value, and the gradients for a cotangent, which comes last."""
    *operands, cotangent = arrays
    y, pull = jax.vjp(call, *operands)
    return y, *pull(cotangent)


def _explicit(call: Callable[..., Any], *operands: Any) -> tuple[Any, ...]:
    y, pull = jax.vjp(call, *operands)
    return y, *pull(jnp.cos(y))


def _run(trial: Trial, arrays: list[Any]) -> tuple[Any, ...]:
    if trial.how == "explicit":
        mesh = _mesh(trial, AxisType.Explicit)
        with jax.set_mesh(mesh):
            lying = [NamedSharding(mesh, spec) for spec in trial.specs[:-1]]
            cut = [jax.device_put(v, s) for v, s in zip(arrays, lying, strict=False)]
            found = jax.jit(lambda *v: _explicit(trial.call, *v))(*cut)
        arrays[-1] = np.cos(np.asarray(found[0]))
        return found
    mesh = _mesh(trial)
    lying = [NamedSharding(mesh, spec) for spec in trial.specs]
    call = trial.call
    if trial.how == "manual":
        own = tuple("abc"[axis] for axis in trial.own)
        first = [P(own)] + [P() for _ in trial.shapes[1:]]
        if trial.op == "deform_conv":
            first[1] = first[3] = P(own)
        lying = [
            NamedSharding(mesh, P(own, *s.spec[1:])) if len(p) else s
            for s, p in zip(lying, [*first, P(own)], strict=True)
        ]
        call = jax.shard_map(
            call,
            mesh=mesh,
            in_specs=tuple(first),
            out_specs=P(own),
            axis_names=set(own),
        )
    outs = (lying[-1], *lying[:-1])
    run = jax.jit(
        lambda *v: _all(call, *v),
        in_shardings=tuple(lying),
        out_shardings=outs if trial.outs else None,
    )
    return run(*arrays)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ops", nargs="*", default=list(DRAWN))
    given = parser.parse_args()
    if given.count > BLOCK:
        return _in_blocks(given)
    start, wrong, kinds = time.monotonic(), 0, {}
    for seed in range(given.seed, given.seed + given.count):
        trial = draw(np.random.default_rng(seed), tuple(given.ops))
        key = f"{trial.op} {trial.how}"
        kinds[key] = kinds.get(key, 0) + 1
        print(f"seed {seed}", file=sys.stderr)
        try:
            check(trial, seed)
        except Exception as error:
            wrong += 1
            print(f"FOUND seed {seed}: {type(error).__name__} {str(error)[:1500]}")
            if not isinstance(error, AssertionError):
                print(trial)
    seconds = time.monotonic() - start
    print(f"{given.count} trials in {seconds:.0f} s, {wrong} wrong: {kinds}")
    return 1 if wrong else 0


BLOCK = 50


def _in_blocks(given: argparse.Namespace) -> int:
    """A process for each block; one that dies is a find, and another one goes on."""
    wrong, dead, first, end = 0, 0, given.seed, given.seed + given.count
    while first < end:
        count = min(BLOCK, end - first)
        command = [sys.executable, "-um", "fuzz.shardings", str(count)]
        command += ["--seed", str(first), "--ops", *given.ops]
        done = subprocess.run(command, capture_output=True, text=True)
        print(done.stdout, end="", flush=True)
        wrong += done.stdout.count("FOUND")
        first += count
        if done.returncode not in (0, 1):
            dead += 1
            begun = re.findall(r"^seed (\d+)$", done.stderr, re.M)
            first = int(begun[-1]) + 1 if begun else first
            print(f"FOUND seed {begun[-1:]}: the process died ({done.returncode})")
    print(f"{given.count} trials, {wrong} wrong, {dead} died: {given.ops}", flush=True)
    return 1 if wrong + dead else 0


if __name__ == "__main__":
    sys.exit(main())
