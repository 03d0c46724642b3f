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
from jaxconv._core.geometry import Geometry
from jaxconv._core.spec import Case, Layout, Spec
from jaxconv._plan import emit
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
    """Why contractions partition themselves; if this fails, look at it again."""
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


# What XLA's own partitioner gets wrong ------------------------------------------------


@pytest.mark.parametrize("batch", [None, "a"], ids=["replicated", "batch"])
@pytest.mark.parametrize("name", ["dense", "strided", "volume", "transposed"])
def test_rows_are_cut_and_another_axis_replicates(
    name: str, batch: str | None, rng: np.random.Generator
) -> None:
    """XLA adds a kernel's gradient up over the replicas too."""
    op, mesh = OPS[name], mesh_of(2, 4)
    x, kernel, y = operands(op, rng)
    cut, whole = NamedSharding(mesh, P(batch, None, "b")), NamedSharding(mesh, P())
    run = jax.jit(partial(three, op), in_shardings=(cut, whole, cut))
    compiled = run.lower(x, kernel, y).compile()
    assert set(collectives(compiled)) == {"collective-permute", "all-reduce"}
    for got, want in zip(compiled(x, kernel, y), three(op, x, kernel, y), strict=True):
        close(got, want, 400, np.float64)


def test_vmap_of_grad_with_examples_cut_by_type(rng: np.random.Generator) -> None:
    """lax asks for an out_sharding that vmap cannot give."""
    x, kernel = (jnp.asarray(rng.normal(size=v)) for v in ((8, 6, 8, 7), (4, 6, 3, 3)))

    def loss(x: Any, kernel: Any) -> Any:
        return jnp.sin(jaxconv.conv(x, kernel, padding=1)).sum()

    each = jax.vmap(jax.grad(loss, (0, 1)), (0, None))
    mesh = mesh_of(2, 4, kind=AxisType.Explicit)
    with jax.set_mesh(mesh):
        cut = jax.device_put(x, NamedSharding(mesh, P("a", None, "b")))
        whole = jax.device_put(kernel, NamedSharding(mesh, P()))
        got = jax.jit(each)(cut, whole)
        assert got[0].sharding.spec == P("a", None, "b", None)
        assert got[1].sharding.spec == P("a", None, None, None, None)
    for mine, want in zip(got, each(x, kernel), strict=True):
        close(mine, want, 400, np.float64)


# Deformable convolution: cuts of x, offset, kernel and y.
DEFORMED = {
    "batch": (P("a"), P("a"), P(), P("a")),
    "inputs": (P(None, "a"), P(), P(None, "a"), P()),
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


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Callable[..., set[str]]:
    """What the plan chooses while a call is compiled, in every shard if it is cut."""
    chosen: list[str] = []

    def note(case: Any, place: Any) -> Any:
        choice = choose(case, place)
        chosen.append(choice.lowering.name)
        return choice

    def names(fn: Any, *args: Any) -> set[str]:
        chosen.clear()
        jax.jit(lambda *v: fn(*v)).lower(*args).compile()
        return set(chosen)

    monkeypatch.setattr(emit, "choose", note)
    return names


def test_a_shard_runs_what_one_device_runs(
    ran: Callable[..., set[str]], rng: np.random.Generator
) -> None:
    op = OPS["depthwise"]
    x, kernel, _ = operands(op, rng)
    assert ran(op.run, x, kernel) == {"narrow"}
    for spec in (P("a"), P(None, "a"), P(None, None, "a")):
        cut = jax.device_put(x, NamedSharding(mesh_of(4), spec))
        assert ran(op.run, cut, kernel) == {"narrow"}
    mesh = mesh_of(4)
    local = jax.shard_map(op.run, mesh=mesh, in_specs=(P("a"), P()), out_specs=P("a"))
    assert ran(local, cut, kernel) == {"narrow"}


def test_products_where_xla_has_to_partition(
    ran: Callable[..., set[str]], rng: np.random.Generator
) -> None:
    """In an exported program; in a shard_map of some axes it has not to."""
    op = OPS["dense"]
    x, kernel, _ = operands(op, rng)
    mesh = mesh_of(2, 2)
    some = jax.shard_map(
        op.run, mesh=mesh, in_specs=(P("a"), P()), out_specs=P("a"), axis_names={"a"}
    )
    assert ran(some, x, kernel) == ran(op.run, x, kernel)
    assert choose(asked(op), Place("cuda", partitioned=True)).lowering.name == "einsum"
    cut = NamedSharding(mesh, P("a", None, "b"))
    whole = NamedSharding(mesh, P())
    exported = jax.export.export(jax.jit(op.run, in_shardings=(cut, whole)))(x, kernel)
    loaded = jax.export.deserialize(exported.serialize())
    got = jax.jit(loaded.call)(jax.device_put(x, cut), jax.device_put(kernel, whole))
    close(got, op.run(x, kernel), 200, np.float64)


def test_exported_shards_of_some_axes(rng: np.random.Generator) -> None:
    """Made whole over the axes that are left: XLA's partitioner ends the process."""
    mesh = mesh_of(2, 2)
    arrays = [
        jnp.asarray(rng.uniform(size=v))
        for v in ((4, 8, 6), (4, 8, 3), (3, 6, 8), (4, 8, 3))
    ]

    def whole(x: Any, offset: Any, kernel: Any, mask: Any) -> Any:
        options = {"padding": 1, "layout": "channels_last"}
        y = jaxconv.deform_conv(x, offset, kernel, mask=mask, **options)
        return jaxconv.conv(
            y, kernel[:, :1], groups=8, padding_mode="reflect", **options
        )

    batch = (P("a"), P("a"), P(), P("a"))
    some = jax.shard_map(
        whole, mesh=mesh, in_specs=batch, out_specs=P("a"), axis_names={"a"}
    )
    cut = [NamedSharding(mesh, v) for v in (P("a", "b"), P("a", "b"), P(), P("a"))]
    run = jax.jit(
        some, in_shardings=cut, out_shardings=NamedSharding(mesh, P("a", "b"))
    )
    loaded = jax.export.deserialize(jax.export.export(run)(*arrays).serialize())
    got = jax.jit(loaded.call)(*map(jax.device_put, arrays, cut))
    close(got, whole(*arrays), 200, np.float64)


def test_an_exported_padding_in_a_shard_keeps_the_batch_cut(
    rng: np.random.Generator,
) -> None:
    mesh = mesh_of(2, 2)
    x, kernel = (jnp.asarray(rng.normal(size=v)) for v in ((8, 3, 6), (5, 3, 3)))
    fn = partial(jaxconv.conv, padding=1, padding_mode="circular")
    some = jax.shard_map(
        fn, mesh=mesh, in_specs=(P("a"), P()), out_specs=P("a"), axis_names={"a"}
    )
    cut = [NamedSharding(mesh, v) for v in (P(("a", "b")), P())]
    run = jax.jit(some, in_shardings=cut, out_shardings=cut[0])
    loaded = jax.export.deserialize(jax.export.export(run)(x, kernel).serialize())
    args = [jax.device_put(v, s) for v, s in zip((x, kernel), cut, strict=True)]
    compiled = jax.jit(loaded.call).lower(*args).compile()
    assert not collectives(compiled)
    close(compiled(*args), fn(x, kernel), 20, np.float64)


def asked(op: Op) -> Case:
    geometry = Geometry((16, 6), (3, 3), (16, 6), (1, 1), (1, 1), (1, 1))
    dtype = np.dtype(np.float32)
    spec = Spec("output", geometry, 1, Layout("channels_first"), dtype)
    return Case(spec, spec.sizes(op.x, op.kernel), dtype)


def test_a_lowering_asked_for_by_name_runs(
    ran: Callable[..., set[str]], rng: np.random.Generator
) -> None:
    op = OPS["grouped"]._replace(options={"groups": 4, "implementation": "grouped"})
    x, kernel, _ = operands(op, rng)
    cut = jax.device_put(x, NamedSharding(mesh_of(4), P("a")))
    assert "grouped" in ran(op.run, cut, kernel)
    cut = jax.device_put(x, NamedSharding(mesh_of(4), P(None, "a")))
    assert "grouped" not in ran(op.run, cut, kernel)  # one group is left in a shard


def test_nothing_remains_on_one_device(rng: np.random.Generator) -> None:
    op = OPS["dense"]
    x, kernel, y = operands(op, rng)
    text = jax.jit(partial(three, op)).lower(x, kernel, y).as_text()
    assert "Partition" not in text
    assert "sdy" not in text


def test_two_meshes_and_an_abstract_one(rng: np.random.Generator) -> None:
    op = OPS["dense"]
    x, kernel, _ = operands(op, rng)
    rows = jax.device_put(x, NamedSharding(mesh_of(4), P(None, None, "a")))
    outputs = jax.device_put(kernel, NamedSharding(mesh_of(2, 2), P("b")))
    close(jax.jit(op.run)(rows, outputs), op.run(x, kernel), 200, np.float64)
    mesh = jax.sharding.AbstractMesh((2, 4), ("a", "b"))
    args = [
        jax.ShapeDtypeStruct(v.shape, v.dtype, sharding=NamedSharding(mesh, spec))
        for v, spec in ((x, P("a", None, "b")), (kernel, P()))
    ]
    traced = jax.jit(op.run).trace(*args)
    text = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert "CustomSPMDPartitioning" in text
    # The compiler for TPUs knows no custom partitioning: products per tap.
    text = traced.lower(lowering_platforms=("tpu",)).as_text(debug_info=True)
    assert "CustomSPMDPartitioning" not in text
    assert "jaxconv.output.einsum" in text


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
