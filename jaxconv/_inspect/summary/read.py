"""Reads jaxconv's and lax's convolutions in a jaxpr into one form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jax.extend.core import JaxprEqn
from jax.lax import conv_general_dilated_p

from jaxconv._core.contract import contract_p
from jaxconv._core.dtypes import operand_dtype
from jaxconv._core.geometry import Axis, Ints, valid_pairs
from jaxconv._core.spec import Case, Shape, Spec
from jaxconv._inspect.summary.lattice import Window
from jaxconv._plan.choose import choose
from jaxconv._plan.place import Place

Pairs = tuple[tuple[int, int], ...]
CONVOLUTIONS = (contract_p, conv_general_dilated_p)


@dataclass(frozen=True, slots=True)
class Reading:
    """A convolution in one form for jaxconv and lax.

    Axes are in the order (batch, channel, *space) for images, (o, i, *space) for
    kernels.  ``windows`` has one window per spatial axis: how the result reads the
    image.  It is None for the gradient of a kernel, whose result is no image.
    """

    kind: str
    image_axes: Ints
    kernel_axes: Ints
    result_axes: Ints
    windows: tuple[Window, ...] | None
    groups: int
    batch_groups: int
    window: Ints
    stride: Ints
    dilation: Ints
    padding: Pairs
    multiply_adds: int
    multiply_adds_valid: int
    lowering: str
    reason: str


def read(eqn: JaxprEqn, platform: str) -> Reading:
    shapes = [getattr(v.aval, "shape", ()) for v in eqn.invars]
    if eqn.primitive is contract_p:
        dtypes = [getattr(v.aval, "dtype", None) for v in eqn.invars]
        return _contraction(eqn.params["spec"], shapes, dtypes, platform)
    return _lax(eqn.params, shapes, getattr(eqn.outvars[0].aval, "shape", ()))


# jaxconv's ----------------------------------------------------------------------------

_KINDS = {
    "output": "convolution",
    "input": "transposed",
    "kernel": "kernel gradient",
}


def _contraction(
    spec: Spec, shapes: list[Shape], dtypes: list[Any], platform: str
) -> Reading:
    dtype = operand_dtype(dtypes[0], dtypes[1], spec)
    case = Case(spec, spec.sizes(shapes[0], shapes[1]), dtype)
    choice = choose(case, Place.here(platform))
    g, (n, c, o) = spec.geometry, case.sizes
    return Reading(
        kind=_KINDS[spec.role],
        image_axes=_axes(spec, spec.operands[0]),
        kernel_axes=_axes(spec, spec.operands[1]),
        result_axes=_axes(spec, spec.role),
        windows=None if spec.role == "kernel" else _windows(spec),
        groups=spec.groups,
        batch_groups=1,
        window=g.kernel,
        stride=g.stride,
        dilation=g.dilation,
        padding=tuple(zip(g.low, g.high, strict=True)),
        multiply_adds=case.multiply_adds,
        multiply_adds_valid=n * spec.groups * c * o * g.valid_taps,
        lowering=choice.lowering.name,
        reason=choice.reason,
    )


def _axes(spec: Spec, operand: Any) -> Ints:
    """An image's axes (batch, channel, *space), or a kernel's (o, i, *space)."""
    letters: Any = {"input": "nc", "output": "no", "kernel": "oc"}[operand]
    found = [spec.axis(operand, letter) for letter in letters]
    space = (axis for axis in range(spec.ndim + 2) if axis not in found)
    return (*found, *space)


def _windows(spec: Spec) -> tuple[Window, ...]:
    if spec.role == "output":
        return tuple(Window(a.k, a.s, a.d, a.lo) for a in spec.geometry.axes)
    return tuple(
        Window(a.k, 1, a.d, a.span - 1 - a.lo, a.s) for a in spec.geometry.axes
    )


# lax's --------------------------------------------------------------------------------


def _lax(params: Any, shapes: list[Shape], result: Shape) -> Reading:
    numbers = params["dimension_numbers"]
    (image, kernel), out = shapes, numbers.out_spec
    space = [
        tuple(shape[a] for a in axes[2:])
        for shape, axes in (
            (image, numbers.lhs_spec),
            (kernel, numbers.rhs_spec),
            (result, out),
        )
    ]
    windows = tuple(
        Window(k, s, d, pads[0], b)
        for k, s, d, pads, b in zip(
            space[1],
            params["window_strides"],
            params["rhs_dilation"],
            params["padding"],
            params["lhs_dilation"],
            strict=True,
        )
    )
    transposed = max(params["lhs_dilation"], default=1) > 1
    pairs = result[out[0]] * result[out[1]] * kernel[numbers.rhs_spec[1]]
    counts = [
        _counts(w, i, o) for w, i, o in zip(windows, space[0], space[2], strict=True)
    ]
    shown = [
        _axis_of(w, i, o) for w, i, o in zip(windows, space[0], space[2], strict=True)
    ]
    return Reading(
        kind="transposed" if transposed else "convolution",
        image_axes=numbers.lhs_spec,
        kernel_axes=numbers.rhs_spec,
        result_axes=out,
        windows=windows,
        groups=params["feature_group_count"] * params["batch_group_count"],
        batch_groups=params["batch_group_count"],
        window=space[1],
        stride=tuple(axis.s for axis in shown),
        dilation=params["rhs_dilation"],
        padding=tuple((axis.lo, axis.hi) for axis in shown),
        multiply_adds=pairs * math.prod(dense for dense, _ in counts),
        multiply_adds_valid=pairs * math.prod(valid for _, valid in counts),
        lowering="lax",
        reason="a convolution of jax.lax, left to XLA",
    )


def _axis_of(w: Window, i: int, o: int) -> Axis:
    """The geometry of a window; of a transposed one, that of the matching convolution.

    A transposed convolution is one of stride 1 over an image with b - 1 zeros between
    elements.  The matching convolution has stride b, its sizes exchanged, and the
    padding d(k-1) - lo.
    """
    if w.b > 1 and w.s == 1:
        return Axis(o, w.k, i, w.b, w.d, (w.k - 1) * w.d - w.lo)
    return Axis(i, w.k, o, w.s, w.d, w.lo)


def _counts(w: Window, i: int, o: int) -> tuple[int, int]:
    """Pairs of a position and a tap: those that read elements or padding, and elements.

    Inserted zeros do not count, so a transposed convolution has one pair for each tap
    and each of its inputs.
    """
    if w.b == 1 or w.s == 1:
        axis = _axis_of(w, i, o)
        return axis.o * axis.k, valid_pairs(axis)
    reads = np.arange(o)[:, None] * w.s + np.arange(w.k) * w.d - w.lo
    met = reads % w.b == 0
    inside = (reads >= 0) & (reads <= (i - 1) * w.b)
    return int(met.sum()), int((met & inside).sum())


def moved_bytes(eqn: JaxprEqn) -> int:
    """Bytes of the operands and the result, each moved once."""
    avals: list[Any] = [v.aval for v in (*eqn.invars, *eqn.outvars)]
    return sum(math.prod(a.shape) * np.dtype(a.dtype).itemsize for a in avals)
