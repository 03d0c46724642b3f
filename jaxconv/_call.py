"""From a user's call of conv or conv_transpose to a contraction: the checked Call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxconv import _canonical as can
from jaxconv import _geometry as geo
from jaxconv import _plan
from jaxconv._canonical import Pairs
from jaxconv._contract import contract
from jaxconv._geometry import Geometry, Ints
from jaxconv._spec import Layout, Role, Spec


@dataclass(frozen=True)
class Windows:
    """Stride, dilation and padding in canonical form, before any size is known."""

    stride: Ints
    dilation: Ints
    padding: can.PaddingLike
    mode: str

    @classmethod
    def read(
        cls, ndim: int, stride: Any, padding: Any, dilation: Any, mode: Any
    ) -> Windows:
        return cls(
            can.ints("stride", stride, ndim, 1),
            can.ints("dilation", dilation, ndim, 1),
            padding,
            can.choice("padding_mode", mode, can.PADDING_MODES),
        )

    def conv(self, i: Ints, k: Ints) -> tuple[Geometry, Pairs]:
        """The geometry on an input of size i, and what to pad by hand beforehand."""
        s, d = self.stride, self.dilation
        pads = can.padding(self.padding, i, k, s, d)
        can.kernel_fits(i, k, d, pads)
        columns = zip(i, k, s, d, pads, strict=True)
        o = tuple(geo.output_size(*axis, *pair) for *axis, pair in columns)
        return self._place(i, k, o, pads)

    def transpose(
        self, o: Ints, k: Ints, extra: Any, size: Any
    ) -> tuple[Geometry, Pairs]:
        """The geometry of the convolution that has o outputs, to be undone."""
        pads, op = _transposed_padding(self, o, k, extra, size)
        columns = zip(o, k, self.stride, self.dilation, pads, op, strict=True)
        i = tuple(geo.input_size(*axis, *pair, a) for *axis, pair, a in columns)
        if min(i) < 1:
            rule = (
                f"leaves a result of size {i}, which must be at least 1 on every axis"
            )
            can.fail("padding", self.padding, rule, "Pad (that is, crop) less")
        return self._place(i, k, o, pads)

    def _place(self, i: Ints, k: Ints, o: Ints, pads: Pairs) -> tuple[Geometry, Pairs]:
        low = tuple(lo for lo, _ in pads)
        if self.mode == "zeros":
            return Geometry(i, k, o, self.stride, self.dilation, low), ()
        can.padding_fits_mode(self.mode, pads, i)
        i = tuple(size + lo + hi for size, (lo, hi) in zip(i, pads, strict=True))
        return Geometry(i, k, o, self.stride, self.dilation, (0,) * len(k)), pads


def _transposed_padding(
    windows: Windows, o: Ints, k: Ints, extra: Any, size: Any
) -> tuple[Pairs, Ints]:
    """Padding and output_padding of the convolution to be undone."""
    s, d, word = windows.stride, windows.dilation, windows.padding
    op = can.ints("output_padding", extra, len(k), 0)
    if size is not None and any(op):
        rule = "says the size that output_padding says too"
        can.fail("output_size", size, rule, "Give only one of the two")
    if word == "same":
        rule = "is not defined for a transposed convolution"
        can.fail("padding", word, rule, 'Write "SAME" for a result of input*stride')
    if isinstance(word, str) and word in ("SAME", "SAME_LOWER"):
        return _transposed_same(windows, o, k, op, size)
    pads = can.padding(word, None, k, s, d)
    for axis, (a, stride, rate) in enumerate(zip(op, s, d, strict=True)):
        if a >= max(stride, rate):
            rule = f"must be smaller than stride {stride} or dilation {rate} on axis {axis}"
            can.fail("output_padding", extra, rule, "Use less, or output_size=")
    if size is None:
        return pads, op
    columns = zip(o, k, s, d, pads, strict=True)
    least = tuple(geo.input_size(*axis, *pair, 0) for *axis, pair in columns)
    return pads, _size_beyond(size, least, s)


def _transposed_same(
    windows: Windows, o: Ints, k: Ints, op: Ints, size: Any
) -> tuple[Pairs, Ints]:
    """ "SAME" has o = ceil(i/s) outputs: i may be (o-1)s + 1 to o*s, by default o*s."""
    if any(op):
        rule = 'does not go with padding="SAME", whose result is input*stride'
        can.fail("output_padding", op, rule, "Write output_size= instead")
    s, d = windows.stride, windows.dilation
    i = tuple(a * b for a, b in zip(o, s, strict=True))
    if size is not None:
        least = tuple((a - 1) * b + 1 for a, b in zip(o, s, strict=True))
        beyond = _size_beyond(size, least, s)
        i = tuple(a + b for a, b in zip(least, beyond, strict=True))
    pads = can.padding(windows.padding, i, k, s, d)
    columns = zip(o, k, s, d, pads, strict=True)
    short = (geo.input_size(*axis, *pair, 0) for *axis, pair in columns)
    return pads, tuple(a - b for a, b in zip(i, short, strict=True))


def _size_beyond(size: Any, least: Ints, s: Ints) -> Ints:
    """How much more than the least size output_size asks for: 0 to stride-1."""
    wanted = can.ints("output_size", size, len(s), 1)
    most = tuple(a + b - 1 for a, b in zip(least, s, strict=True))
    beyond = tuple(a - b for a, b in zip(wanted, least, strict=True))
    if any(not 0 <= a < b for a, b in zip(beyond, s, strict=True)):
        rule = f"must be between {least} and {most}, spatial axes only"
        can.fail("output_size", size, rule, "Choose a size in that range")
    return beyond


@dataclass(frozen=True)
class Call:
    """A checked call: operands with their batch axis, and how to contract them."""

    image: jax.Array
    kernel: jax.Array
    bias: jax.Array | None
    spec: Spec
    pads: Pairs
    mode: str
    has_batch: bool

    @property
    def channel_axis(self) -> int:
        return 1 if self.spec.layout == "channels_first" else self.spec.ndim + 1

    def contract(self, image: jax.Array) -> jax.Array:
        return contract(image, self.kernel, self.spec)

    def pad(self, x: jax.Array) -> jax.Array:
        """x with what padding_mode puts around it; nothing to do for zeros."""
        if not self.pads:
            return x
        modes = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
        widths = [(0, 0)] * x.ndim
        first = 2 if self.spec.layout == "channels_first" else 1
        widths[first : first + self.spec.ndim] = self.pads
        return jnp.pad(x, widths, mode=modes[self.mode])

    def finish(self, y: jax.Array) -> jax.Array:
        """Adds the bias and takes the batch axis off again."""
        if self.bias is not None:
            shape = [1] * y.ndim
            shape[self.channel_axis] = -1
            y = y + self.bias.astype(y.dtype).reshape(shape)
        return y if self.has_batch else y[0]


def read_call(
    role: Role,
    x: Any,
    kernel: Any,
    bias: Any,
    *,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    padding_mode: Any,
    layout: Any,
    implementation: Any,
    precision: Any,
    preferred_element_type: Any,
    output_padding: Any = 0,
    output_size: Any = None,
) -> Call:
    """Checks everything and fixes the geometry; ``role`` is "output" or "input"."""
    x, kernel = can.array("x", x), can.array("kernel", kernel)
    bias = None if bias is None else can.array("bias", bias)
    can.same_dtype(x=x, kernel=kernel, bias=bias)
    ndim, arranged = can.spatial_rank(kernel), can.layout(layout)
    image, has_batch = can.batched(x, ndim)
    groups = can.integer("groups", groups, 1)
    window = _space(kernel.shape, arranged, "kernel")
    i = _space(image.shape, arranged, "image")
    can.kernel_not_empty(window)
    can.space_not_empty(i, "x")
    outputs = check_channels(role, image.shape, kernel.shape, groups, arranged)
    can.bias_shape(bias, outputs)
    windows = Windows.read(ndim, stride, padding, dilation, padding_mode)
    if role == "output":
        geometry, pads = windows.conv(i, window)
    else:
        geometry, pads = windows.transpose(i, window, output_padding, output_size)
    dtype = can.result_dtype(x.dtype, preferred_element_type)
    spec = Spec(role, geometry, groups, arranged, dtype, can.precision(precision))
    spec = _plan.admit(implementation, spec, image, kernel)
    return Call(image, kernel, bias, spec, pads, windows.mode, has_batch)


def _space(shape: tuple[int, ...], layout: Layout, operand: str) -> Ints:
    if layout == "channels_first":
        return shape[2:]
    return shape[:-2] if operand == "kernel" else shape[1:-1]


def check_channels(
    role: Role, image: Ints, kernel: Ints, groups: int, layout: Layout
) -> int:
    """How many channels come out, if those of x and the kernel fit.

    conv: x has groups*I channels; conv_transpose: x has the kernel's O channels.
    """
    first = layout == "channels_first"
    channels = image[1 if first else -1]
    o, c = kernel[:2] if first else kernel[:-3:-1]
    if role == "output":
        can.groups_divide("output channels of the kernel", o, groups)
        wanted, outputs = c * groups, o
        why = f"the kernel expects {c} per group in {groups} group(s)"
    else:
        can.groups_divide("input channels of the kernel", o, groups)
        wanted, outputs = o, c * groups
        why = f"the kernel, that of the convolution to be undone, puts out {o}"
    if outputs == 0:
        rule = "gives no output channels"
        can.fail("kernel.shape", kernel, rule, "Give at least one per group")
    if channels != wanted:
        rule = f"has {channels} channels in layout={layout!r}, but {why}"
        remedy = f"Give x {wanted} channels, or check layout= and groups="
        can.fail("x.shape", image, f"{rule} (kernel.shape={kernel})", remedy)
    return outputs
