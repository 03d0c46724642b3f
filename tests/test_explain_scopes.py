"""What `explain` says is what runs: the lowerings named in programs, on any mesh."""

from __future__ import annotations

import re
from typing import Any

import jax
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import jaxconv
from benchmarks.peers import jaxconv_cell
from benchmarks.table import WORKLOADS
from benchmarks.workloads import ROLES, Workload

SCOPE = re.compile(r"jaxconv\.(?:output|input|kernel)\.(\w+)")
SAID = re.compile(r"(?:by the lowering|inside it runs) '(\w+)'")


def shapes(workload: Workload) -> list[jax.ShapeDtypeStruct]:
    every = workload.shapes.values()
    return [jax.ShapeDtypeStruct(shape, workload.dtype) for shape in every]


def with_forward(workload: Workload, role: str) -> Any:
    """A role's result and the forward one, which tracing a gradient finds too."""
    fn, forward = jaxconv_cell(workload, role), jaxconv_cell(workload, "forward")
    return lambda *args: (forward(*args), fn(*args))


def said(fn: Any, *args: Any) -> set[str]:
    return set(SAID.findall(jaxconv.explain(fn, *args)))


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_on_one_device(workload: Workload) -> None:
    """Every contraction of all three roles, down to the innermost lowering."""
    args = shapes(workload)
    for role in ROLES:
        fn = with_forward(workload, role)
        text = jax.jit(fn).lower(*args).as_text(debug_info=True)
        assert set(SCOPE.findall(text)) == said(fn, *args), role


def half(v: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((v.shape[0] // 2, *v.shape[1:]), v.dtype)


# Shards are cut out while XLA compiles, so of each family one workload is enough.
FIRST = {
    w.family: w for w in reversed(WORKLOADS) if w.context == "plain" and not w.batch % 2
}
SHARED = [(workload, role) for workload in FIRST.values() for role in ROLES]


@pytest.mark.parametrize(
    ("workload", "role"), SHARED, ids=[f"{w.name}-{role}" for w, role in SHARED]
)
def test_on_two_devices(
    workload: Workload, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the batch cut, each device runs what `explain` says of its shard."""
    entered: list[str] = []
    plain = jax.named_scope

    def noted(name: str) -> Any:
        entered.append(name)
        return plain(name)

    mesh = jax.make_mesh((2,), ("d",), devices=jax.devices()[:2])
    fn = with_forward(workload, role)
    cut = NamedSharding(mesh, PartitionSpec("d"))
    whole = NamedSharding(mesh, PartitionSpec())
    args = shapes(workload)
    lowered = jax.jit(fn, in_shardings=(cut, whole, cut)).lower(*args)
    with monkeypatch.context() as patch:  # XLA asks for the shards' programs
        patch.setattr(jax, "named_scope", noted)
        lowered.compile()
    found = set(SCOPE.findall(" ".join(entered)))
    x, w, y = args
    assert found == said(fn, half(x), w, half(y))
