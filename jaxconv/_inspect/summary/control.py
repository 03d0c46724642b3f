"""Dependence through branches, loops and devices.

The steps of a scan and the devices of a mesh are additional axes, with names instead of
numbers: an operand of the body may depend on the step or the device, and so may its
results.  Stacking the results of all steps turns such a named axis into a numbered one;
a carry is followed from step to step until its dependence no longer changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, Protocol

from jax.extend.core import JaxprEqn

from jaxconv._inspect.summary import seen as _seen
from jaxconv._inspect.summary import views as _views
from jaxconv._inspect.summary.found import Value
from jaxconv._inspect.summary.seen import Seen
from jaxconv._inspect.summary.views import Axis


class Walk(Protocol):
    """The part of the jaxpr's interpreter that the handlers below use."""

    labels: dict[Axis, int]
    fresh: count[int]

    def inside(
        self, eqn: JaxprEqn, jaxpr: Any, args: Sequence[Value], *, part: int = 0,
        times: int = 1, note: str | None = None,
    ) -> list[Value]: ...  # fmt: skip

    def unknown(self, eqn: JaxprEqn, seens: Sequence[Seen]) -> Seen: ...


Handler = Callable[[Walk, JaxprEqn, list[Value]], list[Value]]

STEPS = 256  # the most steps of a scan that are followed to a fixed point
OPEN_STEPS = 8  # the same for a while loop, whose length is not known


def _cond(walk: Walk, eqn: JaxprEqn, values: list[Value]) -> list[Value]:
    """The union of all branches, and of the whole index, which selects one."""
    index, *operands = values
    note = "one of several branches; all are counted"
    branches = eqn.params["branches"]
    results = [
        walk.inside(eqn, branch, operands, part=part, note=note)
        for part, branch in enumerate(branches)
    ]
    chosen = _seen.everything([index.seen])
    return [
        _either([*each, replace(index, seen=chosen)], walk)
        for each in _columns(results)
    ]


def _columns(rows: Sequence[Sequence[Any]]) -> list[Any]:
    return list(zip(*rows, strict=True))


def _either(values: Sequence[Value], walk: Walk) -> Value:
    shape = values[0].shape
    seen = _seen.union((v.seen for v in values), _sizes(walk, shape))
    return replace(values[0], seen=seen, known=None, leaf=None, row=None)


def _sizes(walk: Walk, shape: Sequence[int]) -> dict[Axis, int]:
    return {**dict(enumerate(shape)), **walk.labels}


# Loops --------------------------------------------------------------------------------


def _scan(walk: Walk, eqn: JaxprEqn, values: list[Value]) -> list[Value]:
    params, length = eqn.params, eqn.params["length"]
    consts, carry = scan_counts(params)
    step: Axis = f"step{next(walk.fresh)}"
    walk.labels[step] = length
    fixed, state = values[:consts], values[consts : consts + carry]
    rows = [_row(v, step, params["reverse"], length) for v in values[consts + carry :]]

    def body(state: Sequence[Value]) -> list[Value]:
        plain = [_plain(v) for v in (*state, *rows)]
        return walk.inside(eqn, params["jaxpr"], [*fixed, *plain], times=length)

    state, outs = _repeated(walk, body, state, step, length, "scan")
    return [*state, *(_stacked(v, step, params["reverse"], length, walk) for v in outs)]


def scan_counts(params: Any) -> tuple[int, int]:
    """The numbers of constants and carries of a scan.

    Newer versions of JAX keep them as a tree.
    """
    if "num_consts" in params:
        return params["num_consts"], params["num_carry"]
    consts, carry, _ = params["ft_in"].unpack()
    return len(list(consts)), len(list(carry))


def _plain(value: Value) -> Value:
    """A value inside a loop: not a known constant, and not a layer's own result."""
    return replace(value, known=None, row=None)


def _row(value: Value, step: Axis, reverse: bool, length: int) -> Value:
    """The row of an operand that one step gets."""
    seen = _along_steps(value.seen, 0, reverse, length)
    rank = len(value.shape)
    names: dict[Any, Axis] = {0: step} | {a: a - 1 for a in range(1, rank)}
    return replace(value, seen=_seen.renamed(seen, names), shape=value.shape[1:])


def _along_steps(seen: Seen, axis: Axis, reverse: bool, length: int) -> Seen:
    if not reverse:
        return seen
    return _seen.through(seen, axis, _seen.Window(s=-1, lo=1 - length), length)


def _stacked(value: Value, step: Axis, reverse: bool, length: int, walk: Walk) -> Value:
    """The results of all steps along a new first axis."""
    seen = _along_steps(value.seen, step, reverse, length)
    names: dict[Any, Axis] = {step: 0}
    names |= {a: a + 1 for a in range(len(value.shape))}
    return replace(_plain(value), seen=_seen.renamed(seen, names), leaf=None)


def _repeated(
    walk: Walk,
    body: Callable[[Sequence[Value]], list[Value]],
    state: Sequence[Value],
    step: Axis | None,
    length: int | None,
    name: str,
) -> tuple[list[Value], list[Value]]:
    """Repeats the body until the state's dependence stays the same, or all steps ran.

    Returns the state and the other results.  If there are too many steps, the state's
    dependence is unknown.
    """
    state, outs = list(state), list[Value]()
    most = OPEN_STEPS if length is None else STEPS
    for _ in range(most if length is None else min(length, most)):
        results = body(state)
        new, outs = results[: len(state)], results[len(state) :]
        if step is not None:
            new = [_without_label(v, step, walk) for v in new]
        else:  # a while loop may end after any step
            new = [_either([a, b], walk) for a, b in zip(new, state, strict=True)]
        if all(a.seen == b.seen for a, b in zip(new, state, strict=True)):
            return new, outs
        state = new
    if length is None or length > most:
        reason = name if length is None else f"{name} of {length} steps"
        lost = [replace(v, seen=_seen.unknown([v.seen], reason)) for v in state]
        results = body(lost)
        return lost, results[len(state) :]
    return state, outs


def _without_label(value: Value, label: Axis, walk: Walk) -> Value:
    sizes = _sizes(walk, value.shape)
    return replace(value, seen=_seen.dropped(value.seen, [label], sizes))


def _while(walk: Walk, eqn: JaxprEqn, values: list[Value]) -> list[Value]:
    """A loop of unknown length: followed to a fixed point, and counted once."""
    tests, consts = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
    note = "in a while loop, whose steps are not known: counted once"
    asked, fixed = values[:tests], values[tests : tests + consts]

    def body(state: Sequence[Value]) -> list[Value]:
        args = [*fixed, *map(_plain, state)]
        return walk.inside(eqn, eqn.params["body_jaxpr"], args, note=note)

    state, _ = _repeated(walk, body, values[tests + consts :], None, None, "while loop")
    (test,) = walk.inside(
        eqn, eqn.params["cond_jaxpr"], [*asked, *map(_plain, state)], part=1, note=note
    )
    chosen = replace(test, seen=_seen.everything([test.seen]))
    return [_either([v, chosen], walk) for v in state]


# Devices ------------------------------------------------------------------------------


def _shard_map(walk: Walk, eqn: JaxprEqn, values: list[Value]) -> list[Value]:
    params = eqn.params
    mesh = {_label(name): size for name, size in params["mesh"].shape.items()}
    walk.labels.update(mesh)
    manual: list[Axis] = [_label(name) for name in params["newly_manual_axes"]]
    devices = 1
    for name in manual:
        devices *= mesh[name]
    args = [
        _shard(v, spec, mesh)
        for v, spec in zip(values, params["in_specs"], strict=True)
    ]
    note = f"on {devices} devices, each counted"
    results = walk.inside(eqn, params["jaxpr"], args, times=devices, note=note)
    return [
        _whole(v, spec, mesh, manual, walk)
        for v, spec in zip(results, params["out_specs"], strict=True)
    ]


def _label(name: Any) -> Axis:
    return f"mesh {name}"


def _names(entry: Any) -> list[Axis]:
    if entry is None:
        return []
    return [_label(name) for name in (entry if isinstance(entry, tuple) else (entry,))]


def _shard(value: Value, spec: Any, mesh: dict[Any, int]) -> Value:
    """A value's shard: each sharded axis is split into mesh axes and a local axis."""
    seen, shape = value.seen, list(value.shape)
    for axis, entry in enumerate(spec):
        names = _names(entry)
        if not names:
            continue
        for name in names:
            shape[axis] //= mesh[name]
        sizes, to = [*(mesh[name] for name in names), shape[axis]], [*names, axis]
        seen = _seen.each(
            seen, lambda v, a=axis, s=sizes, t=to: _views.parted(v, a, s, t)
        )
    return replace(value, seen=seen, shape=tuple(shape), known=None, row=None)


def _whole(
    value: Value, spec: Any, mesh: dict[Any, int], manual: list[Axis], walk: Walk
) -> Value:
    """Merges mesh axes and local axes; over other mesh axes the value is replicated."""
    seen, shape = value.seen, value.shape
    for axis, entry in enumerate(spec):
        names = _names(entry)
        if names:
            sizes, axes = [*(mesh[name] for name in names), shape[axis]], [*names, axis]
            seen = _seen.each(
                seen, lambda v, a=axes, s=sizes, t=axis: _views.merged(v, a, s, t)
            )
    seen = _seen.dropped(seen, manual, _sizes(walk, shape))
    return replace(value, seen=seen, known=None, row=None)


def _collective(walk: Walk, eqn: JaxprEqn, values: list[Value]) -> list[Value]:
    """A sum or maximum over devices."""
    axes = eqn.params["axes"]
    if eqn.params.get("axis_index_groups") is not None or any(
        isinstance(axis, int) for axis in axes
    ):
        seen = walk.unknown(eqn, [v.seen for v in values])
        return [replace(v, seen=seen, known=None, row=None) for v in values]
    labels: list[Axis] = [_label(name) for name in axes]
    return [
        replace(
            v, seen=_seen.dropped(v.seen, labels, _sizes(walk, v.shape)), known=None
        )
        for v in values
    ]


HANDLERS: dict[str, Handler] = {
    "cond": _cond,
    "scan": _scan,
    "while": _while,
    "shard_map": _shard_map,
    **dict.fromkeys(("psum", "psum_invariant", "pmax", "pmin"), _collective),
}
