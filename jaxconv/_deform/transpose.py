"""Transposed deformable convolution: the transpose of `deform_conv` as a map of x."""

from __future__ import annotations

from typing import Any

import jax

from jaxconv._border import arguments as can
from jaxconv._border.arguments import IntLike, PaddingLike
from jaxconv._border.arrays import Bias, Field, Kernel, Sampled
from jaxconv._border.hints import explained
from jaxconv._border.windows import Windows
from jaxconv._core.geometry import Ints
from jaxconv._core.primitive import like
from jaxconv._core.spec import Layout
from jaxconv._deform import read
from jaxconv._deform.read import Options


@explained
def deform_conv_transpose(
    x: Field,
    offset: Field,
    kernel: Kernel,
    bias: Bias | None = None,
    *,
    mask: Field | None = None,
    stride: IntLike = 1,
    padding: PaddingLike = 0,
    output_padding: IntLike = 0,
    output_size: IntLike | None = None,
    dilation: IntLike = 1,
    groups: int = 1,
    layout: str = "channels_first",
    implementation: str | None = None,
    memory_limit: int | None = None,
    precision: Any = None,
) -> Sampled:
    r"""Transposed deformable convolution: the linear transpose of `deform_conv` in x.

    .. math::
        z[n, c, q] = b[c] + \sum_{o, p, t} B(q, \;
            p \cdot s + t \cdot d - \mathit{lo} + \Delta[n, t, p]) \;
            m[n, t, p] \; w[o, c, t] \; x[n, o, p]

    where B(q, r) is the weight of pixel q in linear interpolation at position r.  Every
    tap of every input is added at the position that its offset gives, distributed over
    the pixels around that position; parts outside the image are dropped.

    Letters: as in `deform_conv`, whose output is this function's input x.

    Args:
      x: input, (N, O, \*space), or (O, \*space) without a batch; floating.
      offset: (N, G*T*d, \*space), at every position of x: group slowest, then tap, then
        axis (dy before dx).  G follows from it and divides the result's channels.
      kernel: the same kernel as in the matching `deform_conv`, (O, C/groups, \*window).
      bias: (C,), or None.
      mask: (N, G*T, \*space), or None.
      stride, padding, output_padding, output_size, dilation, groups: as in
        `conv_transpose`.
      layout, implementation, memory_limit, precision: as in `deform_conv`.

    Returns:
      (N, C, \*out), with out as in `conv_transpose`.

    Raises:
      ValueError: shapes, sizes or options that do not fit.
      TypeError: operands of different types, or not floating.

    Example:
      >>> import jax.numpy as jnp, jaxconv
      >>> x = jnp.array([[10.0, 20.0]])  # one channel, no batch
      >>> offset = jnp.array([[0.25, 9.0]])  # one tap; 9: outside
      >>> jaxconv.deform_conv_transpose(x, offset, jnp.array([[[1.0]]]), stride=2)
      Array([[7.5, 2.5, 0. ]], dtype=float32)

    Elsewhere: tvdcn has an operation of this name; torchvision and mmcv do not.

    Source: the definition as a linear transpose.
    """
    given = read.arrays(x=x, offset=offset, kernel=kernel, bias=bias, mask=mask)
    shape = given.kernel.shape
    ndim, arranged = can.spatial_rank(shape), can.layout(layout)
    has_batch = can.has_batch(given.x.shape, ndim)
    y, moves, factor = read.with_batch(has_batch, given.x, given.offset, given.mask)
    groups = can.integer("groups", groups, 1)
    channels = _channels(given.x.shape, y.shape, shape, groups, arranged)
    windows = Windows.read(ndim, stride, padding, dilation, "zeros")
    space, window = arranged.space(y.shape), arranged.window(shape)
    geometry, _ = windows.transpose(space, window, output_padding, output_size)
    first = arranged.first
    size = (channels, *geometry.input) if first else (*geometry.input, channels)
    image = like((y.shape[0], *size), y, moves, given.kernel)
    options = Options(implementation, memory_limit, precision)
    call = read.deform(
        "input", geometry, arranged, groups, image.shape, moves, factor, options
    )
    can.bias_shape(given.bias, channels)
    with jax.named_scope("jaxconv.deform_conv_transpose"):
        samples, weights = call.columns(moves, factor), given.kernel
        (z,) = jax.linear_transpose(lambda v: call(v, samples, weights), image)(y)
        return read.finish(z, given.bias, arranged, has_batch)


def _channels(shape: Ints, y: Ints, kernel: Ints, groups: int, layout: Layout) -> int:
    """The result's channels; refuses an x without the kernel's output channels."""
    o, c = layout.kernel_channels(kernel)
    can.window_not_empty(layout.window(kernel), kernel)
    can.groups_divide("output", o, groups, kernel)
    can.groups_divide("input", c, 1, kernel)
    can.space_not_empty(layout.space(y), (), ("x.shape", shape))
    found = y[layout.channel]
    if found != o:
        rule = f"has {found} channels in layout={layout!r}, but deform_conv_transpose "
        rule += f"takes as many as the kernel has output channels, {o}"
        rule += f" (kernel.shape={kernel})"
        can.fail("x.shape", shape, rule, f"Give it {o} channels, or check layout=")
    return c * groups
