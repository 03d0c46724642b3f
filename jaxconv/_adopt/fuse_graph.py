"""The equations of a jaxpr as a graph of makers and users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jax.extend.core import JaxprEqn, Literal


class Graph:
    """Equations in order, with each variable's maker and users."""

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
        """The equations that use a variable; none if it is a result, too."""
        return [] if v in self.results else self.users.get(v, [])
