"""The layers of `jaxconv.equinox`, each of which calls one function of `jaxconv`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp

from jaxconv._border.arguments import IntLike, PaddingLike
from jaxconv._border.arrays import Field, Image, Result, Sampled
from jaxconv._deform import deform_conv
from jaxconv._layers import sizes as _sizes
from jaxconv._layers.checkpoint import Checkpoint
from jaxconv._layers.sizes import Options, Sizes
from jaxconv._ops.conv import conv
from jaxconv._ops.transpose import conv_transpose

M = TypeVar("M")


class _Layer(eqx.Module):
    """A kernel, a bias or None, and the keywords of the function that takes them."""

    kernel: jax.Array
    bias: jax.Array | None
    options: Options = eqx.field(static=True)

    def __init__(
        self, sizes: Sizes, options: dict[str, Any], bias: bool, key: jax.Array
    ) -> None:
        first, second = jax.random.split(key)
        self.kernel = sizes.kernel_of(first)
        self.bias = sizes.bias_of(second, bias)
        self.options = _sizes.options(layout=sizes.layout, **options)


class Conv(_Layer):
    """`jaxconv.conv` with a kernel and a bias, as in PyTorch's Conv1d to Conv3d.

    Args:
      in_channels, out_channels: channels of x and of the result; groups divides both.
      kernel_size: the window, one int per spatial axis.
      stride, padding, dilation, groups, padding_mode, layout: as in `jaxconv.conv`.
      bias: whether there is a bias.
      key: random key for the initial weights.
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
        key: jax.Array,
    ) -> None:
        sizes = Sizes.read(in_channels, out_channels, kernel_size, groups, layout)
        options: dict[str, Any] = {"stride": stride, "padding": padding}
        options |= {"dilation": dilation, "groups": groups}
        options |= {"padding_mode": padding_mode}
        super().__init__(sizes, options, bias, key)

    def __call__(self, x: Image) -> Result:
        return conv(x, self.kernel, self.bias, **dict(self.options))


class ConvTranspose(_Layer):
    """`jaxconv.conv_transpose` with a kernel and a bias, as PyTorch's ConvTranspose2d.

    Equinox' own layer flips its kernel and exchanges its channels.

    Args:
      in_channels, out_channels: channels of x and of the result; groups divides both.
      kernel_size: the window, one int per spatial axis.
      stride, padding, output_padding, dilation, groups, padding_mode, layout: as in
        `jaxconv.conv_transpose`: those of the matching convolution.
      bias: whether there is a bias.
      key: random key for the initial weights.
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
        key: jax.Array,
    ) -> None:
        sizes = Sizes.read(
            in_channels, out_channels, kernel_size, groups, layout, transposed=True
        )
        options: dict[str, Any] = {"stride": stride, "padding": padding}
        options |= {"dilation": dilation, "groups": groups}
        options |= {"padding_mode": padding_mode, "output_padding": output_padding}
        super().__init__(sizes, options, bias, key)

    def __call__(self, x: Image) -> Result:
        return conv_transpose(x, self.kernel, self.bias, **dict(self.options))


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
      key: random key for the initial weights.
    """

    conv_offset: Conv
    offsets: int = eqx.field(static=True)

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
        key: jax.Array,
    ) -> None:
        sizes = Sizes.read(in_channels, out_channels, kernel_size, groups, layout)
        options: dict[str, Any] = {"stride": stride, "padding": padding}
        options |= {"dilation": dilation}
        super().__init__(sizes, options, bias, key)
        self.offsets, masks = _sizes.sampling_channels(kernel_size, offset_groups)
        channels = self.offsets + (masks if mask else 0)
        first = Conv(
            in_channels, channels, kernel_size, **options, layout=layout, key=key
        )
        self.conv_offset = jax.tree.map(jnp.zeros_like, first)

    def __call__(self, x: Field) -> Sampled:
        named, found = dict(self.options), self.conv_offset(x)
        offset, mask = _sizes.sampling(
            found, self.offsets, self.kernel.ndim, named["layout"]
        )
        return deform_conv(x, offset, self.kernel, self.bias, mask=mask, **named)


def from_torch(model: M, state_dict: Mapping[str, Any]) -> M:
    """Returns a model with the convolutions of a PyTorch checkpoint.

    Each layer of this module takes the entries whose name is its path in the model,
    joined by dots: ``down.0.weight`` becomes ``model.down[0].kernel``.  Other entries
    (normalisation, linear layers) are ignored.

    Args:
      model: its layers determine the entries to take; it is not changed.
      state_dict: a mapping of names to tensors or NumPy arrays.

    Returns:
      A new model.

    Raises:
      ValueError: an entry is missing or has another shape, or a convolution of the
        checkpoint has no layer.
    """
    checkpoint = Checkpoint(state_dict)

    def load(path: Any, layer: Any) -> Any:
        if not isinstance(layer, _Layer):
            return layer
        names = [jax.tree_util.keystr((part,), simple=True) for part in path]
        return _loaded(layer, names, checkpoint)

    loaded = jax.tree_util.tree_map_with_path(
        load, model, is_leaf=lambda part: isinstance(part, _Layer)
    )
    checkpoint.finish()
    return loaded


def _loaded(layer: _Layer, path: list[str], checkpoint: Checkpoint) -> _Layer:
    layout = dict(layer.options)["layout"]
    found = checkpoint.take(path, layer.kernel, layer.bias, layout)
    if isinstance(layer, DeformConv):
        inner = _loaded(layer.conv_offset, [*path, "conv_offset"], checkpoint)
        layer = eqx.tree_at(lambda v: v.conv_offset, layer, inner)
    return eqx.tree_at(
        lambda v: (v.kernel, v.bias), layer, found, is_leaf=lambda v: v is None
    )
