"""Which input channels each output channel reads, and what kernels that takes."""

from __future__ import annotations

import math
from typing import NamedTuple

from jaxconv._border import arguments as can
from jaxconv._border.arguments import IntLike
from jaxconv._core.geometry import Ints
from jaxconv.viz._frames import Frame
from jaxconv.viz._layout import CELL, LEAST_CELL
from jaxconv.viz._marks import MARGIN, WIDTH, Box, Cell, Line, Mark, Text
from jaxconv.viz._scene import Scene, stack
from jaxconv.viz._setting import times
from jaxconv.viz._stacks import HEIGHT, Stacks

TOP, BOTTOM = HEIGHT + 34.0, HEIGHT + 130.0  # of the two rows of channels
BETWEEN = 0.6  # cells between groups


def channels(
    inputs: int,
    outputs: int,
    *,
    kernel: IntLike = (3, 3),
    transposed: bool = False,
    groups: int = 1,
) -> Scene:
    r"""Which input channels each output channel is added up from.

    .. math:: y_o = \sum_{c \,\in\, \mathrm{group}(o)} w_{o,c} * x_c

    Above, the maps as stacks; below, two rows of channels and a line for every kernel
    slice, one frame for each output.  With groups there are no lines between groups;
    depthwise there is one for each.

    Args:
      inputs, outputs: numbers of channels, both multiples of groups.
      kernel: window sizes, for the number of weights.
      transposed: write the kernel's shape as `conv_transpose` has it, inputs first.
      groups: into how many groups the channels are split.

    Returns:
      A `Scene`.

    Raises:
      ValueError: channels that groups do not divide, or too many to be seen.
      TypeError: anything that is not an int.

    Example:
      >>> from jaxconv import viz
      >>> print(viz.channels(4, 6, groups=2).subtitle)
      kernel (6, 2, 3, 3): 108 weights, without groups 216

    Elsewhere: the same rule in every framework; Flax writes `feature_group_count`.

    Source: the sums of the definition, channel by channel.
    """
    length = len(kernel) if can.is_sequence(kernel) else 1  # type: ignore[arg-type]
    window = can.ints("kernel", kernel, length, 1)
    return _checked(inputs, outputs, groups, window, transposed).scene()


def _checked(
    inputs: int, outputs: int, groups: int, window: Ints, transposed: bool
) -> _Channels:
    can.integer("groups", groups, 1)
    for name, value in (("inputs", inputs), ("outputs", outputs)):
        if can.integer(name, value, 1) % groups:
            rule = f"cannot be split into groups={groups}"
            can.fail(name, value, rule, f"Choose a multiple of {groups}")
    return _Channels(inputs, outputs, groups, window, transposed)


def with_channels(
    scene: Scene,
    pair: tuple[int, int] | None,
    groups: int,
    window: Ints,
    transposed: bool = False,
) -> Scene:
    """A scene of one channel, with the diagram of all channels below if given."""
    groups = can.integer("groups", groups, 1)
    if pair is None:
        if groups != 1:
            rule = "splits channels, and none are given"
            can.fail("groups", groups, rule, "Give channels=(inputs, outputs) too")
        return scene
    inputs, outputs = can.ints("channels", pair, 2, 1)
    below = _checked(inputs, outputs, groups, window, transposed).scene()
    told = f"{inputs} to {outputs} channels"
    subtitle = f"{scene.subtitle}, {told}, groups {groups}"
    return stack(scene, below, scene.title, subtitle)


class _Channels(NamedTuple):
    inputs: int
    outputs: int
    groups: int
    window: Ints
    transposed: bool = False

    @property
    def kernel(self) -> Ints:
        pair = (self.outputs, self.inputs)
        first, second = pair[::-1] if self.transposed else pair
        return (first, second // self.groups, *self.window)

    @property
    def kind(self) -> str:
        if self.groups == 1:
            return ""
        depthwise = self.groups == self.inputs
        return ", depthwise" if depthwise else f", {self.groups} groups"

    def group(self, out: int) -> int:
        return out // (self.outputs // self.groups)

    def read(self, out: int) -> range:
        """The input channels that an output channel adds over."""
        width = self.inputs // self.groups
        return range(self.group(out) * width, (self.group(out) + 1) * width)

    def scene(self) -> Scene:
        above, below = self._row(self.inputs, TOP), self._row(self.outputs, BOTTOM)
        inputs = [Cell(*at, "input", str(c)) for c, at in enumerate(above)]
        outputs = [Cell(*at, "output", str(o)) for o, at in enumerate(below)]
        links = [
            _link(inputs[c], outputs[o], "beam")
            for o in range(self.outputs)
            for c in self.read(o)
        ]
        height = BOTTOM + below[0][2] + 26
        words = Text(MARGIN, TOP - 13, f"{self.inputs} input channels")
        more = Text(MARGIN, height - 3, f"{self.outputs} output channels")
        base: tuple[Mark, ...] = (*self._stacks.labels, words, more, *links)
        base += (*inputs, *outputs)
        base += (*self._brackets(inputs), *self._brackets(outputs))
        frames = tuple(self._frame(inputs, outputs, o) for o in range(self.outputs))
        title = f"channels: {self.inputs} to {self.outputs}{self.kind}"
        still = (min(1, self.outputs - 1),)
        return Scene(title, self._weights(), (), height, base, frames, still)

    @property
    def _stacks(self) -> Stacks:
        return Stacks(self.inputs, self.inputs // self.groups, self.outputs)

    def _weights(self) -> str:
        shape, dense = self.kernel, self.outputs * self.inputs * math.prod(self.window)
        said = f"kernel ({', '.join(map(str, shape))}): {math.prod(shape)} weights"
        return said if self.groups == 1 else f"{said}, without groups {dense}"

    def _row(self, count: int, y: float) -> list[tuple[float, float, float]]:
        """Left, top and size of each channel's square."""
        columns = count + (self.groups - 1) * BETWEEN
        size = min(CELL, (WIDTH - 2 * MARGIN - 8) / columns)
        if size < LEAST_CELL:
            rule = "are more than can be seen in a picture"
            can.fail("channels", count, rule, "Draw fewer channels or groups")
        x = (WIDTH - columns * size) / 2
        each = count // self.groups
        return [(x + (c + c // each * BETWEEN) * size, y, size) for c in range(count)]

    def _brackets(self, cells: list[Cell]) -> list[Box]:
        """An outline around each group."""
        each = len(cells) // self.groups
        return [
            Box(
                cells[g * each].x - 3,
                cells[0].y - 3,
                each * cells[0].size + 6,
                cells[0].size + 6,
                "beam",
            )
            for g in range(self.groups)
        ]

    def _frame(self, inputs: list[Cell], outputs: list[Cell], out: int) -> Frame:
        read = self.read(out)
        marks: list[Mark] = self._stacks.marks(read, out)
        marks += [_link(inputs[c], outputs[out], "arrow") for c in read]
        marks += [inputs[c]._replace(role="input-lit") for c in read]
        marks.append(outputs[out]._replace(role="output-lit"))
        which = f"channel{'s' * (len(read) > 1)} {read[0]}"
        which += f" to {read[-1]}" if len(read) > 1 else ""
        size = times((len(read), *self.window))
        return Frame(tuple(marks), f"output {out}: input {which}, kernel {size}")


def _link(start: Cell, end: Cell, role: str) -> Line:
    x1, x2 = start.x + start.size / 2, end.x + end.size / 2
    return Line(x1, start.y + start.size, x2, end.y, role)
