"""Convolution."""

from __future__ import annotations

from typing import Any

import jax
from jax.typing import DTypeLike

from jaxconv._border.arguments import IntLike, PaddingLike
from jaxconv._border.arrays import Bias, Image, Kernel, Result
from jaxconv._border.call import read_call
from jaxconv._border.hints import explained


@explained
def conv(
    x: Image,
    kernel: Kernel,
    bias: Bias | None = None,
    *,
    stride: IntLike = 1,
    padding: PaddingLike = 0,
    dilation: IntLike = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    layout: str = "channels_first",
    implementation: str | None = None,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
) -> Result:
    r"""Convolution (cross-correlation: no flip) over any number of spatial axes.

    .. math::
        y[n, g, o, p] = b[g, o] + \sum_{c, t} w[g, o, c, t] \;
            x[n, g, c, p \cdot s + t \cdot d - \mathit{lo}]

    Letters: batch n, group g, input channel c and output channel o of the group, output
    position p, kernel tap t, stride s, dilation d, low padding lo; i input size, k
    kernel size.  Sizes are in elements.

    Args:
      x: input, (N, C, \*space), or (C, \*space) without a batch.
      kernel: weights, (O, C/groups, \*window).  Its rank minus 2 is the number of
        spatial axes.
      bias: (O,), or None.
      stride: step between windows; an int or one per axis, at least 1.
      padding: elements around x: an int, one per axis, or a (low, high) pair per axis;
        "valid" (none); "same" (PyTorch's: keeps the size, stride 1 only, the odd
        element at the end); "VALID", "SAME", "SAME_LOWER" (lax's: ceil(i/s) outputs at
        any stride, the odd element high or low); "causal" (one axis: d(k-1) in front).
      dilation: step between taps; an int or one per axis, at least 1.
      groups: channels are split into this many groups that do not mix.
      padding_mode: what the padding contains: "zeros", "reflect" (a mirror image
        without the edge element), "replicate" (the edge element), "circular" (the
        elements of the other end).
      layout: "channels_first", or "channels_last": x (N, \*space, C), kernel
        (\*window, C/groups, O), result (N, \*space, O).
      implementation: None lets jaxconv choose a lowering.  A name runs exactly that
        lowering, or raises an error with the reason.  Examples: "window" (one
        multiply-and-add per position), "matrix" (the convolution matrix times the
        flattened input), "xla" (XLA's convolution); `jaxconv.lowerings` lists all.
        Gradients use the named lowering too if it implements them.  On a CPU some
        lowerings spread a NaN or an infinity to more results than the formula does
        (`explain` says which); "direct" chooses among the others.
      precision: as in `jax.lax.conv_general_dilated`.
      preferred_element_type: the result's type, by default that of the operands.
        float16 and bfloat16 accumulate in float32.  Integers accumulate in at least
        int32, which is then also the type of the result.

    Returns:
      (N, O, \*out) with out = floor((i + lo + hi - d(k-1) - 1)/s) + 1 per axis.

    Raises:
      ValueError: shapes, sizes or options that do not fit, or a kernel that spans more
        than the padded input.
      TypeError: operands of different types, or arguments of the wrong type.

    Example:
      >>> import jax.numpy as jnp, jaxconv
      >>> x = jnp.array([[1.0, 2.0, 3.0, 4.0, 5.0]])  # one channel, no batch
      >>> kernel = jnp.array([[[1.0, 0.0, -1.0]]])
      >>> jaxconv.conv(x, kernel, stride=2, padding=1)
      Array([[-2., -2.,  4.]], dtype=float32)

    Elsewhere: `torch.nn.functional.conv1d/2d/3d` give the same values for the same
    arguments.  `jax.lax.conv_general_dilated` has no bias and no padding modes, returns
    an empty array for a kernel that does not fit, and lets int8 wrap.  Keras and Flax
    use padding="SAME" and layout="channels_last".

    Source: Dumoulin and Visin, arXiv:1603.07285, Relationships 1 to 6 and 15.
    """
    call = read_call(
        "output",
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
    )
    with jax.named_scope("jaxconv.conv"):
        return call.finish(call.contract(call.setup.pad(call.image)))
