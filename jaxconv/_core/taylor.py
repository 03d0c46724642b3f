"""Taylor series through jaxconv's primitives, for `jax.experimental.jet`.

Contractions and sampling are bilinear, so a result's coefficients are Leibniz' sums,

    y[k] = sum over j of  a[j] b[k-j],

where coefficients are divided by the factorials, as jet has them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any


def series(
    primitive: Any, primals: Sequence[Any], terms: Sequence[Any], **params: Any
) -> tuple[Any, list[Any]]:
    """A primitive that is bilinear in its first two operands; the others are fixed."""
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
    """A primitive that is linear in its one operand: of each coefficient the same."""
    (x,), (higher,) = primals, terms
    result, *others = (primitive.bind(v, **params) for v in (x, *higher))
    return result, others


def register(primitive: Any) -> None:
    """Tells `jax.experimental.jet` of a bilinear primitive."""
    _tell(primitive, series)


def register_linear(primitive: Any) -> None:
    """The same of a linear one."""
    _tell(primitive, linear)


def _tell(primitive: Any, rule: Callable[..., Any]) -> None:
    """In the versions of JAX that have jet."""
    with contextlib.suppress(ImportError):
        from jax.experimental.jet import jet_rules

        jet_rules[primitive] = partial(rule, primitive)
