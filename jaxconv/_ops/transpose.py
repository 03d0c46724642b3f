"""Transposed convolution, which is the linear transpose of `conv`."""

from __future__ import annotations

from typing import Any

import jax
from jax.typing import DTypeLike

from jaxconv._border.arguments import IntLike, PaddingLike
from jaxconv._border.arrays import Bias, Image, Kernel, Result
from jaxconv._border.call import read_call
from jaxconv._border.hints import explained


@explained
def conv_transpose(
    x: Image,
    kernel: Kernel,
    bias: Bias | None = None,
    *,
    stride: IntLike = 1,
    padding: PaddingLike = 0,
    output_padding: IntLike = 0,
    output_size: IntLike | None = None,
    dilation: IntLike = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    layout: str = "channels_first",
    implementation: str | None = None,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
) -> Result:
    r"""Transposed convolution: the linear transpose of `conv`, with the same arguments.

    .. math::
        z[n, g, c, q] = b[g, c] + \sum_{o} \sum_{p, t \,:\, p s + t d - \mathit{lo} = q}
            w[g, o, c, t] \; x[n, g, o, p]

    If C is the matrix of conv, this function multiplies by the transpose of C.  It is
    not the inverse: applied to conv's result it gives an array of the shape, but not of
    the values, of conv's input.  It is also the gradient of conv with respect to its
    input.

    Letters: as in `conv`, whose output is this function's input x; op output_padding.
    Sizes are in elements.

    Args:
      x: input, (N, O, \*space), or (O, \*space) without a batch.
      kernel: the same kernel as in the matching `conv`, (O, C/groups, \*window), which
        is PyTorch's (in, out/groups, \*window).  Do not flip it or swap its channels.
      bias: (C,), or None.
      stride, dilation, groups, layout, precision, preferred_element_type: as in the
        matching `conv`.  The kernel with channels last is (\*window, C/groups, O).
      padding: as in the matching `conv`, so it crops this result.  All forms of `conv`
        are possible except "same"; "SAME" gives stride times the input's size.
      output_padding: number of additional elements at the end, which conv's last window
        does not reach.  It must be less than stride or less than dilation.
      output_size: the spatial size of the result, instead of output_padding; between
        the least possible size and that size + stride - 1.
      padding_mode: as in the matching `conv`.  The result is the true adjoint: each
        padded element's share is added to the element that it is a copy of.
      implementation: None lets jaxconv choose a lowering.  A name runs exactly that
        lowering, or raises an error with the reason.  Examples: "transpose"
        (`jax.linear_transpose`), "vjp", "zero_insertion" (a convolution over the input
        with zeros between its elements), "scatter" (adds each input times the kernel to
        the result), "matrix" (the transposed convolution matrix), "xla" (XLA's
        convolution).  "direct" excludes lowerings that spread NaN and infinity further
        than the formula, as in `conv`.

    Returns:
      (N, C, \*out) with out = (i-1)s - lo - hi + d(k-1) + op + 1 per axis.

    Raises:
      ValueError: shapes, sizes or options that do not fit, or a result of size below 1.
      TypeError: operands of different types, or arguments of the wrong type.

    Example:
      >>> import jax.numpy as jnp, jaxconv
      >>> x = jnp.array([[[0.0, 1.0], [2.0, 3.0]]])
      >>> kernel = jnp.array([[[[0.0, 1.0], [2.0, 3.0]]]])
      >>> jaxconv.conv_transpose(x, kernel)
      Array([[[ 0.,  0.,  1.],
              [ 0.,  4.,  6.],
              [ 4., 12.,  9.]]], dtype=float32)

    Elsewhere: `torch.nn.functional.conv_transpose1d/2d/3d` give the same values for the
    same arguments, but have no asymmetric padding and no padding modes.
    `jax.lax.conv_transpose` does not flip the kernel, takes padding as that of its own
    input, and has no groups and no output_padding.  Flax and Keras do as lax, or swap
    the kernel's channels.

    Source: Dumoulin and Visin, arXiv:1603.07285, Relationships 8 to 14.
    """
    call = read_call(
        "input",
        x,
        kernel,
        bias,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        padding_mode=padding_mode,
        layout=layout,
        implementation=implementation,
        precision=precision,
        preferred_element_type=preferred_element_type,
        output_padding=output_padding,
        output_size=output_size,
    )
    with jax.named_scope("jaxconv.conv_transpose"):
        return call.finish(call.setup.unpad(call.contract(call.image)))
