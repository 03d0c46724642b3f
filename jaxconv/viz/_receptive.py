"""How the receptive field of one unit grows through layers, on a photo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxconv._border import arguments as can
from jaxconv._ops.arithmetic import ReceptiveField, receptive_field
from jaxconv.viz._frames import Frame
from jaxconv.viz._marks import Box, Cell, Line, Mark
from jaxconv.viz._photo import Shown, show
from jaxconv.viz._scene import Scene


def receptive(photo: Any, layers: Sequence[Mapping[str, int]]) -> Scene:
    r"""How the receptive field of a unit grows through layers, on a photo.

    .. math:: \mathit{size} = 1 + \sum_l d_l (k_l - 1) \prod_{m<l} s_m

    One square for each layer: what the unit sees that lies nearest to the middle.  It
    is cut off at the photo's edges, where the layer sees padding.  Of a photo that is
    much larger only the middle is shown.

    Args:
      photo: grey pixels (row, column), 0 black to 1 white: the first layer's input.
      layers: as in `jaxconv.receptive_field`, the same along both axes.

    Returns:
      A `Scene` with a frame for each layer.

    Raises:
      ValueError: as `jaxconv.receptive_field`, a photo of another shape, no layers.
      TypeError: a layer that is not a mapping of ints.

    Example:
      >>> import numpy as np
      >>> from jaxconv import viz
      >>> photo = np.linspace(0, 1, 1024).reshape(32, 32)
      >>> layers = [dict(kernel=7, stride=2, padding=3), dict(kernel=3)]
      >>> print(viz.receptive(photo, layers).frames[1].caption)
      layer 2: each unit sees 11×11 pixels, 2 apart

    Elsewhere: tools for TensorFlow print sizes, and are no longer kept.

    Source: Araujo, Norris and Sim, "Computing receptive fields of convolutional neural
    networks", Distill 2019.
    """
    receptive_field(layers)  # every layer is checked before the first is drawn
    if not layers:
        can.fail("layers", layers, "is empty", "Write [dict(kernel=3), ...]")
    whole = show(photo, most=FRAME)
    fields = [receptive_field(layers[: n + 1]) for n in range(len(layers))]
    most = AROUND * max(field.size for field in fields)
    sizes = whole.rows, whole.columns
    cuts = [max(0, (size - most) // 2) for size in sizes]
    kept = [slice(cut, size - cut) for cut, size in zip(cuts, sizes, strict=True)]
    shown = show(np.asarray(photo)[tuple(kept)], most=FRAME)
    drawn = [
        _field(shown, index, field, cuts, len(fields))
        for index, field in enumerate(fields)
    ]
    frames: list[Frame] = []
    for index, field in enumerate(fields):
        # The smallest square last, over those that surround it.
        so_far = [mark for marks in drawn[index::-1] for mark in marks]
        words = f"layer {index + 1}: each unit sees {field.size}×{field.size} pixels"
        frames.append(Frame(tuple(so_far), f"{words}, {field.stride} apart"))
    title = f"receptive field after {len(layers)} layers"
    last = (len(frames) - 1,)
    height = shown.mark.height + 8
    words = "one square for each layer, a line from its number"
    if any(cuts):
        words = f"one square for each layer, amid {sizes[0]}×{sizes[1]} pixels"
    return Scene(title, words, (), height, (shown.mark,), tuple(frames), last)


AROUND = 3  # times the largest square is what is shown of the photo
FRAME = 268.0  # side of the photo: numbers stand to the right of it
TAG = 17.0  # side of the square with a layer's number
COLOURS = 6  # that layers take turns with


def _field(
    shown: Shown, index: int, field: ReceptiveField, cuts: Sequence[int], count: int
) -> list[Mark]:
    """The unit whose field lies nearest to the photo's middle, cut at the edges.

    Its number stands beside the photo, with a line to the square's right side; the
    lines do not cross, as larger squares reach higher.
    """
    sizes = shown.rows, shown.columns
    (top, bottom), (left, right) = (
        _stretch(size, cut, field) for size, cut in zip(sizes, cuts, strict=True)
    )
    photo = shown.mark
    x, y = photo.x + left * shown.scale, photo.y + top * shown.scale
    width, height = (right - left) * shown.scale, (bottom - top) * shown.scale
    role = f"layer-{index % COLOURS}"
    # Numbers from the last layer at the top to the first one in the middle.
    step = min(TAG + 4, (photo.height / 2 - TAG) / max(1, count - 1))
    down = photo.y + photo.height / 2 - step * index
    start = x + width, y + min(height / 2, 3.0)
    tag = Cell(photo.x + photo.width + 26, down - TAG / 2, TAG, role, str(index + 1))
    bend = photo.x + photo.width + 8
    return [
        Box(x, y, width, height, "halo"),
        Box(x, y, width, height, f"{role}-edge"),
        Line(start[0], start[1], bend, down, f"{role}-edge"),
        Line(bend, down, tag.x, down, f"{role}-edge"),
        tag,
    ]


def _stretch(size: int, cut: int, field: ReceptiveField) -> tuple[int, int]:
    """First pixel and one past the last along one axis, inside what is shown.

    As many pixels as ``cut`` of the photo lie before it, and as many behind.
    """
    middle = cut + (size - field.size) / 2
    unit = round((middle - field.start) / field.stride)
    start = field.start + unit * field.stride - cut
    return max(0, start), min(size, start + field.size)
