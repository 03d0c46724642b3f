"""Depthwise, pointwise and depthwise separable convolution, written with conv."""

from __future__ import annotations

from typing import Any

from jax.typing import DTypeLike

from jaxconv._border import arguments as can
from jaxconv._border.arguments import IntLike, PaddingLike
from jaxconv._border.arrays import Bias, Image, Kernel, Result
from jaxconv._border.hints import explained
from jaxconv._core.spec import Layout, Shape
from jaxconv._ops.conv import conv


@explained
def depthwise_conv(
    x: Image,
    kernel: Kernel,
    bias: Bias | None = None,
    *,
    stride: IntLike = 1,
    padding: PaddingLike = 0,
    dilation: IntLike = 1,
    padding_mode: str = "zeros",
    layout: str = "channels_first",
    implementation: str | None = None,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
) -> Result:
    r"""Convolves every channel with m kernels of its own: `conv` with groups = C.

    .. math::
        y[n, (c, j), p] = b[(c, j)] + \sum_t w[(c, j), t] \; x[n, c, p s + t d - lo]

    Letters: as in `conv`; m channel multiplier, j from 0 to m-1.  Sizes in elements.

    Args:
      x: (N, C, \*space), or (C, \*space) without a batch.
      kernel: (C*m, 1, \*window); channels last (\*window, 1, C*m).
      bias: (C*m,), or None.
      stride, padding, dilation, padding_mode, layout, implementation, precision,
        preferred_element_type: as in `conv`.

    Returns:
      (N, C*m, \*out), with the m results of a channel adjacent; sizes as in `conv`.

    Raises:
      ValueError: a kernel whose input channels are not 1, or whose outputs are no
        multiple of x's channels; and as `conv`.
      TypeError: as `conv`.

    Example:
      >>> import jax.numpy as jnp, jaxconv
      >>> x = jnp.array([[1.0, 2.0, 4.0], [10.0, 20.0, 40.0]])
      >>> jaxconv.depthwise_conv(x, jnp.array([[[-1.0, 1.0]], [[1.0, 1.0]]]))
      Array([[ 1.,  2.],
             [30., 60.]], dtype=float32)

    Elsewhere: PyTorch and Flax write ``groups=C`` / ``feature_group_count=C``; Keras'
    kernel (\*window, C, m) is ``.reshape(*window, 1, C*m)`` here.

    Source: PyTorch's `groups` equal to the channels.
    """
    x, kernel = can.array("x", x), can.array("kernel", kernel)
    channels = _channels(x.shape, "kernel.shape", kernel.shape, can.layout(layout))
    return conv(
        x,
        kernel,
        bias,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=channels,
        padding_mode=padding_mode,
        layout=layout,
        implementation=implementation,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


@explained
def pointwise_conv(
    x: Image,
    kernel: Kernel,
    bias: Bias | None = None,
    *,
    stride: IntLike = 1,
    groups: int = 1,
    layout: str = "channels_first",
    implementation: str | None = None,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
) -> Result:
    r"""Mixes the channels of each position: `conv` with a window of 1.

    .. math:: y[n, o, p] = b[o] + \sum_c w[o, c] \; x[n, c, p s]

    Letters: as in `conv`.  Sizes are in elements.

    Args:
      x: (N, C, \*space), or (C, \*space) without a batch.
      kernel: (O, C/groups, 1, ...), with a 1 for each spatial axis; channels last
        (1, ..., C/groups, O).
      bias: (O,), or None.
      stride, groups, layout, implementation, precision, preferred_element_type: as in
        `conv`.

    Returns:
      (N, O, \*out) with out = ceil(i/s) per axis.

    Raises:
      ValueError: a window other than 1; and as `conv`.
      TypeError: as `conv`.

    Example:
      >>> import jax.numpy as jnp, jaxconv
      >>> x = jnp.array([[1.0, 2.0], [10.0, 20.0]])
      >>> jaxconv.pointwise_conv(x, jnp.array([[[1.0], [2.0]]]))
      Array([[21., 42.]], dtype=float32)

    Elsewhere: a 1x1 convolution, or a dense layer on the channel axis.

    Source: Lin, Chen and Yan, arXiv:1312.4400.
    """
    kernel = can.array("kernel", kernel)
    _window_of_one("kernel.shape", kernel.shape, can.layout(layout))
    return conv(
        x,
        kernel,
        bias,
        stride=stride,
        groups=groups,
        layout=layout,
        implementation=implementation,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


@explained
def separable_conv(
    x: Image,
    depthwise_kernel: Kernel,
    pointwise_kernel: Kernel,
    bias: Bias | None = None,
    *,
    stride: IntLike = 1,
    padding: PaddingLike = 0,
    dilation: IntLike = 1,
    padding_mode: str = "zeros",
    layout: str = "channels_first",
    implementation: str | None = None,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
) -> Result:
    r"""A depthwise convolution followed by a pointwise one.

    .. math:: y = \mathrm{pointwise}(\mathrm{depthwise}(x)) + b

    With O outputs and T taps, its work is that of `conv` times 1/O + 1/T.
    Letters: as in `depthwise_conv`.  Sizes are in elements.

    Args:
      x: (N, C, \*space), or (C, \*space) without a batch.
      depthwise_kernel: (C*m, 1, \*window); channels last (\*window, 1, C*m).
      pointwise_kernel: (O, C*m, 1, ...); channels last (1, ..., C*m, O).
      bias: (O,), or None; added after the pointwise step.
      stride, padding, dilation, padding_mode: of the depthwise step, as in `conv`.
      layout, implementation, precision, preferred_element_type: of both steps.

    Returns:
      (N, O, \*out); sizes as in `conv`.

    Raises:
      ValueError, TypeError: as `depthwise_conv` and `pointwise_conv`.

    Example:
      >>> import jax.numpy as jnp, jaxconv
      >>> x = jnp.array([[1.0, 2.0, 4.0], [10.0, 20.0, 40.0]])
      >>> depthwise = jnp.array([[[-1.0, 1.0]], [[1.0, 1.0]]])
      >>> jaxconv.separable_conv(x, depthwise, jnp.array([[[1.0], [0.5]]]))
      Array([[16., 32.]], dtype=float32)

    Elsewhere: Keras' `SeparableConv`; PyTorch needs two modules.

    Source: Chollet, arXiv:1610.02357.
    """
    x = can.array("x", x)
    depthwise_kernel = can.array("depthwise_kernel", depthwise_kernel)
    pointwise_kernel = can.array("pointwise_kernel", pointwise_kernel)
    bias = None if bias is None else can.array("bias", bias)
    can.same_dtype(
        x=x,
        depthwise_kernel=depthwise_kernel,
        pointwise_kernel=pointwise_kernel,
        bias=bias,
    )
    shapes = depthwise_kernel.shape, pointwise_kernel.shape
    _match(x.shape, *shapes, can.layout(layout))
    common: dict[str, Any] = {
        "layout": layout,
        "implementation": implementation,
        "precision": precision,
        "preferred_element_type": preferred_element_type,
    }
    middle = depthwise_conv(
        x,
        depthwise_kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        padding_mode=padding_mode,
        **common,
    )
    # The first step may return a wider type than its operands': int32 for int8.
    kernel = pointwise_kernel.astype(middle.dtype)
    bias = None if bias is None else bias.astype(middle.dtype)
    return pointwise_conv(middle, kernel, bias, **common)


def _channels(x: Shape, name: str, kernel: Shape, layout: Layout) -> int:
    """The number of channels of x; refuses a depthwise kernel that does not fit it."""
    first, ndim = layout.first, can.spatial_rank(kernel, name)
    can.has_batch(x, ndim)
    channels = x[-ndim - 1 if first else -1]
    kernels, depth = (kernel[axis] for axis in ((0, 1) if first else (-1, -2)))
    can.window_not_empty(kernel[2:] if first else kernel[:-2], kernel, name)
    remedy = "Write (C*m, 1, *window), channels last (*window, 1, C*m)"
    if not channels:
        can.fail("x.shape", x, "has no channels", "Give at least one")
    if depth != 1:
        rule = f"has {depth} input channels, but a depthwise kernel has 1"
        can.fail(name, kernel, rule, remedy)
    if kernels % channels or not kernels:
        rule = f"has {kernels} kernels, not a multiple of the {channels} channels of x"
        can.fail(name, kernel, rule, remedy)
    return channels


def _window_of_one(name: str, kernel: Shape, layout: Layout) -> None:
    can.spatial_rank(kernel, name)
    window = layout.window(kernel)
    if set(window) != {1}:
        rule = f"has the window {window}, and a pointwise kernel has 1 on every axis"
        can.fail(name, kernel, rule, "Use conv for larger windows")


def _match(x: Shape, depthwise: Shape, pointwise: Shape, layout: Layout) -> None:
    """Refuses a pointwise kernel that does not fit the depthwise kernel's outputs."""
    one, two = "depthwise_kernel.shape", "pointwise_kernel.shape"
    _channels(x, one, depthwise, layout)
    _window_of_one(two, pointwise, layout)
    if len(pointwise) != len(depthwise):
        rule = f"has {len(pointwise)} axes, and {one}={depthwise} {len(depthwise)}"
        can.fail(two, pointwise, rule, "Give both as many ones as axes of space")
    first = layout.first
    given, (outputs, taken) = depthwise[0 if first else -1], pointwise[:2]
    if not first:
        taken, outputs = pointwise[-2:]
    if taken != given or outputs == 0:
        rule = f"takes {taken} channels and gives {outputs}; {one}={depthwise} gives "
        rule += f"{given}, and one at least must come out"
        can.fail(two, pointwise, rule, f"Write (O, {given}, 1, ...), or check layout=")
