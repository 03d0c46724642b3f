"""The layers of `jaxconv.equinox`, each a few lines over a function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp

from jaxconv._border.arguments import IntLike, PaddingLike
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
    """`jaxconv.conv` with a kernel and a bias of its own, as PyTorch's Conv1d to 3d.

    Args:
      in_channels, out_channels: of x and of the result; groups divides both.
      kernel_size: the window, one int per axis of space.
      stride, padding, dilation, groups, padding_mode, layout: as in `jaxconv.conv`.
      bias: whether there is one.
      key: for the first weights.
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

    def __call__(self, x: jax.Array) -> jax.Array:
        return conv(x, self.kernel, self.bias, **dict(self.options))


class ConvTranspose(_Layer):
    """`jaxconv.conv_transpose` with weights of its own, as PyTorch's ConvTranspose2d.

    Equinox' own layer turns its kernel and exchanges its channels.

    Args:
      in_channels, out_channels: of x and of the result; groups divides both.
      kernel_size: the window, one int per axis of space.
      stride, padding, output_padding, dilation, groups, padding_mode, layout: as in
        `jaxconv.conv_transpose`: those of the convolution that is undone.
      bias: whether there is one.
      key: for the first weights.
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

    def __call__(self, x: jax.Array) -> jax.Array:
        return conv_transpose(x, self.kernel, self.bias, **dict(self.options))


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
      key: for the first weights.
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

    def __call__(self, x: jax.Array) -> jax.Array:
        named, found = dict(self.options), self.conv_offset(x)
        offset, mask = _sizes.sampling(
            found, self.offsets, self.kernel.ndim, named["layout"]
        )
        return deform_conv(x, offset, self.kernel, self.bias, mask=mask, **named)


def from_torch(model: M, state_dict: Mapping[str, Any]) -> M:
    """A model whose layers have the convolutions of a PyTorch checkpoint.

    Each layer of this module takes the entries that have its path in the model, with
    points between the names: ``down.0.weight`` becomes ``model.down[0].kernel``.  The
    other entries (normalisation, linear layers) are left alone.

    Args:
      model: whose layers say which entries to take; it is not changed.
      state_dict: of tensors, or of NumPy arrays.

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
