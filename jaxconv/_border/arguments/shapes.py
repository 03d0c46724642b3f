"""Whether the shapes of arrays, and the sizes read from them, fit each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxconv._border.arguments.padding import Pairs
from jaxconv._core import geometry as geo
from jaxconv._core.errors import fail
from jaxconv._core.geometry import Ints


def spatial_rank(kernel: Sequence[int], name: str = "kernel.shape") -> int:
    """The number of spatial axes of a kernel, from its shape."""
    if len(kernel) < 3:
        rule = f"has {len(kernel)} axes, but two are for channels, the others for space"
        remedy = "Add the missing axes"
        if name == "kernel.shape" and len(kernel) > 0:
            remedy += ", for one channel in and out kernel[None, None], or with layout="
            remedy += '"channels_last" kernel[..., None, None]'
        fail(name, tuple(kernel), rule, remedy)
    return len(kernel) - 2


def has_batch(x: Sequence[int], ndim: int, name: str = "x.shape") -> bool:
    if len(x) not in (ndim + 1, ndim + 2):
        rule = f"has {len(x)} axes, but the kernel has {ndim} for space"
        remedy = f"Give {ndim + 2} axes, or {ndim + 1} without the batch axis"
        if len(x) == ndim and name == "x.shape":
            remedy += ": x[None] is one channel, channels last x[..., None]"
        if len(x) > ndim + 2:
            axes = len(x) - 2
            remedy += f"; a kernel for {axes} axes of space has {len(x)} axes itself"
        fail(name, tuple(x), rule, remedy)
    return len(x) == ndim + 2


def space_not_empty(space: Sequence[int], rest: Sequence[int], shape: Any) -> None:
    """Refuses empty spatial axes, unless batch or channels are empty (as PyTorch)."""
    name, x = shape
    if 0 in space and 0 not in rest:
        rule = "has a spatial axis of size zero; only batch and channels may be empty"
        fail(name, tuple(x), rule, "Leave the call out for empty input")


def window_not_empty(
    window: Sequence[int], kernel: Sequence[int], name: str = "kernel.shape"
) -> None:
    if 0 in window:
        rule = f"the window {tuple(window)} has an axis of size zero"
        fail(name, tuple(kernel), rule, "Give every axis at least one weight")


def groups_divide(side: str, channels: int, groups: int, kernel: Sequence[int]) -> None:
    if channels == 0:
        rule = f"has no {side} channels"
        fail("kernel.shape", tuple(kernel), rule, "Give at least one per group")
    if channels % groups:
        rule = f"does not divide the kernel's {channels} {side} channels"
        fail("groups", groups, rule, f"Choose groups that divide {channels}")


def kernel_fits(i: Ints, k: Ints, d: Ints, pads: Pairs, name: str) -> None:
    for axis, (size, taps, rate, (lo, hi)) in enumerate(
        zip(i, k, d, pads, strict=True)
    ):
        if geo.span(taps, rate) > size + lo + hi:
            fail(
                name,
                k,
                f"spans {geo.span(taps, rate)} on spatial axis {axis} (dilation {rate})"
                f", more than the padded input's {size + lo + hi}",
                "Use a smaller kernel or dilation, or pad more",
            )
