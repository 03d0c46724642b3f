"""Which cases with groups the rules for CPUs are for; depthwise ones aside."""

from __future__ import annotations

from jaxconv._core.spec import Case
from jaxconv._lowerings.cpu import grouped


def awkward_groups(case: Case) -> bool:
    """Input gradients of narrow groups that only a wide block of them holds evenly.

    Seven, nineteen or twenty-three groups of eight make a block of 56, 152 or 184.
    """
    return (
        case.role == "input"
        and case.groups > 1
        and max(case.sizes.c, case.sizes.o) <= 8
        and block(case) >= 128
    )


def block(case: Case) -> int:
    """Channels of a block of groups that are merged into a dense convolution."""
    _, c, o = case.sizes
    return grouped.merge(case.groups, c, o) * max(c, o)


def very_narrow_groups(case: Case) -> bool:
    """Groups of at most 8, where oneDNN is not quicker with all the reordering."""
    reordered = case.spec.layout == "channels_first" and case.geometry.ndim < 3
    few = max(case.sizes.c, case.sizes.o) <= 8 and (reordered or case.role == "kernel")
    return narrow_groups(case) and (few or case.spec.mapped)


def points_of_groups(case: Case) -> bool:
    """Groups of points, channels last: products would need them in another order."""
    last, points = case.spec.layout == "channels_last", case.geometry.taps == 1
    return case.groups > 2 and last and points and case.role != "kernel"


def wide_groups(case: Case) -> bool:
    """Groups that are worth a convolution of their own, or only a few."""
    _, c, o = case.sizes
    few = max(c, o) >= 8 and case.groups <= 8 and not narrow_groups(case)
    wide = (min(c, o) >= 16 or few) and not case.spec.mapped
    return case.groups > 1 and case.role != "kernel" and wide


def gradients_of_groups(case: Case) -> bool:
    """Of 8 channels and more; few groups, where channels come last in small blocks."""
    _, c, o = case.sizes
    whole = case.spec.layout == "channels_first" or case.groups <= 16
    wide = max(c, o) >= 8 and (whole or block(case) >= 64)
    return case.groups > 1 and case.role == "kernel" and wide and not case.spec.mapped


def gradients_of_lines(case: Case) -> bool:
    """Of groups with some channels out, which XLA is quick on if not dilated."""
    g = case.geometry
    plain = g.ndim == 1 and max(g.dilation) == 1 and case.sizes.o >= 16
    return case.groups > 1 and case.role == "kernel" and plain


def long_gradients(case: Case) -> bool:
    line = case.geometry.ndim == 1 and case.geometry.taps >= 128
    return case.groups > 1 and case.role == "kernel" and line


def long_groups(case: Case) -> bool:
    """Groups of lines under long kernels: XLA has no quick code for the dense ones."""
    g, long = case.geometry, case.geometry.taps >= 128
    return case.groups > 1 and g.ndim == 1 and long and case.role != "kernel"


def narrow_groups(case: Case) -> bool:
    """Few channels in a group, and more of them in the block that would be merged.

    Where channels come last XLA reads across the layout, which it does well in a sum of
    few products only.
    """
    g, (_, c, o) = case.geometry, case.sizes
    first, most = case.spec.layout == "channels_first", max(c, o)
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
    """Strided input gradients of groups that are too many for one block."""
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
