"""Images with symbolic spatial sizes, as in `jax.export`.

A lowering can only be chosen for known sizes.  A call with symbolic sizes is checked
with a number in place of each symbol, and becomes a convolution of lax, with lax's
gradients.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
from jax import lax

from jaxconv._border import arguments as can
from jaxconv._core.dtypes import accumulator
from jaxconv._core.geometry import Axis, Extent, Ints
from jaxconv._core.spec import Role, Shape, Spec
from jaxconv._lowerings.base import adjoint_kernel
from jaxconv._lowerings.general.xla import swapped_wrongly

ANY = 2**20  # in place of a symbol; larger than any kernel
WORDS = ("SAME", "SAME_LOWER")


def with_numbers(shape: Shape, ndim: int, layout: Any) -> Shape:
    """The shape with a number for each symbolic spatial size.

    It is the same object if there is no such size.
    """
    last = not isinstance(layout, str) or layout != "channels_first"  # checked later
    end = len(shape) - last
    space = range(max(end - ndim, 0), end)
    if all(type(shape[axis]) is int for axis in space):
        return shape
    numbers = (
        size if type(size) is int or axis not in space else ANY
        for axis, size in enumerate(shape)
    )
    return tuple(numbers)


def refuse(shape: Shape, options: Mapping[str, Any]) -> None:
    """Refuses the options that depend on sizes."""
    rule = f"depends on sizes, and x.shape={shape} has symbols in space"
    for name, free in (("padding_mode", ("zeros",)), ("implementation", (None, "xla"))):
        if options.get(name, free[0]) not in free:
            remedy = f"Leave {name} out, or export with numbers"
            can.fail(name, options[name], rule, remedy)
    if options.get("output_size") is not None:
        remedy = "Write output_padding= instead"
        can.fail("output_size", options["output_size"], rule, remedy)


def _border(axis: Axis, border: tuple[int, int]) -> tuple[int, int]:
    """A border without negative widths, or (1, 0) where XLA would fail.

    See `swapped_wrongly`.
    """
    low, high = max(border[0], 0), max(border[1], 0)
    return (1, 0) if swapped_wrongly(axis, Extent(0, 1, low, high)) else (low, high)


class Convolution(NamedTuple):
    """A checked call with symbolic sizes, run by lax."""

    spec: Spec  # with numbers in place of symbols
    padding: Any  # as the user wrote it

    def __call__(self, image: jax.Array, kernel: jax.Array) -> jax.Array:
        kernel = kernel.transpose(self.spec.to_last("kernel"))
        role: Role = self.spec.role
        run = self._forward if role == "output" else self._transposed
        try:
            return run(image, kernel).astype(self.spec.dtype)
        except Exception as error:
            if type(error).__name__ != "InconclusiveDimensionOperation":
                raise
            rule = "the result's size depends on how large the symbols are"
            remedy = "Say so: symbolic_shape(..., constraints=['h >= 8'])"
            can.fail("x.shape", image.shape, rule, remedy)

    def _forward(self, x: jax.Array, w: jax.Array) -> jax.Array:
        g = self.spec.geometry
        if self.padding in WORDS:
            return self._conv(x, w, self.padding, g.stride, None)
        pads = can.padding(self.padding, None, g.kernel, g.stride, g.dilation)
        # On a CPU, lax's gradient is wrong for padding wider than d(k-1), so the rest
        # is padded beforehand.
        spans = [axis.span - 1 for axis in g.axes]
        kept = [
            (min(lo, n), min(hi, n)) for (lo, hi), n in zip(pads, spans, strict=True)
        ]
        more = [(lo - a, hi - b) for (lo, hi), (a, b) in zip(pads, kept, strict=True)]
        return self._conv(self._around(x, more), w, kept, g.stride, None)

    def _transposed(self, y: jax.Array, w: jax.Array) -> jax.Array:
        """A convolution of stride 1 over y with s-1 zeros between its elements.

        The kernel is flipped and its channels are swapped.  The padding is d(k-1) - lo;
        where that is negative, the result is cropped instead.
        """
        g = self.spec.geometry
        borders = [(a.span - 1 - a.lo, a.span - 1 - a.hi) for a in g.axes]
        pads = list(map(_border, g.axes, borders))
        crop = [
            (lo - a, hi - b) for (lo, hi), (a, b) in zip(borders, pads, strict=True)
        ]
        kernel = adjoint_kernel(w, self.spec.groups)
        out = self._conv(y, kernel, pads, (1,) * g.ndim, g.stride)
        return self._around(out, crop)

    def _around(self, v: jax.Array, widths: list[tuple[int, int]]) -> jax.Array:
        """Zeros around the spatial axes; a negative width removes elements."""
        if not any(map(any, widths)):
            return v
        config = [(0, 0, 0)] * v.ndim
        lead = self.spec.lead
        config[lead : lead + len(widths)] = [(*width, 0) for width in widths]
        return lax.pad(v, v.dtype.type(0), config)

    def _conv(
        self, x: jax.Array, w: jax.Array, pads: Any, strides: Ints, steps: Ints | None
    ) -> jax.Array:
        n, lead = self.spec.ndim, self.spec.lead
        space = range(lead, lead + n)
        axes = (0, 1 if lead == 2 else n + 1, *space)
        return lax.conv_general_dilated(
            x,
            w,
            strides,
            pads,
            steps,
            self.spec.geometry.dilation,
            lax.ConvDimensionNumbers(axes, (n + 1, n, *range(n)), axes),
            self.spec.groups,
            precision=self.spec.precision,
            preferred_element_type=accumulator(x.dtype),
        )
