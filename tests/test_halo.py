"""Shards with halos, inside shard_map: the arithmetic, the exchange, deform_conv."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh
from jax.sharding import PartitionSpec as P

import jaxconv
from oracle import close

CUT = P(None, None, "a", "b")


def mesh_of(rows: int, columns: int = 1) -> Mesh:
    devices = jax.devices()[: rows * columns]
    return jax.make_mesh(
        (rows, columns), ("a", "b"), (AxisType.Auto,) * 2, devices=devices
    )


def local(
    op: str, whole: tuple[int, ...], shards: tuple[int, int], **options: Any
) -> Any:
    """An operation on one shard of an image of this size."""
    transposed = op == "conv_transpose"
    fn = getattr(jaxconv, op)
    fixed = {k: v for k, v in options.items() if k not in ("padding", "output_padding")}

    def run(x: jax.Array, kernel: jax.Array) -> jax.Array:
        sizes = {k: v for k, v in options.items() if k != "groups"}
        part = jaxconv.halo(
            whole, kernel.shape[2:], shards, transposed=transposed, **sizes
        )
        for axis, name in enumerate("ab"):
            x = jaxconv.exchange_halo(
                x, part.low[axis], part.high[axis], axis + 2, name
            )
        extra = {"output_padding": part.output_padding} if transposed else {}
        y = fn(x, kernel, padding=part.padding, **extra, **fixed)
        assert y.shape[2:] == part.output
        return y

    return run


CASES: dict[str, tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "strided, uneven": (
        "conv", (2, 3, 24, 12), (5, 3, 4, 3),
        {"padding": ((0, 2), (1, 0)), "stride": 2},
    ),
    "crops": ("conv", (2, 3, 24, 12), (5, 3, 1, 2), {"stride": (3, 2)}),
    "halo larger than a shard": (
        "conv", (1, 2, 8, 4), (3, 2, 7, 3), {"padding": (6, 1), "dilation": (2, 1)},
    ),
    "grouped": ("conv", (2, 6, 8, 4), (9, 2, 3, 3), {"padding": 1, "groups": 3}),
    "transposed": (
        "conv_transpose", (2, 5, 8, 6), (5, 3, 4, 4), {"padding": 1, "stride": 2},
    ),
    "transposed, output padding": (
        "conv_transpose", (2, 5, 8, 6), (5, 3, 3, 2),
        {"padding": (1, 0), "stride": (2, 3), "output_padding": 1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_shards_are_parts_of_the_whole(name: str, rng: np.random.Generator) -> None:
    """The result and both gradients, with varying axes checked."""
    op, x_shape, k_shape, options = CASES[name]
    x, kernel = (jnp.asarray(rng.normal(size=v)) for v in (x_shape, k_shape))
    shards = (4, 2)
    fn = local(op, x_shape[2:], shards, **options)
    whole = partial(getattr(jaxconv, op), **options)
    cut = jax.shard_map(fn, mesh=mesh_of(*shards), in_specs=(CUT, P()), out_specs=CUT)

    def three(fn: Any, x: Any, kernel: Any) -> Any:
        y, pull = jax.vjp(fn, x, kernel)
        return y, *pull(jnp.cos(y))

    run = jax.jit(partial(three, cut))
    for got, want in zip(run(x, kernel), three(whole, x, kernel), strict=True):
        close(got, want, 400, np.float64)
    text = run.lower(x, kernel).compile().as_text()
    assert "all-gather" not in text
    assert "all-to-all" not in text


def test_a_grid_of_geometries() -> None:
    """Sizes of a shard, for every one that can be cut."""
    cuts = 0
    for k, s, d, lo, hi in np.ndindex(5, 3, 2, 3, 3):
        k, s, d = k + 1, s + 1, d + 1
        options: dict[str, Any] = {"stride": s, "dilation": d, "padding": ((lo, hi),)}
        for transposed, size in ((False, 12 * s), (True, 12)):
            try:
                part = jaxconv.halo(size, k, 3, transposed=transposed, **options)
            except ValueError:
                continue
            cuts += 1
            around = size // 3 + part.low[0] + part.high[0]
            options["padding"] = part.padding
            if transposed:
                got = jaxconv.conv_transpose_output_size(
                    around, k, output_padding=part.output_padding, **options
                )
            else:
                got = jaxconv.conv_output_size(around, k, **options)
            options["padding"] = ((lo, hi),)
            assert got == part.output[0] == (4 * s if transposed else 4)
    assert cuts > 80


@pytest.mark.parametrize("low", [1, 3])
def test_circular(low: int, rng: np.random.Generator) -> None:
    x = jnp.asarray(rng.normal(size=(8, 3)))
    run = jax.shard_map(
        lambda x: jaxconv.exchange_halo(x, low, 1, 0, "a", padding_mode="circular"),
        mesh=mesh_of(4),
        in_specs=P("a"),
        out_specs=P("a"),
    )
    got = np.asarray(run(x)).reshape(4, low + 3, 3)
    wide = np.pad(np.asarray(x), ((low, 1), (0, 0)), mode="wrap")
    for shard in range(4):
        np.testing.assert_array_equal(got[shard], wide[2 * shard : 2 * shard + low + 3])


def test_cost_of_a_shard() -> None:
    """What one shard's own call costs, and the bytes around it."""
    options: dict[str, Any] = {"padding": (2, 1), "dtype": np.float16}
    whole = jaxconv.cost((2, 8, 32, 12), (6, 8, 5, 3), **options)
    part = jaxconv.cost((2, 8, 32, 12), (6, 8, 5, 3), shards=(4, 1), **options)
    assert whole.halo_bytes == 0
    assert part.halo_bytes == 2 * 8 * (2 + 2) * 12 * 2
    assert part.multiply_adds == whole.multiply_adds // 4
    assert part.output_shape == (2, 6, 8, 12)
    elements = 2 * 8 * 12 * 12 + 2 * 6 * 8 * 12 + math.prod((6, 8, 5, 3))
    assert part.bytes == 2 * elements
    last = jaxconv.cost(
        (2, 32, 12, 8), (5, 3, 8, 6), layout="channels_last", shards=(4, 1), **options
    )
    assert last.halo_bytes == part.halo_bytes


# Deformable convolution ---------------------------------------------------------------


def deformed(rng: np.random.Generator, reach: float) -> tuple[Any, Any, Any, Any]:
    x, kernel = rng.normal(size=(2, 4, 16, 6)), rng.normal(size=(5, 4, 3, 3))
    offset = rng.uniform(-reach, reach, (2, 2 * 2 * 9, 16, 6))
    mask = rng.uniform(size=(2, 2 * 9, 16, 6))
    return tuple(map(jnp.asarray, (x, offset, kernel, mask)))


def deform(halo: Any, names: Any, mesh: Mesh, cut: P) -> Any:
    def shard(x: Any, offset: Any, kernel: Any, mask: Any) -> Any:
        return jaxconv.deform_conv_shard(
            x, offset, kernel, halo, names, mask=mask, padding=1
        )

    return jax.shard_map(
        shard, mesh=mesh, in_specs=(cut, cut, P(), cut), out_specs=(cut, P())
    )


def whole_deform(x: Any, offset: Any, kernel: Any, mask: Any) -> Any:
    return jaxconv.deform_conv(x, offset, kernel, mask=mask, padding=1)


def test_deform_within_the_halo(rng: np.random.Generator) -> None:
    """Value and all gradients; on the outer borders offsets point outside."""
    operands = deformed(rng, 2.0)
    run = deform(2, ("a", "b"), mesh_of(4, 2), CUT)

    def loss(fn: Any, *v: Any) -> Any:
        return jnp.sin(fn(*v)).sum()

    y, beyond = jax.jit(run)(*operands)
    assert beyond == 0
    close(y, whole_deform(*operands), 200, np.float64)
    gradient = jax.grad(partial(loss, lambda *v: run(*v)[0]), (0, 1, 2, 3))
    compiled = jax.jit(gradient).lower(*operands).compile()
    assert "all-gather" not in compiled.as_text()
    want = jax.grad(partial(loss, whole_deform), (0, 1, 2, 3))(*operands)
    for got, right in zip(compiled(*operands), want, strict=True):
        close(got, right, 400, np.float64)


def test_deform_counts_what_lies_beyond(rng: np.random.Generator) -> None:
    """Exactly the samples whose pixels the shard has not, and the image has."""
    x, offset, kernel, mask = deformed(rng, 5.0)
    reach = 2
    run = jax.jit(deform((reach, 0), ("a", None), mesh_of(4), P(None, None, "a")))
    y, beyond = run(x, offset, kernel, mask)
    want = whole_deform(x, offset, kernel, mask)
    moves = np.asarray(offset).reshape(2, 2, 3, 3, 2, 16, 6)
    row, column = np.arange(16)[:, None], np.arange(6)[None, :]
    missed = np.zeros((2, 16, 6), bool)
    count = 0
    for n, g, i, j, p, q in np.ndindex(2, 2, 3, 3, 16, 6):
        dy, dx = moves[n, g, i, j, :, p, q]
        at, across = p - 1 + i + dy, q - 1 + j + dx
        if not (-1 < at < 16 and -1 < across < 6):
            continue
        first, stop = p // 4 * 4 - 1 - reach, p // 4 * 4 + 4 + 1 + reach
        cells = {math.floor(at), math.floor(at) + (at != math.floor(at))}
        if any(0 <= c < 16 and not first <= c < stop for c in cells):
            count += 1
            missed[n, p, q] = True
    assert 0 < count == beyond
    assert row.size * column.size > 0
    wrong = np.abs(np.asarray(y - want)).max(1) > 1e-9
    assert np.array_equal(wrong, missed)


MISTAKES = {
    "not a multiple": (
        lambda: jaxconv.halo(66, 3, 2),
        "shards=2: cannot cut on axis 0, where a convolution of stride 1 takes 66 "
        "elements to 64: not 1 times as many. Pad",
    ),
    "no divisor": (
        lambda: jaxconv.halo((6, 10), 3, (1, 4), padding=1),
        r"shards=4: does not divide 10 elements on axis 1\. Choose",
    ),
    "output padding of a convolution": (
        lambda: jaxconv.halo(6, 3, 2, output_padding=1),
        r"output_padding=1: belongs to a transposed convolution\. Leave",
    ),
    "no such axis": (
        lambda: jaxconv.exchange_halo(jnp.zeros((3, 4)), 1, 1, 2, "a"),
        r"axis=2: is no axis of x, which has 2\. Write",
    ),
    "too much cut off": (
        lambda: jaxconv.exchange_halo(jnp.zeros(3), -2, -2, 0, "a"),
        r"low=-2: cuts more off than the 3 elements that a shard has\. Cut less",
    ),
    "unknown mode": (
        lambda: jaxconv.exchange_halo(
            jnp.zeros(3), 1, 1, 0, "a", padding_mode="reflect"
        ),
        "padding_mode='reflect': is not one of the known words. Write one of 'zeros'",
    ),
    "one name for two axes": (
        lambda: jaxconv.deform_conv_shard(
            jnp.zeros((1, 1, 4, 4)), jnp.zeros((1, 18, 4, 4)), jnp.zeros((1, 1, 3, 3)),
            1, ("a",),
        ),
        r"axis_names=\('a',\): is not one name, or None, for each of 2",
    ),
    "no batch": (
        lambda: jaxconv.deform_conv_shard(
            jnp.zeros((1, 4)), jnp.zeros((1, 4)), jnp.zeros((1, 1, 1)), 1, ("a",)
        ),
        r"x.shape=\(1, 4\): has no batch axis, which a shard needs\. Write x\[None\]",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_message(name: str) -> None:
    call, says = MISTAKES[name]
    with pytest.raises(ValueError, match=f"^{says}"):
        call()
