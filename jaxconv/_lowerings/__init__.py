"""All lowerings, by name.  ``xla`` is always there and computes every case."""

from __future__ import annotations

from jaxconv._lowerings import (
    matrix,
    scatter,
    transpose,
    vjp,
    window,
    xla,
    zero_insertion,
)
from jaxconv._lowerings._base import Lowering

_MODULES = (xla, window, transpose, vjp, zero_insertion, scatter, matrix)

LOWERINGS: dict[str, Lowering] = {
    module.LOWERING.name: module.LOWERING for module in _MODULES
}
