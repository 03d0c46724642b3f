"""``zero_insertion``: a transposed convolution as an ordinary one, in four steps.

Insert s-1 zeros between the elements; pad by d(k-1) - p on both sides (and by
output_padding more at the end; a negative number crops); flip the kernel; convolve with
stride 1.
"""

from __future__ import annotations

from jaxconv._core.axes import Input, Kernel, Output
from jaxconv._core.dtypes import accumulator
from jaxconv._core.geometry import Extent
from jaxconv._core.spec import Case, Spec
from jaxconv._lowerings.base import (
    Lowering,
    adjoint_kernel,
    convolve,
    cut,
    pad,
    spread,
)


def input(y: Output, w: Kernel, spec: Spec) -> Input:
    g = spec.geometry
    extents = g.spread_extents
    flipped = adjoint_kernel(w, spec.groups)
    between = spread(cut(y, extents), g.stride)
    bordered = pad(between, [e.low for e in extents], [e.high for e in extents])
    bare = [Extent(0, size, 0, 0) for size in bordered.shape[1:-1]]
    return convolve(
        bordered,
        flipped,
        bare,
        spec,
        sums=accumulator(y.dtype),
        rhs_dilation=g.dilation,
        feature_group_count=spec.groups,
    )


def _scratch(case: Case) -> int:
    """The input with zeros inserted, before and after it is padded."""
    size = case.sizes.n * case.groups * case.sizes.o * case.dtype.itemsize
    for axis in case.geometry.axes:
        size *= axis.i + axis.span - 1 + axis.s
    return 2 * size


def _spreads(case: Case) -> str | None:
    if max(case.geometry.stride) == 1:
        return None
    return "from a weight to results that do not use it, as NaN"


LOWERING = Lowering(
    "zero_insertion",
    "zeros inserted, padding, flipped kernel, ordinary convolution of stride 1",
    {"input": input},
    scratch=_scratch,
    by_hand=True,
    spreads=_spreads,
)
