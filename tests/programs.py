"""What stands in a traced or lowered program: convolutions, their order, and scopes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax

# The order of the axes in which XLA's convolutions are quick on a CPU, by their number.
CANONICAL = {1: "b0f_0io->b0f", 2: "b01f_01io->b01f", 3: "b012f_012io->b012f"}

# A function of two operands in a loop over the first.
LOOPS = {
    "scan": lambda f, a, b: jax.lax.scan(lambda c, v: (c, f(v, b)), 0, a)[1],
    "map": lambda f, a, b: jax.lax.map(lambda v: f(v, b), a),
    "cond": lambda f, a, b: jax.lax.cond(
        a.sum() > 0, f, lambda v, b: -f(v, b), a[0], b
    ),
}


def convolutions(hlo: str) -> list[str]:
    return [line for line in hlo.splitlines() if " convolution(" in line]


def labels(hlo: str) -> set[str]:
    """The orders of axes of its convolutions."""
    found = {re.search(r"dim_labels=([^\s,]+)", line) for line in convolutions(hlo)}
    return {match.group(1) for match in found if match}


def scopes(text: str) -> set[str]:
    """The roles and lowerings that ran, by the names they leave."""
    return set(re.findall(r"jaxconv\.((?:output|input|kernel)\.\w+)", text))


def counts(fn: Callable[..., Any], *args: Any) -> tuple[int, int]:
    """How many convolutions of lax and how many contractions a function traces."""
    text = str(jax.make_jaxpr(fn)(*args))
    return text.count("conv_general_dilated["), text.count("jaxconv_contract[")
