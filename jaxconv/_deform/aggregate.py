"""Deformable aggregation: the operator inside DCNv3 and DCNv4."""

from __future__ import annotations

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxconv._border import arguments as can
from jaxconv._border.arguments import IntLike, PaddingLike
from jaxconv._border.arrays import Field, Sampled
from jaxconv._border.hints import explained
from jaxconv._border.windows import Windows
from jaxconv._core.geometry import Geometry, Ints
from jaxconv._core.spec import Layout
from jaxconv._deform import read
from jaxconv._deform.form import sample
from jaxconv._deform.frame import Frame


@explained
def deform_aggregate(
    x: Field,
    offset: Field,
    weights: Field,
    kernel_size: IntLike,
    *,
    stride: IntLike = 1,
    padding: PaddingLike = 0,
    dilation: IntLike = 1,
    offset_scale: float = 1.0,
    remove_center: bool = False,
    softmax: bool = False,
    layout: str = "channels_first",
) -> Sampled:
    r"""Weighted sums of samples around each position, as in DCNv3 and DCNv4.

    .. math::
        y[n, g, c, p] = \sum_{t} a[n, g, t, p] \; x(n, g, c, \; p \cdot s + h -
            \mathit{lo} + (t \cdot d - h + \Delta[n, g, t, p]) \cdot r)

    Between pixels x is interpolated as in `deform_conv`.  All channels of a group use
    the same positions and weights; channels do not mix.

    Letters: as in `deform_conv`; a weights, r offset_scale, h = floor(d(k-1)/2) the
    centre of the window, about which r scales the taps and their offsets; T taps, G
    groups.

    Args:
      x: input, (N, C, \*space), or (C, \*space) without a batch; floating.
      offset: (N, G*T*d, \*out): group slowest, then tap, then axis.  As in the original
        operators and unlike in `deform_conv`, the LAST axis comes first (dx before dy),
        and the last axis is also the slowest one of the taps.
      weights: (N, G*T, \*out), in the order of the offset's groups and taps.
      kernel_size: the window: one int per spatial axis, or an int for a square one in
        two dimensions.
      stride, padding, dilation: as in `conv`.
      offset_scale: r; with 1 and zero offsets the taps are those of a convolution.
      remove_center: whether to omit the centre tap of a window of odd size; T is then
        one less.
      softmax: whether to apply a softmax to the weights, over the taps of a group.
      layout: "channels_first", or "channels_last": x (N, \*space, C), offset and
        weights (N, \*out, channels).

    Returns:
      (N, C, \*out), with out as in `conv`.

    Raises:
      ValueError: shapes, sizes or options that do not fit.
      TypeError: operands of different types, or not floating.

    Example:
      >>> import jax.numpy as jnp, jaxconv
      >>> x = jnp.array([[0.0, 10.0, 20.0, 30.0]])  # one channel, no batch
      >>> offset = jnp.zeros((3, 4)).at[2, 1].set(0.5)  # the last tap of position 1
      >>> jaxconv.deform_aggregate(x, offset, jnp.ones((3, 4)), (3,), padding=1)
      Array([[10., 35., 60., 50.]], dtype=float32)

    Elsewhere: OpenGVLab's DCNv3 and DCNv4, for CUDA, with channels last and two
    dimensions.  DCNv3's layer applies the softmax itself.  DCNv4 packs offset and
    weights into one array, per group 2*T offsets followed by T weights.

    Source: Wang et al., arXiv:2211.05778; Xiong et al., arXiv:2401.06197.
    """
    given = read.arrays(x=x, offset=offset, weights=weights)
    window, arranged = _window(kernel_size), can.layout(layout)
    has_batch = can.has_batch(given.x.shape, len(window))
    image, moves, factor = read.with_batch(
        has_batch, given.x, given.offset, given.weights
    )
    geometry, taps, groups = _setup(
        *(given.x.shape, image.shape, moves.shape, factor.shape, window, arranged),
        *((stride, padding, dilation), remove_center),
    )
    scale = _number("offset_scale", offset_scale)

    def per_sample(v: jax.Array, parts: int) -> list[jax.Array]:
        """(n, taps, positions, groups) for each part."""
        v = read.per_sample(v, (groups, len(taps), parts), geometry, arranged)
        return [v[..., part, :].swapaxes(1, 2) for part in range(parts)]

    with jax.named_scope("jaxconv.deform_aggregate"):
        image = jnp.moveaxis(image, 1, -1) if arranged.first else image
        places = _places(geometry, taps, per_sample(moves, len(window))[::-1], scale)
        (shares,) = per_sample(factor, 1)
        shares = jax.nn.softmax(shares, axis=1) if softmax else shares
        y = sum_terms(Frame(geometry.input, groups), image, places, shares)
        y = y.reshape(image.shape[0], *geometry.output, image.shape[-1])
        y = jnp.moveaxis(y, -1, 1) if arranged.first else y
    return y if has_batch else y[0]


def _setup(
    shape: Ints,
    image: Ints,
    offset: Ints,
    weights: Ints,
    window: Ints,
    layout: Layout,
    steps: tuple[Any, Any, Any],
    remove_center: bool,
) -> tuple[Geometry, list[Ints], int]:
    """The geometry, the taps in the order of `_taps`, and the number of groups."""
    space, c = layout.space(image), image[layout.channel]
    can.space_not_empty(space, (image[0], c), ("x.shape", shape))
    windows = Windows.read(len(window), *steps, "zeros", "kernel_size")
    geometry, _ = windows.conv(space, window)
    read.within_limits("output", geometry, layout, image)
    taps = _taps(geometry, remove_center)
    factor = ("weights", weights)
    groups = read.check_offset(offset, factor, image[0], c, geometry, len(taps), layout)
    read.countable("x.shape", shape, Frame(space, groups))
    return geometry, taps, groups


def sum_terms(
    frame: Frame, x: jax.Array, places: list[jax.Array], factor: jax.Array
) -> jax.Array:
    """Sums over terms: (n, terms, samples, groups) to (n, samples, groups, c)."""
    index, shares = frame.locate(places, factor)
    n, terms, samples, groups = index.shape
    flat = samples * groups
    y = sample(
        frame.rows(x),
        shares.reshape(n, len(frame.deltas), terms, flat),
        index.reshape(n, terms, flat),
        frame.deltas,
    )
    return y.reshape(n, samples, groups, y.shape[-1])


def _window(kernel_size: Any) -> Ints:
    ndim = len(kernel_size) if can.is_sequence(kernel_size) else 2
    if ndim == 0:
        rule = "is empty"
        can.fail("kernel_size", kernel_size, rule, "Write one int per spatial axis")
    return can.ints("kernel_size", kernel_size, ndim, 1)


def _taps(geometry: Geometry, remove_center: bool) -> list[Ints]:
    """The taps in the order of the original operators: the last axis is the slowest."""
    ranges = (range(k) for k in reversed(geometry.kernel))
    taps = [tap[::-1] for tap in itertools.product(*ranges)]
    if not remove_center:
        return taps
    center = tuple(k // 2 for k in geometry.kernel)
    if any(k % 2 == 0 for k in geometry.kernel) or len(taps) == 1:
        rule = f"needs a window with a middle and more, which {geometry.kernel} is not"
        can.fail("remove_center", remove_center, rule, "Choose odd sizes above 1")
    return [tap for tap in taps if tap != center]


def _places(
    geometry: Geometry, taps: list[Ints], moved: list[jax.Array], scale: float
) -> list[jax.Array]:
    """One array of positions per axis, (n, taps, positions, groups), like offsets."""
    places: list[jax.Array] = []
    for number, (axis, offset) in enumerate(zip(geometry.axes, moved, strict=True)):
        middle = axis.d * (axis.k - 1) // 2
        start = jnp.arange(axis.o) * axis.s - axis.lo + middle
        along = [1] * geometry.ndim
        along[number] = axis.o
        base = jnp.broadcast_to(start.reshape(along), geometry.output).ravel()
        tap = np.array([tap[number] * axis.d - middle for tap in taps], offset.dtype)
        from_middle = (tap[None, :, None, None] + offset) * scale
        places.append(base.astype(offset.dtype)[None, None, :, None] + from_middle)
    return places


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        can.fail(name, value, "is not a number", "Write a float", TypeError)
    if not math.isfinite(value):
        can.fail(name, value, "is not finite", "Write a finite number")
    return float(value)
