"""How many windows of a transposed convolution meet in each of its outputs."""

from __future__ import annotations

import itertools
import math

import numpy as np

from jaxconv._border.arguments import IntLike, PaddingLike
from jaxconv._core.geometry import Axis
from jaxconv.viz._frames import Frame
from jaxconv.viz._layout import Panel, arrange
from jaxconv.viz._operands import read_operands
from jaxconv.viz._scene import Scene
from jaxconv.viz._setting import Setting, read_setting
from jaxconv.viz._theme import STEPS


def overlap(
    input: int | tuple[int, ...],
    kernel: int | tuple[int, ...],
    *,
    stride: IntLike = 1,
    padding: PaddingLike = 0,
    output_padding: IntLike = 0,
    dilation: IntLike = 1,
) -> Scene:
    r"""How many windows of a transposed convolution add to each of its outputs.

    .. math:: n[q] = |\{(p, t) : p s + t d - \mathit{lo} = q\}|

    Where neighbours differ, equal weights leave a checkerboard: at dilation 1 unless
    the stride divides the kernel.

    Args:
      input: spatial size of the input, an int or a pair.
      kernel: window sizes.
      stride, padding, output_padding, dilation: as in `jaxconv.conv_transpose`.

    Returns:
      A `Scene` of one frame, with the counts in its cells.

    Raises:
      ValueError: as `jaxconv.conv_transpose`, and sizes that a picture has no room for.
      TypeError: arguments of the wrong kind.

    Example:
      >>> from jaxconv import viz
      >>> print(viz.overlap((4, 4), (3, 3), stride=2).frames[0].caption)
      inside, 1, 2 or 4 windows: a checkerboard

    Elsewhere: no counterpart.

    Source: Odena, Dumoulin and Olah, "Deconvolution and checkerboard artifacts",
    Distill 2016.
    """
    given = read_operands(input, kernel)
    setting = read_setting(
        True,
        given.size,
        given.kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        padding_mode="zeros",
        output_padding=output_padding,
        output_size=None,
    )
    counts = counted(setting)
    size = setting.image_size
    panel = Panel(f"output {size}: windows over each", (0, 0), *counts.shape)
    page = arrange(panel, flat=False)
    (grid,) = page.grids
    most = int(counts.max()) or 1
    cells = tuple(
        grid.put(place, f"heat-{int(count) * (STEPS - 1) // most}", str(count))
        for place, count in zip(setting.elements, counts.ravel(), strict=True)
    )
    inside = inner_counts(setting)
    even = len(inside) == 1
    told = " or ".join(map(str, inside)).replace(" or ", ", ", len(inside) - 2)
    caption = (
        f"inside, {told} windows everywhere"
        if even
        else (f"inside, {told} windows: a checkerboard")
    )
    title = f"overlap: {setting.windows_size} to {size}"
    frames = (Frame(cells, caption),)
    return Scene(
        title, setting.summary, (), page.height, tuple(page.labels), frames, (0,)
    )


def counted(setting: Setting) -> np.ndarray:
    """Pairs of a position and a tap that add to each element of the result."""
    counts = np.zeros(setting.geometry.input, int)
    for position in setting.positions:
        for read in setting.reads(position):
            if read.source is not None:
                counts[read.source] += 1
    return counts


def inner_counts(setting: Setting) -> list[int]:
    """The counts far from every edge: the taps that share a remainder of the stride."""

    def shares(axis: Axis) -> list[int]:
        rests = [t * axis.d % axis.s for t in range(axis.k)]
        return [rests.count(rest) for rest in range(axis.s)]

    pairs = itertools.product(*map(shares, setting.axes))
    return sorted({math.prod(pair) for pair in pairs})
