"""The equations of a jaxpr as a graph: who computes and who uses each variable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jax.extend.core import JaxprEqn, Literal


class Graph:
    """Equations in order; for each variable the equations that make and use it."""

    def __init__(self, eqns: Sequence[JaxprEqn], results: Sequence[Any]) -> None:
        self.eqns = eqns
        self.results = {v for v in results if not isinstance(v, Literal)}
        self.maker: dict[Any, int] = {}
        self.users: dict[Any, list[int]] = {}
        for at, eqn in enumerate(eqns):
            for v in eqn.outvars:
                self.maker[v] = at
            for v in dict.fromkeys(v for v in eqn.invars if not isinstance(v, Literal)):
                self.users.setdefault(v, []).append(at)

    def inner_users(self, v: Any) -> list[int]:
        """The equations that use a variable; none if it is also a result."""
        return [] if v in self.results else self.users.get(v, [])
