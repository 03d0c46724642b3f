"""Every transformation of JAX on the primitive, against the same one on lax.

``lax.conv_general_dilated`` is the convolution's witness; its ``linear_transpose`` with
respect to the image and to the kernel are those of the two other roles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from jax import export, lax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from cases import Case, over_roles
from jaxconv._core.contract import contract
from oracle import Window, close

Fun = Callable[[jax.Array, jax.Array], Any]

# Low padding below the kernel's reach, where lax itself is right (test_upstream.py).
CASE = Case(
    "transformed", Window((6, 5), (3, 2), (3, 5), (2, 1), (1, 2), (1, 1)), 4, 2, 1, 3
)


def ours(role: str) -> Fun:
    return lambda a, b: contract(a, b, CASE.spec(role))


def _conv(x: jax.Array, w: jax.Array) -> jax.Array:
    g = CASE.spec("output").geometry
    padding = tuple(zip(g.low, g.high, strict=True))
    return lax.conv_general_dilated(
        x,
        w,
        g.stride,
        padding,
        rhs_dilation=g.dilation,
        feature_group_count=CASE.groups,
    )


def _input(y: jax.Array, w: jax.Array) -> jax.Array:
    x = jax.ShapeDtypeStruct((y.shape[0], *CASE.shape("input")[1:]), y.dtype)
    return jax.linear_transpose(lambda x: _conv(x, w), x)(y)[0]


def _kernel(x: jax.Array, y: jax.Array) -> jax.Array:
    w = jax.ShapeDtypeStruct(CASE.shape("kernel"), x.dtype)
    return jax.linear_transpose(lambda w: _conv(x, w), w)(y)[0]


LAX = {"output": _conv, "input": _input, "kernel": _kernel}


def loss(fun: Fun) -> Fun:
    """Nonlinear, so that no derivative of any order vanishes."""
    return lambda a, b: jnp.sin(fun(a, b)).sum()


def operands(role: str, rng: np.random.Generator, *batch: int) -> tuple[Any, Any]:
    first, second = CASE.spec(role).operands
    return tuple(
        jnp.asarray(rng.standard_normal((*batch, *CASE.shape(v))))
        for v in (first, second)
    )


def agree(actual: Any, desired: Any) -> None:
    leaves, wanted = jax.tree.leaves(actual), jax.tree.leaves(desired)
    assert wanted
    for leaf, want in zip(leaves, wanted, strict=True):
        assert leaf.dtype == want.dtype
        assert np.abs(want).max() > 1e-3
        close(
            np.asarray(leaf), np.asarray(want), 100 * CASE.terms("kernel"), np.float64
        )


# On one device ------------------------------------------------------------------------


def _scan_grad(fun: Fun, a: Any, b: Any) -> Any:
    def total(a: Any, b: Any) -> Any:
        def step(carry: Any, scale: Any) -> Any:
            return carry + loss(fun)(scale * a, b), None

        return lax.scan(step, jnp.zeros(()), jnp.asarray([0.5, 1.5, 2.0]))[0]

    return jax.grad(total, (0, 1))(a, b)


def _exported(fun: Fun, a: Any, b: Any) -> Any:
    traced = jax.jit(jax.value_and_grad(loss(fun), (0, 1)))
    module = export.export(traced, platforms=("cpu", "cuda", "tpu"))(a, b)
    pytest.importorskip("flatbuffers", reason="jax.export serialises with it")
    return export.deserialize(module.serialize()).call(a, b)


def _symbolic(fun: Fun, a: Any, b: Any) -> Any:
    """A size that is a symbol is no int, which only the tests' own type check minds."""
    with _no_type_check():
        return _export_symbolic(fun, a, b)


@contextmanager
def _no_type_check() -> Iterator[None]:
    checked = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", checked)


def _export_symbolic(fun: Fun, a: Any, b: Any) -> Any:
    (n,) = export.symbolic_shape("n")
    shapes = [(n, *v.shape[1:]) if v.shape[0] == CASE.n else v.shape for v in (a, b)]
    specs = [jax.ShapeDtypeStruct(shape, a.dtype) for shape in shapes]
    module = export.export(jax.jit(jax.grad(loss(fun), (0, 1))))(*specs)
    return module.call(a, b), module.call(*_first(3, a, b))


def _first(n: int, *operands: Any) -> list[Any]:
    """Fewer images; a kernel, which has no batch, stays whole."""
    return [v[:n] if v.shape[0] == CASE.n else v for v in operands]


def _jvp(fun: Fun, a: Any, b: Any) -> Any:
    return jax.jvp(fun, (a, b), (jnp.cos(a), jnp.sin(b)))


def _stack(v: Any, axis: int = 0, size: int = 3) -> Any:
    scales = jnp.arange(1, size + 1, dtype=v.dtype)
    return jnp.stack([jnp.sin(scale * v) for scale in scales], axis)


def _third(fun: Fun, a: Any, b: Any) -> Any:
    def along(f: Fun) -> Fun:
        def slope(a: Any, b: Any) -> Any:
            da, db = jax.grad(f, (0, 1))(a, b)
            return (da * jnp.cos(a)).sum() + (db * jnp.sin(b)).sum()

        return slope

    return jax.jit(jax.grad(along(along(loss(fun))), (0, 1)))(a, b)


def _transpose_first(fun: Fun, a: Any, b: Any) -> Any:
    return jax.linear_transpose(lambda a: fun(a, b), a)(jnp.cos(fun(a, b)))


def _transpose_second(fun: Fun, a: Any, b: Any) -> Any:
    return jax.linear_transpose(lambda b: fun(a, b), b)(jnp.cos(fun(a, b)))


def _jvp_of_transpose(fun: Fun, a: Any, b: Any) -> Any:
    ct = jnp.cos(fun(a, b))

    def transposed(b: Any, ct: Any) -> Any:
        return jax.linear_transpose(lambda a: fun(a, b), a)(ct)

    return jax.jvp(transposed, (b, ct), (jnp.sin(b), jnp.sin(ct)))


def _linearize(fun: Fun, a: Any, b: Any) -> Any:
    out, linear = jax.linearize(fun, a, b)
    return out, linear(jnp.cos(a), jnp.sin(b))


def _transpose_of_linearize(fun: Fun, a: Any, b: Any) -> Any:
    out, linear = jax.linearize(fun, a, b)
    return jax.linear_transpose(linear, a, b)(jnp.cos(out))


def _hessian(outer: Any, inner: Any) -> Any:
    return lambda f, a, b: jax.jit(outer(inner(loss(f), (0, 1)), (0, 1)))(
        *_first(1, a, b)
    )


TRANSFORMATIONS: dict[str, Callable[[Fun, Any, Any], Any]] = {
    "jit": lambda f, a, b: jax.jit(f)(a, b),
    "grad": lambda f, a, b: jax.grad(loss(f), (0, 1))(a, b),
    "checkpoint": lambda f, a, b: jax.grad(jax.checkpoint(loss(f)), (0, 1))(a, b),
    "grad of scan": _scan_grad,
    "export": _exported,
    "export with a symbolic batch": _symbolic,
    "jvp": _jvp,
    "vmap first": lambda f, a, b: jax.vmap(f, (0, None))(_stack(a), b),
    "vmap second": lambda f, a, b: jax.vmap(f, (None, 0))(a, _stack(b)),
    "vmap both": lambda f, a, b: jax.vmap(f)(_stack(a), _stack(b)),
    "vmap odd axes": lambda f, a, b: jax.vmap(f, (2, -1), 3)(
        _stack(a, 2), _stack(b, -1)
    ),
    "vmap nested": lambda f, a, b: jax.vmap(jax.vmap(f, (0, None)), (None, 1))(
        _stack(a), _stack(b, 1, 2)
    ),
    "vmap of grad": lambda f, a, b: jax.vmap(jax.grad(loss(f), (0, 1)), (0, None))(
        _stack(a), b
    ),
    "grad of vmap": lambda f, a, b: jax.grad(loss(jax.vmap(f, (0, None))), (0, 1))(
        _stack(a), b
    ),
    "hessian forward over reverse": _hessian(jax.jacfwd, jax.jacrev),
    "hessian reverse over forward": _hessian(jax.jacrev, jax.jacfwd),
    "hessian forward over forward": _hessian(jax.jacfwd, jax.jacfwd),
    "hessian reverse over reverse": _hessian(jax.jacrev, jax.jacrev),
    "third order": _third,
    "transpose first": _transpose_first,
    "transpose second": _transpose_second,
    "jvp of a transpose": _jvp_of_transpose,
    "linearize": _linearize,
    "transpose of linearize": _transpose_of_linearize,
}


@pytest.mark.parametrize("name", TRANSFORMATIONS)
@over_roles
def test_transformation(role: str, name: str, rng: np.random.Generator) -> None:
    transformation, (a, b) = TRANSFORMATIONS[name], operands(role, rng)
    agree(transformation(ours(role), a, b), transformation(LAX[role], a, b))


# On several devices -------------------------------------------------------------------


def _mesh(kind: AxisType) -> Mesh:
    return jax.make_mesh((4,), ("d",), (kind,), devices=jax.devices()[:4])


def _specs(role: str) -> tuple[P, P]:
    """The batch is sharded; a kernel has none."""
    return P("d"), P("d") if role == "kernel" else P()


def _sharded(role: str, mesh: Mesh, rng: np.random.Generator) -> tuple[Any, Any]:
    return tuple(
        jax.device_put(v, NamedSharding(mesh, spec))
        for v, spec in zip(operands(role, rng), _specs(role), strict=True)
    )


def _local(role: str) -> Fun:
    """The whole loss from a shard: a kernel's is a sum over shards, the others' no."""
    fun = ours(role)
    if role == "kernel":
        return lambda a, b: jnp.sin(lax.psum(fun(a, b), "d")).sum()
    return lambda a, b: lax.psum(loss(fun)(a, b), "d")


def _gradient(role: str, a: Any, b: Any) -> Any:
    """The witness, on one device."""
    a, b = (jnp.asarray(np.asarray(v)) for v in (a, b))
    return jax.grad(loss(LAX[role]), (0, 1))(a, b)


@over_roles
def test_jit_of_sharded_gradient(role: str, rng: np.random.Generator) -> None:
    a, b = _sharded(role, _mesh(AxisType.Auto), rng)
    actual = jax.jit(jax.grad(loss(ours(role)), (0, 1)))(a, b)
    agree(actual, _gradient(role, a, b))


@pytest.mark.parametrize("check_vma", [True, False])
@over_roles
def test_gradient_of_shard_map(
    role: str, check_vma: bool, rng: np.random.Generator
) -> None:
    mesh = _mesh(AxisType.Auto)
    a, b = _sharded(role, mesh, rng)
    total = jax.shard_map(
        _local(role),
        mesh=mesh,
        in_specs=_specs(role),
        out_specs=P(),
        check_vma=check_vma,
    )
    actual = jax.jit(jax.grad(total, (0, 1)))(a, b)
    agree(actual, _gradient(role, a, b))


@over_roles
def test_gradient_inside_shard_map(role: str, rng: np.random.Generator) -> None:
    """The cast's transpose sums the unvarying operand's gradient over the shards."""
    mesh = _mesh(AxisType.Auto)
    a, b = _sharded(role, mesh, rng)
    local = jax.grad(_local(role), (0, 1))
    specs = _specs(role)
    gradient = jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=specs)
    agree(jax.jit(gradient)(a, b), _gradient(role, a, b))


@pytest.fixture
def explicit() -> Iterator[Mesh]:
    mesh = _mesh(AxisType.Explicit)
    with jax.set_mesh(mesh):
        yield mesh


@over_roles
def test_explicit_mesh(role: str, explicit: Mesh, rng: np.random.Generator) -> None:
    a, b = _sharded(role, explicit, rng)
    out = jax.jit(ours(role))(a, b)
    first = None if role == "kernel" else "d"
    assert jax.typeof(out).sharding.spec == P(first, None, None, None)
    agree(out, LAX[role](*(jnp.asarray(np.asarray(v)) for v in (a, b))))


@over_roles
def test_gradient_on_explicit_mesh(
    role: str, explicit: Mesh, rng: np.random.Generator
) -> None:
    a, b = _sharded(role, explicit, rng)
    actual = jax.jit(jax.grad(loss(ours(role)), (0, 1)))(a, b)
    for gradient, operand in zip(actual, (a, b), strict=True):
        assert jax.typeof(gradient).sharding.spec == jax.typeof(operand).sharding.spec
    agree(actual, _gradient(role, a, b))
