"""All lowerings, by name.  ``xla`` is always there and computes every case."""

from __future__ import annotations

from jaxconv._lowerings.accelerators import cudnn, lines, mxu
from jaxconv._lowerings.base import Lowering
from jaxconv._lowerings.by_hand import definition, matrix, scatter, zero_insertion
from jaxconv._lowerings.cpu import (
    chunks,
    grouped,
    narrow,
    onednn,
    overlap_add,
    separate,
    shift,
    taps,
    two_axes,
)
from jaxconv._lowerings.general import (
    einsum,
    exchange,
    fft,
    polyphase,
    product,
    xla,
)

_ALL = (
    xla.LOWERING,
    onednn.LOWERING,
    product.LOWERING,
    shift.LOWERING,
    narrow.LOWERING,
    grouped.LOWERING,
    separate.LOWERING,
    polyphase.LOWERING,
    overlap_add.LOWERING,
    two_axes.ROWS,
    two_axes.SLICES,
    taps.LOWERING,
    exchange.EXCHANGE,
    chunks.LOWERING,
    fft.LOWERING,
    cudnn.LOWERING,
    mxu.LOWERING,
    lines.LOWERING,
    exchange.STRETCH,
    einsum.LOWERING,
    definition.WINDOW,
    definition.TRANSPOSE,
    definition.VJP,
    zero_insertion.LOWERING,
    scatter.LOWERING,
    matrix.LOWERING,
)

LOWERINGS: dict[str, Lowering] = {lowering.name: lowering for lowering in _ALL}
