"""Where a deformable convolution samples: the regular taps, and the moved ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from jaxconv._border import arguments as can
from jaxconv._border.arguments import IntLike, PaddingLike
from jaxconv.viz._frames import Frame
from jaxconv.viz._marks import Dot, Line, Mark
from jaxconv.viz._photo import Shown, show
from jaxconv.viz._scene import Scene
from jaxconv.viz._setting import Place, Setting, read_setting


def deform(
    photo: Any,
    offset: Any,
    kernel: IntLike,
    *,
    positions: Sequence[tuple[int, int]] | None = None,
    stride: IntLike = 1,
    padding: PaddingLike = 0,
    dilation: IntLike = 1,
) -> Scene:
    r"""Where a deformable convolution samples a photo, around chosen outputs.

    .. math:: \mathit{place}[p, t] = p \cdot s + t \cdot d - \mathit{lo}
        + \mathit{offset}[p, t]

    Hollow points are the regular taps, filled ones the places that are sampled.

    Args:
      photo: grey pixels (row, column), 0 black to 1 white: the image convolved.
      offset: (2 * taps, rows, columns) of the output's size, in pixels: dy and dx of
        each tap in turn, taps row by row.
      kernel: window sizes.
      positions: outputs (row, column), one frame for each; None takes the middle one.
      stride, padding, dilation: as in `jaxconv.conv`.

    Returns:
      A `Scene`.

    Raises:
      ValueError: shapes that do not fit, positions outside the output.
      TypeError: arguments of the wrong kind.

    Example:
      >>> import numpy as np
      >>> from jaxconv import viz
      >>> photo = np.linspace(0, 1, 64).reshape(8, 8)
      >>> offset = np.full((18, 6, 6), 0.5)
      >>> print(viz.deform(photo, offset, 3).frames[0].caption)
      output[3, 3]: 9 taps, moved by up to 0.7 pixels

    Elsewhere: the offsets are those of `torchvision.ops.deform_conv2d`.

    Source: Dai et al., "Deformable convolutional networks", arXiv:1703.06211.
    """
    shown = show(photo)
    window = can.ints("kernel", kernel, 2, 1)
    setting = read_setting(
        False,
        (shown.rows, shown.columns),
        window,
        stride=stride,
        padding=padding,
        dilation=dilation,
        padding_mode="zeros",
    )
    moves = _moves(offset, setting)
    chosen = [(int(r), int(c)) for r, c in positions or [_middle(setting)]]
    size = setting.geometry.output
    for place in chosen:
        if not all(0 <= c < n for c, n in zip(place, size, strict=True)):
            rule = f"is not a position of the output, whose size is {size}"
            can.fail("positions", place, rule, "Choose positions inside")
    frames = tuple(_frame(shown, setting, place, moves) for place in chosen)
    legend = (("regular", "regular tap"), ("point", "sampling point"))
    title = "deformable sampling on a photo"
    height = shown.mark.height + 8
    still = (len(frames) - 1,)
    return Scene(title, setting.summary, legend, height, (shown.mark,), frames, still)


def _moves(offset: Any, setting: Setting) -> np.ndarray:
    """(rows, columns, *kernel, 2), from (2 * taps, rows, columns) with dy first."""
    moves = np.asarray(offset, float)
    geometry = setting.geometry
    wanted = (2 * geometry.taps, *geometry.output)
    if moves.shape != wanted:
        rule = (
            f"must be {wanted}: dy and dx of each tap in turn, then the output's size"
        )
        can.fail(
            "offset.shape", moves.shape, rule, "Give one offset per tap and output"
        )
    pairs = moves.reshape(*geometry.kernel, 2, *geometry.output)
    return np.moveaxis(pairs, (3, 4), (0, 1))


def _middle(setting: Setting) -> Place:
    rows, columns = setting.geometry.output
    return rows // 2, columns // 2


def sampled(
    setting: Setting, moves: np.ndarray, position: Place
) -> Iterator[tuple[Place, tuple[float, float]]]:
    """The regular place p*s + t*d - lo of each tap, and where its offset moves it."""
    for read in setting.reads(position):
        dy, dx = moves[position][read.tap]
        row, column = read.place
        yield read.place, (row + float(dy), column + float(dx))


def _frame(shown: Shown, setting: Setting, position: Place, moves: np.ndarray) -> Frame:
    points = list(sampled(setting, moves, position))
    marks: list[Mark] = []
    for regular, moved in points:
        start, end = shown.at(*regular), shown.at(*moved)
        marks += [Line(*start, *end, "halo"), Line(*start, *end, "path")]
    marks += [Dot(*shown.at(*regular), 3, "regular") for regular, _ in points]
    marks += [Dot(*shown.at(*moved), 4, "point") for _, moved in points]
    farthest = max(float(np.hypot(*move)) for move in moves[position].reshape(-1, 2))
    caption = f"output[{setting.index(position)}]: {len(points)} taps"
    return Frame(tuple(marks), f"{caption}, moved by up to {farthest:.1f} pixels")
