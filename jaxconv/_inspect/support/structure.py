"""Follows dependence backwards through a jaxpr, element by element.

`Tape.record` interprets a function once.  Values that do not depend on x are computed;
a value that does is a `Node`, of which only shape and type are known.  Each operation
on nodes appends a step to the tape.  A step maps masks of the results that matter to
masks of the operands that matter, and `Tape.support` runs the steps in reverse order,
as reverse-mode differentiation does with cotangents.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import JaxprEqn, Literal

from jaxconv._core.calls import called
from jaxconv._inspect.summary.control import scan_counts
from jaxconv._inspect.support import dependence as _dependence

Mask = np.ndarray
Back = Callable[[list[Mask]], "list[Mask | None]"]


class Node:
    """A value that depends on x."""

    is_node = True

    def __init__(self, shape: tuple[int, ...], dtype: Any):
        self.shape = shape
        self.dtype = dtype


class Tape:
    """The operations on nodes in order, each with its backward step."""

    def __init__(self) -> None:
        self.steps: list[tuple[list[Node], list[Any], Back]] = []
        self.root = Node((), None)
        self.result: Any = None

    def record(self, closed: Any, x: Any) -> Tape:
        """The tape of a traced function of x."""
        self.root = Node(tuple(x.shape), x.dtype)
        (self.result,) = self.run(closed, [self.root])
        return self

    def support(self, start: Mask) -> Mask:
        """Which elements of x the elements marked in ``start`` depend on."""
        masks: dict[Any, Mask] = {self.result: start}
        for outs, ins, back in reversed(self.steps):
            if not any(out in masks for out in outs):
                continue
            wanted = [masks.get(out, np.zeros(out.shape, bool)) for out in outs]
            for node, mask in zip(ins, back(wanted), strict=True):
                if isinstance(node, Node) and mask is not None:
                    masks[node] = masks.get(node, np.zeros(node.shape, bool)) | mask
        return masks.get(self.root, np.zeros(self.root.shape, bool))

    def run(self, jaxpr: Any, args: Sequence[Any]) -> list[Any]:
        """The results of a jaxpr, closed or open, each a value or a node."""
        consts = getattr(jaxpr, "consts", ())
        jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
        env: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=False))
        env |= zip(jaxpr.invars, args, strict=True)

        def look(var: Any) -> Any:
            return var.val if isinstance(var, Literal) else env[var]

        for eqn in jaxpr.eqns:
            results = self._step(eqn, [look(var) for var in eqn.invars])
            env |= zip(eqn.outvars, results, strict=True)
        return [look(var) for var in jaxpr.outvars]

    def _step(self, eqn: JaxprEqn, values: list[Any]) -> list[Any]:
        name = eqn.primitive.name
        call = called(eqn, values)
        if call is not None:
            return self.run(*call)
        if not any(isinstance(v, Node) for v in values):
            found = eqn.primitive.bind(*values, **eqn.params)
            return list(found) if eqn.primitive.multiple_results else [found]
        if name == "cond":
            return self._cond(eqn, values)
        if name == "scan":
            return self._scan(eqn, values)
        if name == "while":
            return self._while(eqn, values)
        back = _dependence.back(eqn, values)
        if back is None:
            warnings.warn(
                f"input_support does not know {name!r}: its results count as "
                "depending on all of its operands",
                stacklevel=2,
            )
            back = _everything
        return self._record(eqn, values, back)

    def _record(self, eqn: JaxprEqn, values: list[Any], back: Any) -> list[Any]:
        avals: list[Any] = [var.aval for var in eqn.outvars]
        outs = [Node(tuple(aval.shape), aval.dtype) for aval in avals]
        self.steps.append((outs, values, lambda masks: back(eqn, values, masks)))
        return list(outs)

    def _link(self, aval: Any, values: Sequence[Any], back: Back) -> Node:
        out = Node(tuple(aval.shape), aval.dtype)
        self.steps.append(([out], list(values), back))
        return out

    # Control flow ---------------------------------------------------------------------

    def _cond(self, eqn: JaxprEqn, values: list[Any]) -> list[Any]:
        """Runs the branch that is taken, or all branches if x decides."""
        index, *operands = values
        branches = eqn.params["branches"]
        if not isinstance(index, Node):
            chosen = int(np.clip(index, 0, len(branches) - 1))
            return self.run(branches[chosen], operands)
        results = [self.run(branch, operands) for branch in branches]

        def back(masks: list[Mask]) -> list[Mask | None]:
            (mask,) = masks
            return [np.full(index.shape, mask.any()), *[mask] * len(branches)]

        return [
            self._link(var.aval, [index, *each], back)
            for var, each in zip(eqn.outvars, zip(*results, strict=True), strict=True)
        ]

    def _scan(self, eqn: JaxprEqn, values: list[Any]) -> list[Any]:
        params, length = eqn.params, eqn.params["length"]
        consts, carries = scan_counts(params)
        fixed, state = values[:consts], values[consts : consts + carries]
        rows = values[consts + carries :]
        steps = range(length)[:: -1 if params["reverse"] else 1]
        outs: dict[int, list[Any]] = {}
        for step in steps:
            row = [self._row(v, step) for v in rows]
            found = self.run(params["jaxpr"], [*fixed, *state, *row])
            state, outs[step] = found[:carries], found[carries:]
        stacked = [
            self._stack([outs[step][n] for step in range(length)], var.aval)
            for n, var in enumerate(eqn.outvars[carries:])
        ]
        return [*state, *stacked]

    def _row(self, value: Any, step: int) -> Any:
        if not isinstance(value, Node):
            return value[step]

        def back(masks: list[Mask]) -> list[Mask | None]:
            mask = np.zeros(value.shape, bool)
            mask[step] = masks[0]
            return [mask]

        row = jax.ShapeDtypeStruct(value.shape[1:], value.dtype)
        return self._link(row, [value], back)

    def _stack(self, values: list[Any], aval: Any) -> Any:
        if not any(isinstance(v, Node) for v in values):
            return np.stack(values) if values else np.zeros(aval.shape, aval.dtype)
        return self._link(aval, values, lambda masks: list(masks[0]))

    def _while(self, eqn: JaxprEqn, values: list[Any]) -> list[Any]:
        """Runs the loop; if its test depends on x, results depend on everything."""
        params = eqn.params
        tests, consts = params["cond_nconsts"], params["body_nconsts"]
        asked, fixed = values[:tests], values[tests : tests + consts]
        state = values[tests + consts :]
        while True:
            (test,) = self.run(params["cond_jaxpr"], [*asked, *state])
            if isinstance(test, Node):
                return self._record(eqn, values, _everything)
            if not test:
                return list(state)
            state = self.run(params["body_jaxpr"], [*fixed, *state])


def _nodes(values: Sequence[Any]) -> Iterator[Node | None]:
    return (v if isinstance(v, Node) else None for v in values)


def _everything(_: Any, values: list[Any], masks: list[Mask]) -> list[Mask | None]:
    some = any(mask.any() for mask in masks)
    return [v and np.full(v.shape, some) for v in _nodes(values)]
