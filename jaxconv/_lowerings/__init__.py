"""All lowerings, by name.  ``xla`` computes every case on every platform."""

from __future__ import annotations

from jaxconv._lowerings.accelerators import cudnn, lines, mxu, stretch
from jaxconv._lowerings.base import Lowering
from jaxconv._lowerings.by_hand import (
    matrix,
    scatter,
    transpose,
    vjp,
    window,
    zero_insertion,
)
from jaxconv._lowerings.cpu import (
    chunks,
    exchange,
    grouped,
    narrow,
    onednn,
    overlap_add,
    rows,
    separate,
    shift,
    slices,
    taps,
)
from jaxconv._lowerings.general import einsum, fft, polyphase, product, xla

_MODULES = (
    *(
        xla,
        onednn,
        product,
        shift,
        narrow,
        grouped,
        separate,
        polyphase,
        overlap_add,
        rows,
        slices,
        taps,
        exchange,
        chunks,
        fft,
        cudnn,
        mxu,
        lines,
        stretch,
        einsum,
    ),
    *(window, transpose, vjp, zero_insertion, scatter, matrix),  # by hand
)

LOWERINGS: dict[str, Lowering] = {
    module.LOWERING.name: module.LOWERING for module in _MODULES
}
