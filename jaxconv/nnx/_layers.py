"""The layers of `jaxconv.nnx`, each a few lines over a function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

from jaxconv._border.arguments import IntLike, PaddingLike
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
    """`jaxconv.conv` with a kernel and a bias of its own, as PyTorch's Conv1d to 3d.

    Args:
      in_channels, out_channels: of x and of the result; groups divides both.
      kernel_size: the window, one int per axis of space.
      stride, padding, dilation, groups, padding_mode, layout: as in `jaxconv.conv`.
      bias: whether there is one.
      rngs: for the first weights.
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

    def __call__(self, x: jax.Array) -> jax.Array:
        return conv(x, *self.weights, **dict(self.options))


class ConvTranspose(_Layer):
    """`jaxconv.conv_transpose` with weights of its own, as PyTorch's ConvTranspose2d.

    Flax' own layer pads, counts and turns its kernel in another way.

    Args:
      in_channels, out_channels: of x and of the result; groups divides both.
      kernel_size: the window, one int per axis of space.
      stride, padding, output_padding, dilation, groups, padding_mode, layout: as in
        `jaxconv.conv_transpose`: those of the convolution that is undone.
      bias: whether there is one.
      rngs: for the first weights.
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

    def __call__(self, x: jax.Array) -> jax.Array:
        return conv_transpose(x, *self.weights, **dict(self.options))


class DeformConv(_Layer):
    """`jaxconv.deform_conv`, with its offsets and masks from a convolution of x.

    That convolution, ``conv_offset``, starts at zero: every offset is 0 and every mask
    sigmoid(0) = 1/2, so the layer begins as half of an ordinary convolution.  Its
    first channels are the offsets, its last ones the masks before the sigmoid.

    Args:
      in_channels, out_channels: of x and of the result; groups divides both.
      kernel_size: the window, one int per axis of space.
      stride, padding, dilation, layout: as in `jaxconv.deform_conv`.
      groups: of the kernel; offset_groups: of the offsets, which divide in_channels.
      mask: whether there are masks (DCN v2) or not (v1).
      bias: whether there is one.
      rngs: for the first weights.
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

    def __call__(self, x: jax.Array) -> jax.Array:
        kernel, bias = self.weights
        named, found = dict(self.options), self.conv_offset(x)
        offset, mask = _sizes.sampling(
            found, self.offsets, kernel.ndim, named["layout"]
        )
        return deform_conv(x, offset, kernel, bias, mask=mask, **named)


def from_torch(model: M, state_dict: Mapping[str, Any]) -> M:
    """Loads the convolutions of a PyTorch checkpoint into a model's layers.

    Each layer of this module takes the entries that have its path in the model, with
    points between the names: ``down.0.weight`` goes to ``model.down[0].kernel``.  The
    other entries (normalisation, linear layers) are left alone.

    Args:
      model: whose layers are changed in place.
      state_dict: of tensors, or of NumPy arrays.

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
