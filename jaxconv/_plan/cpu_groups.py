"""Conditions of the CPU rules for grouped convolutions; `cpu_cases` has depthwise."""

from __future__ import annotations

from jaxconv._core.spec import Case
from jaxconv._lowerings.cpu import grouped


def awkward_groups(case: Case) -> bool:
    """Input gradients of narrow groups whose number only wide blocks divide.

    For example, 19 or 23 groups of 8 channels make a block of 152 or 184 channels.
    """
    return (
        case.role == "input"
        and case.groups > 1
        and max(case.sizes.c, case.sizes.o) <= 8
        and block(case) >= 128
    )


def block(case: Case) -> int:
    """The channels of a block of merged groups."""
    _, c, o = case.sizes
    return grouped.merge(case.groups, c, o) * max(c, o)


def very_narrow_groups(case: Case) -> bool:
    """Groups of at most 8 channels, for which oneDNN's transposes cost too much."""
    reordered = case.spec.layout.first and case.geometry.ndim < 3
    few = max(case.sizes.c, case.sizes.o) <= 8 and (reordered or case.role == "kernel")
    return narrow_groups(case) and (few or case.spec.mapped)


def points_of_groups(case: Case) -> bool:
    """Grouped 1x1 convolutions with channels last, which products would transpose."""
    last, points = case.spec.layout.last, case.geometry.taps == 1
    return case.groups > 2 and last and points and case.role != "kernel"


def wide_groups(case: Case) -> bool:
    """Groups that are wide enough, or few enough, for one convolution per group."""
    _, c, o = case.sizes
    few = max(c, o) >= 8 and case.groups <= 8 and not narrow_groups(case)
    wide = (min(c, o) >= 16 or few) and not case.spec.mapped
    return case.groups > 1 and case.role != "kernel" and wide


def gradients_of_groups(case: Case) -> bool:
    """Kernel gradients of groups of at least 8 channels.

    With channels last there must be few groups, or blocks must be wide.
    """
    _, c, o = case.sizes
    whole = case.spec.layout.first or case.groups <= 16
    wide = max(c, o) >= 8 and (whole or block(case) >= 64)
    return case.groups > 1 and case.role == "kernel" and wide and not case.spec.mapped


def gradients_of_lines(case: Case) -> bool:
    """1-D kernel gradients of groups that are wide enough for XLA, without dilation."""
    g = case.geometry
    plain = g.ndim == 1 and max(g.dilation) == 1 and case.sizes.o >= 16
    return case.groups > 1 and case.role == "kernel" and plain


def long_gradients(case: Case) -> bool:
    line = case.geometry.ndim == 1 and case.geometry.taps >= 128
    return case.groups > 1 and case.role == "kernel" and line


def long_groups(case: Case) -> bool:
    """Grouped 1-D convolutions with long kernels, on which XLA is slow if dense."""
    g, long = case.geometry, case.geometry.taps >= 128
    return case.groups > 1 and g.ndim == 1 and long and case.role != "kernel"


def narrow_groups(case: Case) -> bool:
    """Groups of few channels, many of which would be merged into a block.

    With channels last, XLA reads with large strides, which is fast only in sums of few
    products.
    """
    g, (_, c, o) = case.geometry, case.sizes
    first, most = case.spec.layout.first, max(c, o)
    if case.groups == 1 or case.depthwise:
        return False
    if case.role == "kernel":
        few = 8 if g.ndim == 1 or not first else 4 if max(g.stride) == 1 else 2
        return most <= few and g.output[-1] >= 14 and g.taps <= 16
    if first:
        wide = 2 if max(g.stride) == 1 else 4
        short = case.role == "output" and c * g.taps <= 32
        return block(case) >= wide * most or short
    few = most <= 8 if case.role == "output" else most <= 2 and g.ndim <= 2
    return few and g.taps * c <= 100


def grouped_phases(case: Case) -> bool:
    """Strided 2-D input gradients of several groups."""
    g, groups = case.geometry, case.groups
    return (
        case.role == "input"
        and 1 < groups <= 32
        and g.ndim == 2
        and max(g.stride) == 2
        and case.sizes.c >= 16
    )


def any_groups(case: Case) -> bool:
    return case.groups > 1
