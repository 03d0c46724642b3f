"""Taylor series of jaxconv's primitives, for `jax.experimental.jet`.

Contractions and sampling are bilinear, so the product rule gives the coefficients of
the result,

    y[k] = sum over j of  a[j] b[k-j].

There are no binomial coefficients, because jet's are already divided by k!.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any


def series(
    primitive: Any, primals: Sequence[Any], terms: Sequence[Any], **params: Any
) -> tuple[Any, list[Any]]:
    """The rule of a primitive that is bilinear in its first two operands.

    The other operands are constants.
    """
    a, b, *fixed = primals
    first, second = [a, *terms[0]], [b, *terms[1]]

    def coefficient(k: int) -> Any:
        products = (
            primitive.bind(first[j], second[k - j], *fixed, **params)
            for j in range(k + 1)
        )
        return sum(products, next(products))

    result, *higher = map(coefficient, range(len(first)))
    return result, higher


def linear(
    primitive: Any, primals: Sequence[Any], terms: Sequence[Any], **params: Any
) -> tuple[Any, list[Any]]:
    """The rule of a linear primitive with one operand: applied to each coefficient."""
    (x,), (higher,) = primals, terms
    result, *others = (primitive.bind(v, **params) for v in (x, *higher))
    return result, others


def register(primitive: Any) -> None:
    """Registers a bilinear primitive with `jax.experimental.jet`."""
    _add_rule(primitive, series)


def register_linear(primitive: Any) -> None:
    """Registers a linear primitive with `jax.experimental.jet`."""
    _add_rule(primitive, linear)


def _add_rule(primitive: Any, rule: Callable[..., Any]) -> None:
    """Adds a rule to jet's table, if this version of JAX has jet."""
    with contextlib.suppress(ImportError):
        from jax.experimental.jet import jet_rules

        jet_rules[primitive] = partial(rule, primitive)
