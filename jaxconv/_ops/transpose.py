"""Transposed convolution: the linear transpose of `conv`, nothing else."""

from __future__ import annotations

from typing import Any

import jax
from jax.typing import ArrayLike, DTypeLike

from jaxconv._border.arguments import IntLike, PaddingLike
from jaxconv._border.call import read_call
from jaxconv._border.hints import explained


@explained
def conv_transpose(
    x: ArrayLike,
    kernel: ArrayLike,
    bias: ArrayLike | None = None,
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
) -> jax.Array:
    r"""Transposed convolution: `jax.linear_transpose` of `conv`, same arguments.

    .. math::
        z[n, g, c, q] = b[g, c] + \sum_{o} \sum_{p, t \,:\, p s + t d - \mathit{lo} = q}
            w[g, o, c, t] \; x[n, g, o, p]

    With C the matrix of conv, it multiplies by C transposed (not by its inverse: it
    gives back the shape that went into conv, not the values).  It is conv's gradient
    with respect to its input.

    Letters: as in `conv`, whose output is this function's input x; op output_padding.
    Sizes are in elements.

    Args:
      x: input, (N, O, \*space), or (O, \*space) without a batch.
      kernel: the very kernel of the conv to be undone, (O, C/groups, \*window), that is
        PyTorch's (in, out/groups, \*window).  Nothing to flip or swap.
      bias: (C,), or None.
      stride, dilation, groups, layout, precision, preferred_element_type: of the conv
        to be undone; channels last its kernel is (\*window, C/groups, O).
      padding: that of the conv to be undone, so it crops this result.  All forms of
        `conv` but "same"; "SAME" gives stride times the input's size.
      output_padding: how many more elements at the end, those which conv's last window
        does not reach: less than stride or less than dilation.
      output_size: the result's spatial size instead, in [least, least + stride - 1].
      padding_mode: of the conv to be undone: the result is the true adjoint, what was
        read through the padding is added where it was read from.
      implementation: None chooses a lowering; a name runs exactly that one, or raises
        with the reason.  By hand: "transpose" (`jax.linear_transpose`), "vjp",
        "zero_insertion" (zeros between, border, turned kernel, ordinary convolution),
        "scatter" (one-to-many, added), "matrix" (C transposed); by XLA: "xla".
        "direct" chooses where NaN and infinity spread as in the formula, as in `conv`.

    Returns:
      (N, C, \*out) with out = (i-1)s - lo - hi + d(k-1) + op + 1 per axis.

    Raises:
      ValueError: shapes, sizes or words that do not fit; also a result below size 1.
      TypeError: operands of different types, or arguments of the wrong kind.

    Example:
      >>> import jax.numpy as jnp, jaxconv
      >>> x = jnp.array([[[0.0, 1.0], [2.0, 3.0]]])
      >>> kernel = jnp.array([[[[0.0, 1.0], [2.0, 3.0]]]])
      >>> jaxconv.conv_transpose(x, kernel)
      Array([[[ 0.,  0.,  1.],
              [ 0.,  4.,  6.],
              [ 4., 12.,  9.]]], dtype=float32)

    Elsewhere: `torch.nn.functional.conv_transpose1d/2d/3d` mean the same, value for
    value (without asymmetric padding and padding modes).  `jax.lax.conv_transpose` does
    not turn the kernel, takes padding as that of its own input, and has no groups and
    no output_padding; Keras' and Flax' layers follow it or swap the channels.

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
