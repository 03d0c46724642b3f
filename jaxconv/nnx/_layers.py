"""The layers of `jaxconv.nnx`, each of which calls one function of `jaxconv`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

from jaxconv._border.arguments import IntLike, PaddingLike
from jaxconv._border.arrays import Field, Image, Result, Sampled
from jaxconv._deform import deform_conv
from jaxconv._layers import sizes as _sizes
from jaxconv._layers.checkpoint import Checkpoint
from jaxconv._layers.sizes import Sizes
from jaxconv._ops.conv import conv
from jaxconv._ops.transpose import conv_transpose

M = TypeVar("M", bound=nnx.Module)


class _Layer(nnx.Module):
    """A kernel, a bias or None, and the keywords of the function that takes them."""

    def __init__(
        self, sizes: Sizes, options: dict[str, Any], bias: bool, rngs: nnx.Rngs
    ) -> None:
        self.kernel = nnx.Param(sizes.kernel_of(rngs.params()))
        first = sizes.bias_of(rngs.params(), bias)
        self.bias = None if first is None else nnx.Param(first)
        self.options = _sizes.options(layout=sizes.layout, **options)

    @property
    def weights(self) -> tuple[jax.Array, jax.Array | None]:
        return self.kernel[...], None if self.bias is None else self.bias[...]


class Conv(_Layer):
    """`jaxconv.conv` with a kernel and a bias, as in PyTorch's Conv1d to Conv3d.

    Args:
      in_channels, out_channels: channels of x and of the result; groups divides both.
      kernel_size: the window, one int per spatial axis.
      stride, padding, dilation, groups, padding_mode, layout: as in `jaxconv.conv`.
      bias: whether there is a bias.
      rngs: random streams for the initial weights.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sequence[int],
        *,
        stride: IntLike = 1,
        padding: PaddingLike = 0,
        dilation: IntLike = 1,
        groups: int = 1,
        padding_mode: str = "zeros",
        layout: str = "channels_first",
        bias: bool = True,
        rngs: nnx.Rngs,
    ) -> None:
        sizes = Sizes.read(in_channels, out_channels, kernel_size, groups, layout)
        options: dict[str, Any] = {"stride": stride, "padding": padding}
        options |= {"dilation": dilation, "groups": groups}
        options |= {"padding_mode": padding_mode}
        super().__init__(sizes, options, bias, rngs)

    def __call__(self, x: Image) -> Result:
        return conv(x, *self.weights, **dict(self.options))


class ConvTranspose(_Layer):
    """`jaxconv.conv_transpose` with a kernel and a bias, as PyTorch's ConvTranspose2d.

    Flax' own layer has other paddings and result sizes, and does not flip its kernel.

    Args:
      in_channels, out_channels: channels of x and of the result; groups divides both.
      kernel_size: the window, one int per spatial axis.
      stride, padding, output_padding, dilation, groups, padding_mode, layout: as in
        `jaxconv.conv_transpose`: those of the matching convolution.
      bias: whether there is a bias.
      rngs: random streams for the initial weights.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sequence[int],
        *,
        stride: IntLike = 1,
        padding: PaddingLike = 0,
        output_padding: IntLike = 0,
        dilation: IntLike = 1,
        groups: int = 1,
        padding_mode: str = "zeros",
        layout: str = "channels_first",
        bias: bool = True,
        rngs: nnx.Rngs,
    ) -> None:
        sizes = Sizes.read(
            in_channels, out_channels, kernel_size, groups, layout, transposed=True
        )
        options: dict[str, Any] = {"stride": stride, "padding": padding}
        options |= {"dilation": dilation, "groups": groups}
        options |= {"padding_mode": padding_mode, "output_padding": output_padding}
        super().__init__(sizes, options, bias, rngs)

    def __call__(self, x: Image) -> Result:
        return conv_transpose(x, *self.weights, **dict(self.options))


class DeformConv(_Layer):
    """`jaxconv.deform_conv` whose offsets and masks are computed by a convolution of x.

    The weights of that convolution, ``conv_offset``, are initially zero.  Every offset
    is then 0 and every mask sigmoid(0) = 1/2, so that the layer is initially half of an
    ordinary convolution.  The first channels of ``conv_offset`` are the offsets, the
    last ones the masks before the sigmoid.

    Args:
      in_channels, out_channels: channels of x and of the result; groups divides both.
      kernel_size: the window, one int per spatial axis.
      stride, padding, dilation, layout: as in `jaxconv.deform_conv`.
      groups: groups of the kernel.
      offset_groups: groups of the offsets, a divisor of in_channels.
      mask: whether there are masks (DCN v2) or not (v1).
      bias: whether there is a bias.
      rngs: random streams for the initial weights.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sequence[int],
        *,
        stride: IntLike = 1,
        padding: PaddingLike = 0,
        dilation: IntLike = 1,
        groups: int = 1,
        offset_groups: int = 1,
        mask: bool = True,
        layout: str = "channels_first",
        bias: bool = True,
        rngs: nnx.Rngs,
    ) -> None:
        sizes = Sizes.read(in_channels, out_channels, kernel_size, groups, layout)
        options: dict[str, Any] = {"stride": stride, "padding": padding}
        options |= {"dilation": dilation}
        super().__init__(sizes, options, bias, rngs)
        self.offsets, masks = _sizes.sampling_channels(kernel_size, offset_groups)
        channels = self.offsets + (masks if mask else 0)
        self.conv_offset = Conv(
            in_channels, channels, kernel_size, **options, layout=layout, rngs=rngs
        )
        zeros = jax.tree.map(jnp.zeros_like, nnx.state(self.conv_offset))
        nnx.update(self.conv_offset, zeros)

    def __call__(self, x: Field) -> Sampled:
        kernel, bias = self.weights
        named, found = dict(self.options), self.conv_offset(x)
        offset, mask = _sizes.sampling(
            found, self.offsets, kernel.ndim, named["layout"]
        )
        return deform_conv(x, offset, kernel, bias, mask=mask, **named)


def from_torch(model: M, state_dict: Mapping[str, Any]) -> M:
    """Loads the convolutions of a PyTorch checkpoint into a model's layers.

    Each layer of this module takes the entries whose name is its path in the model,
    joined by dots: ``down.0.weight`` goes to ``model.down[0].kernel``.  Other entries
    (normalisation, linear layers) are ignored.

    Args:
      model: its layers are changed in place.
      state_dict: a mapping of names to tensors or NumPy arrays.

    Returns:
      The model.

    Raises:
      ValueError: an entry is missing or has another shape, or a convolution of the
        checkpoint has no layer.
    """
    checkpoint = Checkpoint(state_dict)
    for path, layer in nnx.iter_modules(model):
        if isinstance(layer, _Layer):
            layout = dict(layer.options)["layout"]
            kernel, bias = checkpoint.take(path, *layer.weights, layout)
            layer.kernel[...] = kernel
            if layer.bias is not None:
                layer.bias[...] = bias
    checkpoint.finish()
    return model
