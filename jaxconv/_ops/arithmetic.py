"""Sizes, receptive fields and costs, in plain ints."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jax.typing import DTypeLike

from jaxconv._border import arguments as can
from jaxconv._border.arguments import IntLike, PaddingLike
from jaxconv._border.call import Setup, read_setup
from jaxconv._border.hints import explained
from jaxconv._border.windows import Windows
from jaxconv._core.geometry import Ints, span
from jaxconv._ops.halo import halo


@explained
def conv_output_size(
    input_size: IntLike,
    kernel_size: IntLike,
    *,
    stride: IntLike = 1,
    padding: PaddingLike = 0,
    dilation: IntLike = 1,
) -> int | Ints:
    r"""The spatial size that `conv` returns.

    .. math:: o = \lfloor (i + \mathit{lo} + \mathit{hi} - d(k-1) - 1)/s \rfloor + 1

    Args:
      input_size: spatial sizes in elements, without batch and channels.
      kernel_size: window sizes.  Two ints stand for one axis; a sequence in either
        place gives the number of axes.
      stride, padding, dilation: as in `conv`.

    Returns:
      An int if input_size and kernel_size are ints, otherwise a tuple.

    Raises:
      ValueError: a kernel that spans more than the padded input, wrong lengths.
      TypeError: anything that is not an int where one must be.

    Example:
      >>> import jaxconv
      >>> jaxconv.conv_output_size((224, 224), (7, 7), stride=2, padding=3)
      (112, 112)

    Elsewhere: the formula in PyTorch's `Conv2d` page; lax has no public counterpart.

    Source: Dumoulin and Visin, arXiv:1603.07285, Relationships 6 and 15.
    """
    i, k = _sizes(input_size=input_size, kernel_size=kernel_size)
    windows = Windows.read(len(k), stride, padding, dilation, "zeros", "kernel_size")
    geometry, _ = windows.conv(i, k)
    return _like(geometry.output, input_size, kernel_size)


@explained
def conv_transpose_output_size(
    input_size: IntLike,
    kernel_size: IntLike,
    *,
    stride: IntLike = 1,
    padding: PaddingLike = 0,
    output_padding: IntLike = 0,
    dilation: IntLike = 1,
) -> int | Ints:
    r"""The spatial size that `conv_transpose` returns.

    .. math:: (i-1) s - \mathit{lo} - \mathit{hi} + d(k-1) + \mathit{op} + 1

    Args:
      input_size, kernel_size: as in `conv_output_size`.
      stride, padding, output_padding, dilation: as in `conv_transpose`.

    Returns:
      An int if input_size and kernel_size are ints, otherwise a tuple, in elements.

    Raises:
      ValueError: a result below 1, an output_padding that is too large, wrong lengths.
      TypeError: anything that is not an int where one must be.

    Example:
      >>> import jaxconv
      >>> jaxconv.conv_transpose_output_size(5, 3, stride=2, output_padding=1)
      12

    Elsewhere: the formula in PyTorch's `ConvTranspose2d` page.

    Source: Dumoulin and Visin, arXiv:1603.07285, Relationships 8 to 14.
    """
    o, k = _sizes(input_size=input_size, kernel_size=kernel_size)
    windows = Windows.read(len(k), stride, padding, dilation, "zeros")
    geometry, _ = windows.transpose(o, k, output_padding, None)
    return _like(geometry.input, input_size, kernel_size)


class ReceptiveField(NamedTuple):
    """The part of the first layer's input that one unit of the last layer depends on.

    ``size`` is its number of elements, ``stride`` the distance between the parts of
    neighbouring units, and ``start`` the index of the first element for unit 0
    (negative on padding).
    """

    size: int
    stride: int
    start: int


@explained
def receptive_field(layers: Sequence[Mapping[str, int]]) -> ReceptiveField:
    r"""The receptive field of a stack of convolutions or poolings, along one axis.

    .. math:: \mathit{size} = 1 + \sum_l d_l (k_l - 1) \prod_{m<l} s_m

    Args:
      layers: first to last, each a mapping with "kernel" and optionally "stride",
        "dilation" and "padding" (low), all ints: 1, 1 and 0 by default.

    Returns:
      A `ReceptiveField`: size, stride and start, in elements of the input.

    Raises:
      ValueError: a layer without "kernel", with an unknown key or a size out of range.
      TypeError: a layer that is not a mapping of ints.

    Example:
      >>> import jaxconv
      >>> jaxconv.receptive_field([dict(kernel=7, stride=2, padding=3), dict(kernel=3)])
      ReceptiveField(size=11, stride=2, start=-3)

    Elsewhere: tools for TensorFlow exist but are unmaintained; there are none for JAX.

    Source: Araujo, Norris and Sim, "Computing receptive fields of convolutional neural
    networks", Distill 2019.
    """
    if not can.is_sequence(layers):
        rule = "is not a sequence of layers"
        can.fail("layers", layers, rule, "Write [dict(kernel=3), ...]", TypeError)
    size, stride, start = 1, 1, 0
    for index, layer in enumerate(layers):
        k, s, d, lo = _layer(f"layers[{index}]", layer)
        size += (span(k, d) - 1) * stride
        start -= lo * stride
        stride *= s
    return ReceptiveField(size, stride, start)


_LAYER_KEYS = {"kernel": 1, "stride": 1, "dilation": 1, "padding": 0}


def _layer(name: str, layer: Any) -> Ints:
    if not isinstance(layer, Mapping):
        rule = "is not a mapping"
        can.fail(name, layer, rule, "Write dict(kernel=3, stride=2)", TypeError)
    unknown = sorted(set(map(str, layer)) - set(_LAYER_KEYS))
    if unknown or "kernel" not in layer:
        rule = f"has unknown keys {unknown}" if unknown else "has no kernel"
        can.fail(name, layer, rule, f"Write keys out of {tuple(_LAYER_KEYS)}")
    defaults = {"stride": 1, "dilation": 1, "padding": 0, **layer}
    return tuple(
        can.integer(f"{name}[{key!r}]", defaults[key], least)
        for key, least in _LAYER_KEYS.items()
    )


class Cost(NamedTuple):
    """The work, size and memory traffic of a convolution.

    Attributes:
      parameters: number of weights and biases.
      multiply_adds: one per weight and position, with those on the padding.
      multiply_adds_valid: those that read the input, not the padding.
      flops: 2 * multiply_adds.
      bytes: of operands and result, each moved once.
      output_shape: the shape of the result.
      halo_bytes: bytes that one shard receives from its neighbours; 0 if space is not
        sharded.
    """

    parameters: int
    multiply_adds: int
    multiply_adds_valid: int
    flops: int
    bytes: int
    output_shape: tuple[int, ...]
    halo_bytes: int = 0


@explained
def cost(
    x_shape: Sequence[int],
    kernel_shape: Sequence[int],
    *,
    transposed: bool = False,
    bias: bool = False,
    stride: IntLike = 1,
    padding: PaddingLike = 0,
    output_padding: IntLike = 0,
    dilation: IntLike = 1,
    groups: int = 1,
    shards: IntLike = 1,
    layout: str = "channels_first",
    dtype: DTypeLike = np.float32,
) -> Cost:
    r"""Parameters, multiply-adds, flops and bytes of `conv` or `conv_transpose`.

    .. math:: \mathit{multiply\_adds} = N \; C_{in} \; C_{out} / g \;
        \prod k \; \prod_{\mathrm{axes}} (\text{window positions})

    The window positions are the outputs of a convolution, but the *inputs* of a
    transposed convolution: both do the same work, because one is the other's transpose.

    Args:
      x_shape: with or without the batch, as x in `conv` or `conv_transpose`.
      kernel_shape: as kernel in `conv` or `conv_transpose`.
      transposed: whether to count `conv_transpose` instead of `conv`.
      bias: whether to count a bias, one parameter per output channel.
      stride, padding, output_padding, dilation, groups, layout: as in `conv` and
        `conv_transpose`.
      shards: number of parts of a spatial axis, an int or one per axis, as in `halo`.
        All counts are then those of one shard in the middle: its bytes and work include
        its halo, and none of its taps reads padding.
      dtype: type of the operands and the result, for the bytes.

    Returns:
      A `Cost`.

    Raises:
      ValueError, TypeError: as `conv`, `conv_transpose` and `halo`.

    Example:
      >>> import jaxconv
      >>> work = jaxconv.cost((1, 3, 2, 2), (3, 1, 2, 2), transposed=True, stride=2)
      >>> work.multiply_adds
      48

    Elsewhere: public counters use the output's size for transposed convolutions, or
    leave groups out; XLA's own analysis counts valid taps only.

    Source: a count over the definition's sum.
    """
    x, kernel = can.shape("x_shape", x_shape), can.shape("kernel_shape", kernel_shape)
    extra = can.ints("output_padding", output_padding, max(1, len(kernel) - 2), 0)
    if not transposed and any(extra):
        rule = "belongs to a transposed convolution"
        remedy = "Leave it out, or write transposed=True"
        can.fail("output_padding", output_padding, rule, remedy)
    role = "input" if transposed else "output"
    options: dict[str, Any] = {
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "output_padding": output_padding,
    }
    fixed: dict[str, Any] = {"groups": groups, "layout": layout, "name": "x_shape"}
    kind = can.as_dtype("dtype", dtype)
    setup = read_setup(role, x, kernel, kind, **options, **fixed)
    received = 0
    if can.is_sequence(shards) or can.integer("shards", shards, 1) > 1:
        own, around, local = _shard(setup, x, shards, transposed, options)
        setup = read_setup(role, around, kernel, kind, **options | local, **fixed)
        received = (math.prod(around) - math.prod(own)) * kind.itemsize
    found = _count(setup, math.prod(kernel), bias, kind.itemsize)
    return found._replace(halo_bytes=received)


def _shard(
    setup: Setup, x: Ints, shards: Any, transposed: bool, options: dict[str, Any]
) -> tuple[Ints, Ints, dict[str, Any]]:
    """A shard's shape without and with its halo, and the options of its call."""
    spec = setup.spec
    first = len(x) - setup.spec.ndim - (spec.layout.last)
    space = x[first : first + spec.ndim]
    part = halo(space, spec.geometry.kernel, shards, transposed=transposed, **options)
    counts = can.ints("shards", shards, spec.ndim, 1)
    own, around = list(x), list(x)
    sizes = zip(space, counts, part.low, part.high, strict=True)
    for at, (size, count, low, high) in enumerate(sizes, start=first):
        own[at] = size // count + min(0, low) + min(0, high)
        around[at] = size // count + low + high
    local = {"padding": part.padding, "output_padding": part.output_padding}
    return tuple(own), tuple(around), local


def _count(setup: Setup, weights: int, bias: bool, itemsize: int) -> Cost:
    geometry, batch = setup.spec.geometry, setup.shape[0]
    pairs = batch * weights // geometry.taps  # images times connected channel pairs
    space = geometry.input if setup.spec.role == "input" else geometry.output
    first = setup.spec.layout.first
    full = (batch, setup.outputs, *space) if first else (batch, *space, setup.outputs)
    dense = pairs * geometry.taps * geometry.positions
    parameters = weights + (setup.outputs if bias else 0)
    return Cost(
        parameters=parameters,
        multiply_adds=dense,
        multiply_adds_valid=pairs * geometry.valid_taps,
        flops=2 * dense,
        bytes=(math.prod(setup.shape) + parameters + math.prod(full)) * itemsize,
        output_shape=full if setup.has_batch else full[1:],
    )


def _sizes(**named: Any) -> tuple[Ints, Ints]:
    """Input and kernel sizes as tuples of the same length."""
    lengths = {len(v) for v in named.values() if can.is_sequence(v)}
    ndim = min(lengths) if lengths else 1
    if len(lengths) > 1 or ndim == 0:
        (one, first), (two, second) = named.items()
        rule = f"and {two}={second!r} do not have the same number of axes"
        can.fail(one, first, rule, "Give both one int per spatial axis")
    i, k = (can.ints(name, value, ndim, 1) for name, value in named.items())
    return i, k


def _like(sizes: Ints, *given: Any) -> int | Ints:
    return sizes if any(can.is_sequence(v) for v in given) else sizes[0]
