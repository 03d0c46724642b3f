"""Finds the contractions that a function runs, by walking its jaxpr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax

from jaxconv._core.calls import inside
from jaxconv._core.contract import contract_p
from jaxconv._core.dtypes import case_of
from jaxconv._core.spec import Case, Shape


class Found(NamedTuple):
    """A contraction, the shapes of its operands, and the number of times it runs."""

    case: Case
    shapes: tuple[Shape, Shape]
    times: int  # each step of a scan counts
    steps: tuple[str, ...] = ()  # operations that `accelerate` fused with it


FUSED = "jaxconv_fused"


def contractions(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> list[Found]:
    """The contractions of ``fn(*args, **kwargs)`` in order; keywords are static."""
    closed = jax.make_jaxpr(partial(fn, **kwargs))(*args)
    return list(_walk(closed.jaxpr, 1))


def _walk(jaxpr: Any, times: int, steps: tuple[str, ...] = ()) -> Iterator[Found]:
    for eqn in jaxpr.eqns:
        if eqn.primitive is contract_p:
            a, b = (v.aval for v in eqn.invars)
            case = case_of(a, b, eqn.params["spec"])
            yield Found(case, (a.shape, b.shape), times, steps)
        fused = eqn.params["steps"] if eqn.primitive.name == FUSED else ()
        for child, repeated in inside(eqn):
            yield from _walk(getattr(child, "jaxpr", child), times * repeated, fused)
