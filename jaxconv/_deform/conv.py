"""Deformable convolution."""

from __future__ import annotations

from typing import Any

import jax

from jaxconv._border import arguments as can
from jaxconv._border.arguments import IntLike, PaddingLike
from jaxconv._border.arrays import Bias, Field, Kernel, Sampled
from jaxconv._border.hints import explained
from jaxconv._border.windows import Windows
from jaxconv._core.geometry import Ints
from jaxconv._core.spec import Layout
from jaxconv._deform import read
from jaxconv._deform.read import Options


@explained
def deform_conv(
    x: Field,
    offset: Field,
    kernel: Kernel,
    bias: Bias | None = None,
    *,
    mask: Field | None = None,
    stride: IntLike = 1,
    padding: PaddingLike = 0,
    dilation: IntLike = 1,
    layout: str = "channels_first",
    implementation: str | None = None,
    memory_limit: int | None = None,
    precision: Any = None,
) -> Sampled:
    r"""Deformable convolution: an offset moves the position that each tap reads.

    .. math::
        y[n, o, p] = b[o] + \sum_{c, t} w[o, c, t] \; m[n, t, p] \;
            x(n, c, \; p \cdot s + t \cdot d - \mathit{lo} + \Delta[n, t, p])

    Between pixels x is interpolated linearly along every axis, with zeros outside the
    image.

    Letters: as in `conv`, without the group; d spatial axes, T taps, G offset groups;
    :math:`\Delta` offset, m mask (1 without one), per offset group.  Offsets are in
    elements of x, added after stride, padding and dilation.

    Args:
      x: input, (N, C, \*space), or (C, \*space) without a batch; floating.
      offset: (N, G*T*d, \*out): group slowest, then tap (row-major), then axis in the
        order of the image (dy before dx).  G follows from this size and divides C.
      kernel: weights, (O, C/groups, \*window); its groups may differ from those of the
        offset.  Its rank minus 2 is the number of spatial axes.
      bias: (O,), or None.
      mask: (N, G*T, \*out): a factor for every tap, ordered as the offset; or None.
      stride, padding, dilation: as in `conv`.
      layout: "channels_first", or "channels_last": x (N, \*space, C), kernel
        (\*window, C/groups, O), offset and mask (N, \*out, channels).
      implementation: None chooses by memory_limit.  "columns" samples everything first
        (N*T*C*out elements) and multiplies once.  "chunks" computes the output
        positions in chunks of at most a tenth of that, and its gradients sample again.
      memory_limit: the largest number of bytes of sampled columns at a time (at least
        one output position).  None is 4 MiB on a CPU, where columns that stay in the
        cache are also faster, and 256 MiB elsewhere.
      precision: of the product, as in `jax.lax.dot_general`.

    Returns:
      (N, O, \*out), with out as in `conv`.  16-bit types are sampled and added up in
      float32.

    Raises:
      ValueError: shapes, sizes or options that do not fit; the message states the
        expected number of channels and what it follows from.
      TypeError: operands of different types, or not floating.

    Example:
      >>> import jax.numpy as jnp, jaxconv
      >>> x = jnp.array([[0.0, 10.0, 20.0, 30.0]])  # one channel, no batch
      >>> offset = jnp.array([[0.0, 0.5, -0.25, 9.0]])  # one tap: d*G*T = 1 channel
      >>> jaxconv.deform_conv(x, offset, jnp.array([[[1.0]]]))  # 9: outside
      Array([[ 0. , 15. , 17.5,  0. ]], dtype=float32)

    Elsewhere: `torchvision.ops.deform_conv2d` gives the same values in two dimensions,
    and the same derivatives at integer positions, which are taken to the right, at
    exactly -1 too.  A sample with an infinite or NaN offset contributes zero here, as
    every sample does that is a pixel or more outside the image.

    Source: Dai et al., arXiv:1703.06211; Zhu et al., arXiv:1811.11168 (mask).
    """
    given = read.arrays(x=x, offset=offset, kernel=kernel, bias=bias, mask=mask)
    shape = given.kernel.shape
    ndim, arranged = can.spatial_rank(shape), can.layout(layout)
    has_batch = can.has_batch(given.x.shape, ndim)
    image, moves, factor = read.with_batch(has_batch, given.x, given.offset, given.mask)
    windows = Windows.read(ndim, stride, padding, dilation, "zeros")
    groups = kernel_groups(given.x.shape, image.shape, shape, arranged)
    space, window = arranged.space(image.shape), arranged.window(shape)
    geometry, _ = windows.conv(space, window)
    options = Options(implementation, memory_limit, precision)
    call = read.deform(
        "output", geometry, arranged, groups, image.shape, moves, factor, options
    )
    can.bias_shape(given.bias, arranged.kernel_channels(shape)[0])
    with jax.named_scope("jaxconv.deform_conv"):
        y = call(image, call.columns(moves, factor), given.kernel)
        return read.finish(y, given.bias, arranged, has_batch)


def kernel_groups(shape: Ints, image: Ints, kernel: Ints, layout: Layout) -> int:
    """The number of groups, from the channels of x and kernel; refuses what misfits."""
    o, c = layout.kernel_channels(kernel)
    can.window_not_empty(layout.window(kernel), kernel)
    if 0 in (o, c):
        can.fail("kernel.shape", kernel, "has no channels", "Give at least one")
    found = image[layout.channel]
    space = layout.space(image)
    can.space_not_empty(space, (image[0], found), ("x.shape", shape))
    if found == 0 or found % c:
        rule = (
            f"has {found} channels in layout={layout!r}, which must be a multiple of "
        )
        rule += f"the kernel's {c} per group (kernel.shape={kernel})"
        can.fail("x.shape", shape, rule, "Give it such a number, or check layout=")
    groups = found // c
    if o % groups:
        rule = (
            f"has {o} output channels, which x's {groups} groups of {c} do not divide"
        )
        can.fail("kernel.shape", kernel, rule, "Choose a multiple of the groups")
    return groups
