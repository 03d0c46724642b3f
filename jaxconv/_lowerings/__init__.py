"""All lowerings, by name.  ``xla`` is always there and computes every case."""

from __future__ import annotations

from jaxconv._lowerings import (
    chunks,
    cudnn,
    einsum,
    exchange,
    fft,
    grouped,
    lines,
    matrix,
    mxu,
    narrow,
    overlap_add,
    polyphase,
    product,
    rows,
    scatter,
    shift,
    slices,
    stretch,
    taps,
    transpose,
    vjp,
    window,
    xla,
    zero_insertion,
)
from jaxconv._lowerings._base import Lowering

_MODULES = (
    *(
        xla,
        product,
        shift,
        narrow,
        grouped,
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
