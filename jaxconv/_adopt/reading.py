"""Reads a convolution of lax as one of the three roles.

A convolution of lax relates, on each spatial axis, an index m of lhs, t of rhs and p of
out by

    p * window_stride + t * rhs_dilation - m * lhs_dilation = low padding,

and our trilinear form relates an index of the input, of a tap and of a position by

    input = position * stride + tap * dilation - low.

The two have the same form.  Any of lhs, rhs and out whose factor is 1 can be the input,
and either of the other two the kernel; an operand whose index has the wrong sign is
flipped.  So the gradients that JAX writes as convolutions are recognised as gradients:
a dilated lhs as the role "input", a window as large as an image as the role "kernel",
and batch groups as groups.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from jaxconv._core.geometry import Geometry, Ints, output_size, span
from jaxconv._core.spec import GROUPED, LETTERS, Case, Layout, Role, Shape, Spec
from jaxconv._plan.choose import in_either_layout

Side = Literal["lhs", "rhs", "out"]
SIDES: tuple[Side, ...] = get_args(Side)
LAYOUTS = (Layout.LAST, Layout.FIRST)  # lowerings' first
LHS, RHS, OUT = SIDES
# Letters of lax's operands, in the order of ConvDimensionNumbers; each is in two.
LAX_LETTERS: dict[Side, str] = {"lhs": "bi", "rhs": "oi", "out": "bo"}


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution of lax in plain ints."""

    lhs: Shape
    rhs: Shape
    axes: tuple[Ints, Ints, Ints]  # of LAX_LETTERS, then of space, by side
    lhs_dilation: Ints
    rhs_dilation: Ints
    window_strides: Ints
    padding: tuple[tuple[int, int], ...]
    feature_groups: int
    batch_groups: int

    @property
    def groups(self) -> int:
        return self.feature_groups * self.batch_groups

    @property
    def ndim(self) -> int:
        return len(self.padding)

    @property
    def low(self) -> Ints:
        return tuple(low for low, _ in self.padding)

    def names(self, side: Side) -> dict[Any, int]:
        """The axis of each letter and of each number of a spatial axis."""
        tokens = [*LAX_LETTERS[side], *range(self.ndim)]
        return dict(zip(tokens, self.axes[SIDES.index(side)], strict=True))

    def shape(self, side: Side) -> Shape:
        if side != "out":
            return self.lhs if side == "lhs" else self.rhs
        lhs, rhs = self.names("lhs"), self.names("rhs")
        sizes: dict[Any, int] = dict(enumerate(self.space("out")))
        sizes["b"] = self.lhs[lhs["b"]] // self.batch_groups
        sizes["o"] = self.rhs[rhs["o"]]
        names = self.names("out")
        return tuple(sizes[name] for name in sorted(names, key=names.__getitem__))

    def space(self, side: Side) -> Shape:
        if side != "out":
            names, shape = self.names(side), self.shape(side)
            return tuple(shape[names[n]] for n in range(self.ndim))
        return tuple(
            max(0, output_size((i - 1) * dilated + 1 if i else 0, k, s, d, *pads))
            for i, k, dilated, d, s, pads in zip(
                self.space("lhs"),
                self.space("rhs"),
                self.lhs_dilation,
                self.rhs_dilation,
                self.window_strides,
                self.padding,
                strict=True,
            )
        )

    def points(self, side: Side) -> int:
        return math.prod(self.space(side))

    def factor(self, side: Side) -> Ints:
        """The factor of a side's index; 1 for an axis of one element."""
        steps = (self.lhs_dilation, self.rhs_dilation, self.window_strides)
        pairs = zip(steps[SIDES.index(side)], self.space(side), strict=True)
        return tuple(1 if size == 1 else step for step, size in pairs)

    def grouped(self, side: Side) -> str:
        """The letter of a side that shares its axis with the groups."""
        if side == "lhs":
            return "b" if self.batch_groups > 1 else "i"
        return "o"

    def tokens(self, side: Side) -> list[Any]:
        """A side's axes in order: letters, numbers for space, "g" before a group's."""
        names = self.names(side)
        order = sorted(names, key=names.__getitem__)
        at = order.index(self.grouped(side))
        return [*order[:at], "g", *order[at:]]

    def sizes(self, side: Side) -> dict[Any, int]:
        """The size of each token."""
        shape = self.shape(side)
        found = {name: shape[axis] for name, axis in self.names(side).items()}
        found["g"] = self.groups
        found[self.grouped(side)] //= self.groups
        return found


class Move(NamedTuple):
    """The steps from lax's order of axes to ours: split, permute, merge, reverse."""

    lax: Shape
    split: Shape  # with a separate axis for groups
    permutation: Shape
    merged: Shape  # the contraction's shape
    turned: Shape  # the axes of that shape to be reversed

    @property
    def in_order(self) -> bool:
        """Whether the elements stay in order."""
        kept = [axis for axis in self.permutation if self.split[axis] != 1]
        return kept == sorted(kept)

    @property
    def moved(self) -> int:
        """The number of elements that a copy moves; 0 if the order does not change."""
        known = (size for size in self.split if type(size) is int)  # not symbolic
        return 0 if self.in_order else math.prod(known)


@dataclass(frozen=True, slots=True)
class Reading:
    """A convolution of lax as one contraction."""

    spec: Spec
    swapped: bool  # rhs is the contraction's first operand
    moves: dict[Side, Move]

    @property
    def case(self) -> Case:
        """The case for the plan; its operands are given the result's type here."""
        order: tuple[Side, Side] = (RHS, LHS) if self.swapped else (LHS, RHS)
        shapes = (self.moves[side].merged for side in order)
        return Case(self.spec, self.spec.sizes(*shapes), self.spec.dtype)

    @property
    def moved(self) -> int:
        return sum(move.moved for move in self.moves.values())


def read(conv: Convolution, dtype: np.dtype, precision: Any) -> Reading | None:
    """The cheapest reading; None if there is none or an operand is empty.

    A reading with non-overlapping windows is best, because it is one product.
    Otherwise the kernel is the side with fewer elements; ties prefer rhs.  If the
    lowering can compute in either layout, the layout is the one that moves fewer
    elements.  All other lowerings need channels last, and there the reversal of the
    kernel cancels with their own.
    """
    if any(0 in conv.shape(side) for side in SIDES):
        return None
    image = _image(conv)
    if image is None:
        return None
    others: list[Side] = [side for side in (RHS, OUT, LHS) if side != image]
    readings: list[tuple[tuple[int, ...], Reading]] = []
    for place, (kernel, positions) in enumerate((others, others[::-1])):
        overlap = _overlap(conv, kernel, positions)
        taps = (conv.points(kernel), place) if overlap else (0, 0)
        side: dict[Role, Side] = {
            "input": image,
            "kernel": kernel,
            "output": positions,
        }
        reading = _laid_out(conv, side, overlap, dtype, precision)
        readings.append(((overlap, *taps, reading.moved), reading))
    return min(readings, key=lambda entry: entry[0])[1]


def _image(conv: Convolution) -> Side | None:
    """The side with factor 1 and most elements: the work is the product of the others.

    Ties prefer lhs, unless another side has a single channel per group.
    """
    ones = (1,) * conv.ndim
    images: list[Side] = [s for s in (LHS, OUT, RHS) if conv.factor(s) == ones]
    if not images:
        return None
    best = max(images, key=lambda side: (conv.points(side), _single(conv, side)))
    dense = math.prod(conv.points(side) for side in SIDES if side != best)
    return best if dense <= conv.points("rhs") * conv.points("out") else None


def _single(conv: Convolution, side: Side) -> bool:
    """Whether a side as the image has several groups of one channel (depthwise)."""
    channels = conv.sizes(side)[conv.grouped(side)]
    return conv.groups > 1 and channels == 1 and side != "rhs"


def _laid_out(
    conv: Convolution,
    side: dict[Role, Side],
    overlap: bool,
    dtype: np.dtype,
    precision: Any,
) -> Reading:
    """The reading in the cheaper layout, if its lowering can compute in either."""
    last, first = (_arranged(conv, side, at, dtype, precision) for at in LAYOUTS)
    least = min(last, first, key=lambda reading: reading.moved)
    either = not overlap or in_either_layout(least.case)
    return least if either else last


def _overlap(conv: Convolution, kernel: Side, positions: Side) -> bool:
    """Whether the windows overlap, for one side as the kernel, one as positions."""
    spans = map(span, conv.space(kernel), conv.factor(kernel))
    strides = zip(conv.factor(positions), conv.space(positions), spans, strict=True)
    return any(count > 1 and stride < width for stride, count, width in strides)


def _arranged(
    conv: Convolution,
    side: dict[Role, Side],
    layout: Layout,
    dtype: np.dtype,
    precision: Any,
) -> Reading:
    as_role: dict[Side, Role] = {name: role for role, name in side.items()}
    turned, low = _turned(conv, side)
    geometry = Geometry(
        *(conv.space(side[role]) for role in ("input", "kernel", "output")),
        stride=conv.factor(side["output"]),
        dilation=conv.factor(side["kernel"]),
        low=low,
    )
    role = as_role["out"]
    spec = Spec(role, geometry, conv.groups, layout, dtype, precision)
    moves: dict[Side, Move] = {
        s: _move(conv, s, _target(spec, side, as_role[s]), s == turned) for s in SIDES
    }
    return Reading(spec, as_role["rhs"] == spec.operands[0], moves)


def _turned(conv: Convolution, side: dict[Role, Side]) -> tuple[Side | None, Ints]:
    """The side to reverse, and the low padding after that.

    If lhs is the image, m = p*s + t*d - low needs no reversal.  Otherwise the index of
    rhs or out has a minus sign; replaced by q = (size - 1) - index, it has a plus sign.
    """
    image = side["input"]
    if image == "lhs":
        return None, conv.low
    turned: Side = "rhs" if image == "out" else "out"
    each = zip(conv.factor(turned), conv.space(turned), conv.low, strict=True)
    return turned, tuple(factor * (size - 1) - low for factor, size, low in each)


def _target(spec: Spec, side: dict[Role, Side], role: Role) -> list[Any]:
    """The tokens of an operand of the contraction, in order."""
    names: dict[Any, Any] = {letter: _shared(side, letter) for letter in LETTERS[role]}
    order = list(spec.arrange(role, names, range(spec.ndim)))
    at = order.index(names[GROUPED[role]])
    return [*order[:at], "g", *order[at:]]


def _shared(side: dict[Role, Side], letter: str) -> str:
    """lax's name of a letter: the name that the two operands with it share."""
    both = (LAX_LETTERS[side[role]] for role, has in LETTERS.items() if letter in has)
    (name,) = set.intersection(*map(set, both))
    return name


def _move(conv: Convolution, side: Side, target: Sequence[Any], turn: bool) -> Move:
    tokens, sizes = conv.tokens(side), conv.sizes(side)
    merged = [
        sizes[token] * (conv.groups if before == "g" else 1)
        for before, token in zip(["", *target], target, strict=False)
        if token != "g"
    ]
    space = [token for token in target if token != "g"]
    turned = tuple(n for n, token in enumerate(space) if turn and type(token) is int)
    return Move(
        conv.shape(side),
        tuple(sizes[token] for token in tokens),
        tuple(tokens.index(token) for token in target),
        tuple(merged),
        turned,
    )
