"""Deformable convolution under JAX's transformations, its memory and its errors."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export, lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from deform_cases import PLANE
from jaxconv._deform import deform_aggregate, deform_conv, deform_conv_transpose
from oracle import close

SMALL = PLANE._replace(n=2)
NAMES = ("x", "offset", "kernel", "bias", "mask")


def conv(x: Any, offset: Any, kernel: Any, bias: Any, mask: Any, **more: Any) -> Any:
    options = SMALL.options | more
    return deform_conv(x, offset, kernel, bias, mask=mask, **options)


def operands(rng: np.random.Generator, *batch: int) -> list[np.ndarray]:
    """One set of operands, or many with a leading axis."""
    if not batch:
        return list(SMALL.operands(rng).values())
    sets = [operands(rng, *batch[1:]) for _ in range(batch[0])]
    return [np.stack(v) for v in zip(*sets, strict=True)]


# Batching -----------------------------------------------------------------------------

MAPPED = [(name,) for name in NAMES[:3]] + [("x", "mask"), ("offset", "kernel"), NAMES]


@pytest.mark.parametrize("mapped", MAPPED, ids="+".join)
def test_vmap_and_its_gradient(mapped: Any, rng: np.random.Generator) -> None:
    one, many = operands(rng), operands(rng, 3)
    v = [
        b if name in mapped else a for name, a, b in zip(NAMES, one, many, strict=True)
    ]
    axes = [0 if name in mapped else None for name in NAMES]

    def loss(*v: Any) -> Any:
        return jnp.sin(conv(*v)).sum()

    both = jax.value_and_grad(loss, argnums=tuple(range(5)))
    y, gradient = jax.jit(jax.vmap(both, axes))(*v)
    for i in range(3):
        each = [a[i] if axis == 0 else a for a, axis in zip(v, axes, strict=True)]
        wanted, slopes = jax.jit(both)(*each)
        close(y[i], np.asarray(wanted), SMALL.terms, np.float64)
        for found, slope in zip(gradient, slopes, strict=True):
            close(found[i], np.asarray(slope), SMALL.terms, np.float64)


@pytest.mark.parametrize("implementation", ["columns", "chunks"])
def test_without_batch_and_with_an_empty_one(
    implementation: str, rng: np.random.Generator
) -> None:
    x, offset, kernel, bias, mask = operands(rng)
    run = jax.jit(partial(conv, implementation=implementation))
    y = np.asarray(run(x, offset, kernel, bias, mask))
    one = run(x[1], offset[1], kernel, bias, mask[1])
    close(one, y[1], SMALL.terms, np.float64)
    none = [x[:0], offset[:0], kernel, bias, mask[:0]]
    assert run(*none).shape == (0, *y.shape[1:])
    slopes = jax.grad(lambda *v: run(*v).sum(), argnums=(0, 1, 2))
    gradient = jax.jit(slopes)(*none)
    assert gradient[0].shape == (0, *x.shape[1:])
    assert not np.asarray(gradient[2]).any()


# Derivatives --------------------------------------------------------------------------


@pytest.mark.parametrize("implementation", ["columns", "chunks"])
def test_forward_and_reverse_mode_agree(
    implementation: str, rng: np.random.Generator
) -> None:
    v, dv = operands(rng), operands(rng)
    run = jax.jit(partial(conv, implementation=implementation))
    y, dy = jax.jit(partial(jax.jvp, run))(v, dv)
    ct = rng.standard_normal(y.shape)
    slopes = jax.vjp(run, *v)[1](ct)
    pairs = zip(slopes, dv, strict=True)
    total = sum(float((a * b).sum()) for a, b in pairs)
    np.testing.assert_allclose(total, float((dy * ct).sum()), rtol=1e-11)
    linear = jax.linearize(run, *v)[1](*dv)
    close(linear, np.asarray(dy), SMALL.terms, np.float64)


def test_hessian_checkpoint_and_scan(rng: np.random.Generator) -> None:
    x, offset, kernel, bias, mask = operands(rng)
    at = 0.1 * rng.standard_normal(4)

    def loss(a: Any, wrap: Any = lambda f: f) -> Any:
        v = (a[0] * x, offset + a[1], a[2] * kernel, bias, mask + a[3])
        return jnp.sin(wrap(partial(conv, implementation="chunks"))(*v)).sum()

    slope = jax.jit(jax.grad(loss))(at)
    np.testing.assert_allclose(
        jax.jit(jax.grad(partial(loss, wrap=jax.checkpoint)))(at), slope, rtol=1e-11
    )
    ahead = jax.jit(jax.hessian(loss))(at)
    back = jax.jit(jax.jacrev(jax.grad(loss)))(at)  # a hessian is jacfwd of jacrev
    np.testing.assert_allclose(ahead, back, rtol=1e-9, atol=1e-9)
    _, slopes = jax.jit(
        lambda at: lax.scan(lambda c, a: (c, jax.grad(loss)(a)), 0, at)
    )(np.stack([at, 0 * at]))
    np.testing.assert_allclose(slopes[0], slope, rtol=1e-11)


# Several devices, and other ones ------------------------------------------------------


@pytest.mark.parametrize("implementation", ["columns", "chunks"])
def test_sharded_over_the_batch(implementation: str, rng: np.random.Generator) -> None:
    mesh = Mesh(np.array(jax.devices()[:2]), ("n",))
    v = operands(rng)
    run = partial(conv, implementation=implementation)

    def loss(*v: Any) -> Any:
        return jnp.sin(run(*v)).sum()

    wanted = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2)))(*v)
    specs = (P("n"), P("n"), P(), P(), P("n"))
    shared = [
        jax.device_put(a, NamedSharding(mesh, s)) for a, s in zip(v, specs, strict=True)
    ]
    found = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2)))(*shared)
    mapped = jax.shard_map(
        lambda *v: lax.psum(loss(*v), "n"), mesh=mesh, in_specs=specs, out_specs=P()
    )
    manual = jax.jit(jax.value_and_grad(mapped, argnums=(0, 1, 2)))(*shared)
    for a, b, c in zip(*map(jax.tree.leaves, (wanted, found, manual)), strict=True):
        close(b, np.asarray(a), SMALL.terms, np.float64)
        close(c, np.asarray(a), SMALL.terms, np.float64)


def test_exported_for_every_platform(rng: np.random.Generator) -> None:
    v = operands(rng)
    gradient = jax.jit(jax.grad(lambda *v: jnp.sin(conv(*v)).sum(), argnums=(0, 1, 2)))
    exported = export.export(gradient, platforms=("cpu", "cuda", "tpu"))(*v)
    again = export.deserialize(exported.serialize())
    for a, b in zip(again.call(*v), gradient(*v), strict=True):
        close(a, np.asarray(b), SMALL.terms, np.float64)


def test_the_packed_gather_has_the_same_values(rng: np.random.Generator) -> None:
    """What a TPU runs, on this machine."""
    from jaxconv._deform import form as _form

    a, b = rng.standard_normal((2, 30, 5)), rng.standard_normal((2, 4, 3, 7))
    index = rng.integers(0, 24, (2, 3, 7)).astype(np.int32)
    form = _form.Form("samples", (0, 1, 5, 6), 30, np.dtype(np.float64))
    run = partial(_form.run, form=form, shape=(2, 7, 5))
    one, packed = (
        run(*map(jnp.asarray, (a, b, index)), kind=k) for k in ("cpu", "tpu")
    )
    close(packed, np.asarray(one), 12, np.float64)


# Memory -------------------------------------------------------------------------------

N, INPUTS, OUTPUTS, SPACE = 2, 192, 40, (20, 18)
POSITIONS = N * SPACE[0] * SPACE[1]
COLUMNS = 4 * POSITIONS * 9 * INPUTS  # bytes
SHAPES = [
    (N, *SPACE, INPUTS),
    (N, *SPACE, 18),
    (3, 3, INPUTS, OUTPUTS),
    (OUTPUTS,),
    (N, *SPACE, 9),
]
OPERANDS = 4 * sum(int(np.prod(shape)) for shape in SHAPES)
ROWS_AND_WEIGHTS = 4 * POSITIONS * 9 * (1 + 4)


def scratch(fun: Any) -> int:
    v = [jax.ShapeDtypeStruct(shape, np.float32) for shape in SHAPES]
    return jax.jit(fun).lower(*v).compile().memory_analysis().temp_size_in_bytes


def big(x: Any, offset: Any, kernel: Any, bias: Any, mask: Any, **more: Any) -> Any:
    more = {"padding": 1, "layout": "channels_last"} | more
    return deform_conv(x, offset, kernel, bias, mask=mask, **more)


def test_columns_need_no_more_than_the_columns_and_operands() -> None:
    found = scratch(partial(big, implementation="columns"))
    assert COLUMNS < found < COLUMNS + OPERANDS + 3 * ROWS_AND_WEIGHTS


@pytest.mark.parametrize("part", [5, 20])
def test_chunks_need_a_tenth_or_the_limit(part: int) -> None:
    run = partial(big, implementation="chunks", memory_limit=COLUMNS // part)
    chunk = COLUMNS / max(part, 10)
    found = scratch(run)
    loss = jax.grad(lambda *v: jnp.sin(run(*v)).sum(), argnums=tuple(range(5)))
    derivative = scratch(loss)
    assert found < 1.1 * chunk + 3 * ROWS_AND_WEIGHTS + OPERANDS
    # The loop's derivative keeps some chunks, and the operands' gradients twice.
    assert derivative < 6 * chunk + 3 * ROWS_AND_WEIGHTS + 3 * OPERANDS


def test_the_limit_decides() -> None:
    for limit, chunked in [(COLUMNS, False), (COLUMNS - 1, True), (None, True)]:
        jaxpr = jax.make_jaxpr(partial(big, memory_limit=limit))(
            *[jax.ShapeDtypeStruct(shape, np.float32) for shape in SHAPES]
        )
        assert ("scan" in str(jaxpr)) == chunked


# Errors -------------------------------------------------------------------------------

X, KERNEL = np.ones((2, 6, 5, 4)), np.ones((4, 3, 3, 2))
OFFSET, MASK = np.ones((2, 36, 3, 3)), np.ones((2, 18, 3, 3))
UNFIT: list[tuple[type[Exception], str, dict[str, Any]]] = [
    (ValueError, r"offset\.shape=.*has 35 channels, which must be a multiple of 12 "
     r"\(6 taps with 2 offsets each\)", {"offset": OFFSET[:, :35]}),
    (ValueError, r"is 4 offset groups of 12 .* which do not divide x's 6 channels",
     {"offset": np.ones((2, 48, 3, 3))}),
    (ValueError, r"offset\.shape=\(2, 36, 3, 2\): must be \(2, 36, 3, 3\): .*"
     r"output's size \(3, 3\), which follows", {"offset": OFFSET[..., :2]}),
    (ValueError, r"offset\.shape=\(1, 36, 3, 3\): must be \(2, 36", {
        "offset": OFFSET[:1]}),
    (ValueError, r"offset\.shape=.*has 3 axes with its batch, but x has 4", {
        "offset": OFFSET[0]}),
    (ValueError, r"mask\.shape=\(2, 17, 3, 3\): must be \(2, 18, 3, 3\): one channel "
     r"per offset group and tap \(3 and 6", {"mask": MASK[:, :17]}),
    (ValueError, r"x\.shape=.*has 5 channels .*multiple of the kernel's 3 per group",
     {"x": X[:, :5]}),
    (ValueError, r"kernel\.shape=.*has 3 output channels, which x's 2 groups of 3",
     {"kernel": KERNEL[:3]}),
    (ValueError, r"bias\.shape=\(3,\): must have exactly shape \(4,\)", {
        "bias": np.ones(3)}),
    (ValueError, r"stride=0: must be at least 1", {"stride": 0}),
    (ValueError, r"kernel=.*spans", {"padding": 0, "dilation": 3}),
    (ValueError, r"implementation='fast': .*'columns', 'chunks'", {
        "implementation": "fast"}),
    (ValueError, r"memory_limit=0: must be at least 1", {"memory_limit": 0}),
    (TypeError, r"x is float64 and mask is float32", {
        "mask": MASK.astype(np.float32)}),
    (TypeError, r"x\.dtype='int64': is not a floating type", {
        "x": X.astype(np.int64)}),
]  # fmt: skip


@pytest.mark.parametrize(("error", "text", "change"), UNFIT)
def test_what_does_not_fit(error: Any, text: str, change: dict[str, Any]) -> None:
    v: dict[str, Any] = {"x": X, "offset": OFFSET, "kernel": KERNEL, "mask": MASK}
    v |= {"padding": ((0, 0), (0, 0))}
    with pytest.raises(error, match=text):
        jax.eval_shape(lambda: deform_conv(**(v | change)))


def test_what_does_not_fit_the_others() -> None:
    y = np.ones((2, 4, 3, 3))
    with pytest.raises(ValueError, match=r"x\.shape=.*output channels, 4"):
        deform_conv_transpose(y[:, :3], OFFSET, KERNEL, groups=2)
    with pytest.raises(ValueError, match=r"does not divide the kernel's 4 output"):
        deform_conv_transpose(y, OFFSET, KERNEL, groups=3)
    with pytest.raises(ValueError, match=r"weights\.shape=\(2, 17, 3, 3\): must be"):
        deform_aggregate(X, OFFSET, MASK[:, :17], (3, 2))
    with pytest.raises(ValueError, match=r"remove_center=True: needs a window with"):
        deform_aggregate(X, OFFSET, MASK, (3, 2), remove_center=True)
    with pytest.raises(TypeError, match=r"offset_scale='2': is not a number"):
        deform_aggregate(X, OFFSET, MASK, (3, 2), offset_scale="2")  # type: ignore
