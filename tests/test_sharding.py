"""Sharded operands under jit: what XLA's partitioner sends, and that values stay."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import jaxconv
from jaxconv._lowerings import LOWERINGS
from jaxconv._plan.choose import choose
from jaxconv._plan.place import Place
from oracle import close

COLLECTIVES = (
    "all-gather",
    "all-to-all",
    "all-reduce",
    "collective-permute",
    "reduce-scatter",
)
ROLES = ("output", "input", "kernel")


def mesh_of(*sizes: int, kind: AxisType = AxisType.Auto) -> Mesh:
    names = "abc"[: len(sizes)]
    devices = jax.devices()[: int(np.prod(sizes))]
    return jax.make_mesh(sizes, tuple(names), (kind,) * len(sizes), devices=devices)


def collectives(compiled: Any) -> dict[str, int]:
    """How often each kind of communication stands in the compiled text."""
    text = compiled.as_text()
    count = {
        name: len(re.findall(rf" {name}(?:-start)?\(", text)) for name in COLLECTIVES
    }
    return {name: n for name, n in count.items() if n}


class Op(NamedTuple):
    """A call, and the most permutes that one of its roles takes with space sharded."""

    call: Callable[..., Any]
    x: tuple[int, ...]
    kernel: tuple[int, ...]
    options: dict[str, Any]
    permutes: int

    def run(self, x: Any, kernel: Any) -> Any:
        return self.call(x, kernel, **self.options)

    @property
    def transposed(self) -> bool:
        return self.call is jaxconv.conv_transpose


CONV, TRANSPOSE = jaxconv.conv, jaxconv.conv_transpose
OPS = {
    "dense": Op(CONV, (4, 8, 16, 6), (12, 8, 3, 3), {"padding": 1}, 2),
    "strided": Op(CONV, (4, 8, 16, 6), (12, 8, 3, 3), {"padding": 1, "stride": 2}, 1),
    "dilated": Op(CONV, (4, 8, 16, 7), (12, 8, 3, 3), {"padding": 2, "dilation": 2}, 2),
    "volume": Op(CONV, (4, 8, 8, 5, 3), (12, 8, 3, 3, 3), {"padding": 1}, 2),
    "line": Op(CONV, (4, 8, 16), (12, 8, 3), {"padding": 1}, 2),
    "grouped": Op(CONV, (4, 8, 16, 6), (12, 2, 3, 3), {"padding": 1, "groups": 4}, 2),
    "depthwise": Op(CONV, (4, 8, 16, 6), (8, 1, 3, 3), {"padding": 1, "groups": 8}, 2),
    "transposed": Op(
        TRANSPOSE, (4, 12, 8, 5), (12, 8, 4, 4), {"padding": 1, "stride": 2}, 2
    ),
    "pieces": Op(TRANSPOSE, (4, 12, 8, 5), (12, 8, 2, 2), {"stride": 2}, 0),
    "grouped transposed": Op(
        TRANSPOSE,
        (4, 12, 8, 5),
        (12, 2, 4, 4),
        {"padding": 1, "stride": 2, "groups": 4},
        2,
    ),
}  # fmt: skip

# Shardings of x, kernel and y, by what is cut; the kernel's of conv.
CUTS: dict[str, tuple[P, P, P]] = {
    "batch": (P("a"), P(), P("a")),
    "rows": (P(None, None, "a"), P(), P(None, None, "a")),
    "outputs": (P(), P("a"), P(None, "a")),
    "inputs": (P(None, "a"), P(None, "a"), P()),
    "groups": (P(None, "a"), P("a"), P(None, "a")),
}


# Every operation by rows; the rest where another letter or lowering comes in.
JITTED = [
    *((name, "rows") for name in OPS),
    *(("dense", cut) for cut in ("batch", "outputs", "inputs")),
    *(("grouped", cut) for cut in ("batch", "groups")),
    ("transposed", "inputs"),
    ("depthwise", "groups"),
]


def shardings(op: Op, cut: str) -> tuple[P, P, P]:
    """A transposed convolution's kernel has its outputs where conv's has inputs."""
    x, kernel, y = CUTS[cut]
    if op.transposed and cut in ("outputs", "inputs"):
        kernel = P(*reversed([*kernel, None, None][:2]))
    return x, kernel, y


def three(op: Op, x: Any, kernel: Any, y: Any) -> tuple[Any, Any, Any]:
    """The result and both gradients."""
    out, pull = jax.vjp(op.run, x, kernel)
    return out, *pull(y)


def operands(op: Op, rng: np.random.Generator) -> tuple[Any, Any, Any]:
    x, kernel = (jnp.asarray(rng.normal(size=v)) for v in (op.x, op.kernel))
    shape = jax.eval_shape(op.run, x, kernel).shape
    return x, kernel, jnp.asarray(rng.normal(size=shape))


@pytest.mark.parametrize(("name", "cut"), JITTED)
def test_jit(name: str, cut: str, rng: np.random.Generator) -> None:
    """All three roles at once: no gather, and no more permutes than borders ask for."""
    op, mesh = OPS[name], mesh_of(4)
    specs = [NamedSharding(mesh, spec) for spec in shardings(op, cut)]
    arrays = operands(op, rng)
    x, kernel, y = (jax.device_put(v, s) for v, s in zip(arrays, specs, strict=True))
    run = jax.jit(partial(three, op), out_shardings=(specs[2], *specs[:2]))
    compiled = run.lower(x, kernel, y).compile()
    found = collectives(compiled)
    permutes, reduces = found.pop("collective-permute", 0), found.pop("all-reduce", 0)
    assert not found
    # Of rows the forward pass and the kernel's gradient need the same.
    assert permutes <= (3 * op.permutes if cut == "rows" else 0)
    assert (permutes > 0) == (cut == "rows" and op.permutes > 0)
    assert reduces == (0 if cut == "groups" else 1)
    for got, want in zip(compiled(x, kernel, y), three(op, *arrays), strict=True):
        close(got, want, 200, np.float64)


@pytest.mark.parametrize("name", ["dense", "transposed"])
@pytest.mark.parametrize("role", ROLES)
def test_permutes_of_each_role(name: str, role: str, rng: np.random.Generator) -> None:
    op, mesh = OPS[name], mesh_of(4)
    specs = [NamedSharding(mesh, spec) for spec in shardings(op, "rows")]
    args = [jax.ShapeDtypeStruct(v.shape, v.dtype, sharding=s)
            for v, s in zip(operands(op, rng), specs, strict=True)]  # fmt: skip
    place = ROLES.index(role)
    run = jax.jit(
        lambda *v: three(op, *v)[place], out_shardings=(specs[2], *specs[:2])[place]
    )
    found = collectives(run.lower(*args).compile())
    assert found.pop("collective-permute") <= op.permutes
    assert found == ({"all-reduce": 1} if role == "kernel" else {})


def test_two_axes_of_space_and_the_batch(rng: np.random.Generator) -> None:
    op, mesh = OPS["dense"], mesh_of(2, 2, 2)
    x, kernel, y = operands(op._replace(x=(4, 8, 16, 6)), rng)
    cut = NamedSharding(mesh, P("a", None, "b", "c"))
    run = jax.jit(
        partial(three, op), out_shardings=(cut, cut, NamedSharding(mesh, P()))
    )
    sharded = (jax.device_put(x, cut), kernel, jax.device_put(y, cut))
    compiled = run.lower(*sharded).compile()
    assert set(collectives(compiled)) == {"collective-permute", "all-reduce"}
    for got, want in zip(compiled(*sharded), three(op, x, kernel, y), strict=True):
        close(got, want, 200, np.float64)


def test_lax_gathers_the_batch_of_a_grouped_convolution() -> None:
    """Why the plan is another under partition; if this fails, look at it again."""
    mesh = mesh_of(4)
    x = jax.ShapeDtypeStruct(
        (4, 8, 9, 6), np.float32, sharding=NamedSharding(mesh, P("a"))
    )
    w = jax.ShapeDtypeStruct(
        (12, 2, 3, 3), np.float32, sharding=NamedSharding(mesh, P())
    )
    run = jax.jit(
        lambda x, w: lax.conv_general_dilated(
            x, w, (1, 1), "SAME", feature_group_count=4
        ),
        out_shardings=NamedSharding(mesh, P("a")),
    )
    assert "all-gather" in collectives(run.lower(x, w).compile())


# Deformable convolution: cuts of x, offset, kernel and y.
DEFORMED = {
    "batch": (P("a"), P("a"), P(), P("a")),
    "outputs": (P(), P(), P("a"), P(None, "a")),
}


@pytest.mark.parametrize("cut", DEFORMED)
def test_deform_conv(cut: str, rng: np.random.Generator) -> None:
    mesh = mesh_of(4)
    *specs, last = (NamedSharding(mesh, spec) for spec in DEFORMED[cut])
    shapes = (4, 8, 5, 3), (4, 18, 5, 3), (12, 8, 3, 3)
    arrays = [jnp.asarray(rng.uniform(size=shape)) for shape in shapes]
    sharded = [jax.device_put(v, s) for v, s in zip(arrays, specs, strict=True)]

    def three(*v: Any) -> Any:
        y, pull = jax.vjp(partial(jaxconv.deform_conv, padding=1), *v)
        return y, *pull(jnp.cos(y))

    compiled = jax.jit(three, out_shardings=(last, *specs)).lower(*sharded).compile()
    assert set(collectives(compiled)) <= {"all-reduce"}
    for got, want in zip(compiled(*sharded), three(*arrays), strict=True):
        close(got, want, 200, np.float64)


def test_deform_conv_of_a_shard_of_inputs(rng: np.random.Generator) -> None:
    """Under `jit` XLA gathers the channels; each shard's own sum needs none."""
    mesh = mesh_of(4)
    cut = (P(None, "a"), P(), P(None, "a"))
    shapes = (4, 8, 5, 3), (4, 18, 5, 3), (12, 8, 3, 3)
    arrays = [jnp.asarray(rng.uniform(size=shape)) for shape in shapes]

    def whole(*v: Any) -> Any:
        return jaxconv.deform_conv(*v, padding=1)

    parts = jax.shard_map(
        lambda *v: jax.lax.psum(whole(*v), "a"), mesh=mesh, in_specs=cut, out_specs=P()
    )

    def three(fn: Any, *v: Any) -> Any:
        y, pull = jax.vjp(fn, *v)
        return y, *pull(jnp.cos(y))

    sharded = [
        jax.device_put(v, NamedSharding(mesh, spec))
        for v, spec in zip(arrays, cut, strict=True)
    ]
    compiled = jax.jit(partial(three, parts)).lower(*sharded).compile()
    assert set(collectives(compiled)) == {"all-reduce"}
    expected = three(whole, *arrays)
    for got, want in zip(compiled(*sharded), expected, strict=True):
        close(got, want, 200, np.float64)


# Which lowering -----------------------------------------------------------------------


def lowered(fn: Any, *args: Any) -> str:
    return jax.jit(fn).lower(*args).as_text(debug_info=True)


def test_what_runs_on_one_device_and_on_several(rng: np.random.Generator) -> None:
    op = OPS["depthwise"]
    x, kernel, _ = operands(op, rng)
    assert "jaxconv.output.shift" in lowered(op.run, x, kernel)
    mesh = mesh_of(4)
    cut = jax.device_put(x, NamedSharding(mesh, P("a")))
    assert "jaxconv.output.einsum" in lowered(op.run, cut, kernel)
    local = jax.shard_map(op.run, mesh=mesh, in_specs=(P("a"), P()), out_specs=P("a"))
    assert "jaxconv.output.shift" in lowered(local, cut, kernel)
    partly = mesh_of(2, 2)
    some = jax.shard_map(
        op.run, mesh=partly, in_specs=(P("a"), P()), out_specs=P("a"), axis_names={"a"}
    )
    assert "jaxconv.output.einsum" in lowered(some, x, kernel)


def test_a_lowering_asked_for_by_name_runs(rng: np.random.Generator) -> None:
    op = OPS["grouped"]._replace(options={"groups": 4, "implementation": "grouped"})
    x, kernel, _ = operands(op, rng)
    cut = jax.device_put(x, NamedSharding(mesh_of(4), P("a")))
    assert "jaxconv.output.grouped" in lowered(op.run, cut, kernel)


def test_an_accelerator_keeps_its_own_depthwise() -> None:
    from cases import Case, named

    case: Case = named("depthwise")[0]
    spec = case.spec("output", "channels_last", np.float32)
    sizes = jaxconv._core.spec.Sizes(case.n, case.c, case.o)
    asked = jaxconv._core.spec.Case(spec, sizes, np.dtype(np.float32))
    assert choose(asked, Place("cuda", partitioned=True)).lowering is LOWERINGS["xla"]
    assert choose(asked, Place("cpu", partitioned=True)).lowering is LOWERINGS["einsum"]


# Sharding in types --------------------------------------------------------------------

EXPLICIT = {
    "batch and rows": ("dense", P("a", None, "b"), P()),
    "batch and outputs": ("dense", P("a"), P("b")),
    "inputs": ("dense", P("a", "b"), P(None, "b")),
    "the same axis twice": ("dense", P("a"), P("a")),
    "groups": ("grouped", P(None, "a"), P("a")),
    "transposed": ("transposed", P("a", None, "b"), P()),
}


@pytest.mark.parametrize("name", EXPLICIT)
def test_explicit_axes(name: str, rng: np.random.Generator) -> None:
    kind, *specs = EXPLICIT[name]
    op = OPS[kind]
    x, kernel, _ = operands(op, rng)

    def loss(x: Any, kernel: Any) -> Any:
        return jnp.sin(op.run(x, kernel)).sum()

    want = jax.grad(loss, (0, 1))(x, kernel)
    mesh = mesh_of(2, 2, kind=AxisType.Explicit)
    with jax.set_mesh(mesh):
        cut = [jax.device_put(v, NamedSharding(mesh, spec))
               for v, spec in zip((x, kernel), specs, strict=True)]  # fmt: skip
        got = jax.jit(jax.grad(loss, (0, 1)))(*cut)
        for mine, operand, right in zip(got, cut, want, strict=True):
            assert jax.typeof(mine).sharding.spec == jax.typeof(operand).sharding.spec
            close(mine, right, 400, np.float64)


@pytest.mark.parametrize("groups", [1, 4])
def test_an_accelerated_step_on_explicit_axes(
    groups: int, rng: np.random.Generator
) -> None:
    """No convolution of lax is left, the kernel's gradient neither."""
    x, kernel = (
        jnp.asarray(rng.normal(size=v)) for v in ((4, 8, 9, 6), (12, 8 // groups, 3, 3))
    )

    def loss(x: Any, kernel: Any) -> Any:
        y = lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", feature_group_count=groups
        )
        return (y**2).sum()

    step = jax.value_and_grad(loss, (0, 1))
    want = step(x, kernel)
    mesh = mesh_of(2, kind=AxisType.Explicit)
    with jax.set_mesh(mesh):
        cut = jax.device_put(x, NamedSharding(mesh, P("a")))
        kernel = jax.device_put(kernel, NamedSharding(mesh, P()))
        fast = jaxconv.accelerate(step)
        assert "conv_general_dilated[" not in str(jax.make_jaxpr(fast)(cut, kernel))
        for got, right in zip(
            jax.tree.leaves(jax.jit(fast)(cut, kernel)),
            jax.tree.leaves(want),
            strict=True,
        ):
            close(got, right, 4000, np.float64)
