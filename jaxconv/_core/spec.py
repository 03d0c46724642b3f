"""What one contraction is: its role, geometry, groups, layout and result type.

The trilinear form of a convolution, for a fixed geometry,

    T(x, w, y) = sum of x[n, g, c, p*s + t*d - lo] * w[g, o, c, t] * y[n, g, o, p]

over batch n, group g, input channel c and output channel o of the group, position p
and tap t.  Leaving one operand open gives one role:

    "output"   x, w -> y   convolution
    "input"    y, w -> x   transposed convolution
    "kernel"   x, y -> w   the gradient with respect to the kernel

Besides space the operands have these axes: ``input`` n and (g, c), ``output`` n and (g,
o), ``kernel`` c and (g, o), where a pair is one axis, group-major.  Every letter but g
is in exactly two of the three operands, which is why the rules in `contract` are short.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np

from jaxconv._core.geometry import Geometry
from jaxconv._core.layout import GROUPED as GROUPED
from jaxconv._core.layout import LETTERS as LETTERS
from jaxconv._core.layout import Layout as Layout
from jaxconv._core.layout import Letter as Letter
from jaxconv._core.layout import Role as Role
from jaxconv._core.layout import Shape as Shape

T = TypeVar("T")

OPERANDS: dict[Role, tuple[Role, Role]] = {
    "output": ("input", "kernel"),
    "input": ("output", "kernel"),
    "kernel": ("input", "output"),
}


class Sizes(NamedTuple):
    """The batch size, and the input and output channels of one group."""

    n: int
    c: int
    o: int


@dataclass(frozen=True, slots=True)
class Spec:
    """The static part of a contraction: hashable, one per jit cache entry."""

    role: Role
    geometry: Geometry
    groups: int
    layout: Layout
    dtype: np.dtype
    precision: Any = None
    lowering: str | None = None
    sharding: Any = None  # of the result, where a transpose rule knows it
    mapped: bool = False  # whether vmap made some of the groups, one per example

    @property
    def operands(self) -> tuple[Role, Role]:
        return OPERANDS[self.role]

    @property
    def ndim(self) -> int:
        return self.geometry.ndim

    @property
    def lead(self) -> int:
        """The number of axes of an image before its spatial ones."""
        return self.layout.lead

    def axis(self, operand: Role, letter: Letter) -> int:
        """The index of a letter's axis in an operand of this layout."""
        return self.layout.axis(operand, letter, self.ndim)

    def space(self, operand: Role) -> Shape:
        return getattr(self.geometry, operand)

    def sizes(self, a: Sequence[int], b: Sequence[int]) -> Sizes:
        """Batch size and channels per group, from the shapes of the two operands."""
        found: dict[str, int] = {}
        for operand, shape in zip(self.operands, (a, b), strict=True):
            for letter in LETTERS[operand]:
                size = shape[self.axis(operand, letter)]
                shared = letter == GROUPED[operand]
                found.setdefault(letter, size // self.groups if shared else size)
        return Sizes(**found)

    def result_shape(self, a: Sequence[int], b: Sequence[int]) -> Shape:
        return self.shape(self.role, self.sizes(a, b))

    def shape(self, operand: Role, sizes: Sizes) -> Shape:
        values: dict[Letter, int] = {"n": sizes.n, "c": sizes.c, "o": sizes.o}
        values[GROUPED[operand]] *= self.groups
        return self.arrange(operand, values, self.space(operand))

    def arrange(
        self, operand: Role, letters: dict[Letter, T], space: Sequence[T]
    ) -> tuple[T, ...]:
        """One entry per axis of an operand, in the order of its axes.

        ``letters`` has the entries of its letters, ``space`` those of its spatial axes.
        """
        axes = list(space)
        for letter in sorted(
            LETTERS[operand], key=lambda name: self.axis(operand, name)
        ):
            axes.insert(self.axis(operand, letter), letters[letter])
        return tuple(axes)

    def image_axes(self, operand: Role) -> Shape:
        """The axes of an image: batch, channels, space."""
        n, channel = (self.axis(operand, letter) for letter in LETTERS[operand])
        return (n, channel, *range(self.lead, self.lead + self.ndim))

    @property
    def kernel_axes(self) -> Shape:
        """The axes of the kernel: outputs, inputs, window."""
        o, c = (self.axis("kernel", letter) for letter in LETTERS["kernel"])
        first = 2 if self.layout.first else 0
        return (o, c, *range(first, first + self.ndim))

    @property
    def as_last(self) -> Spec:
        """The same contraction with channels last."""
        return replace(self, layout=Layout.LAST)

    def to_last(self, operand: Role) -> Shape:
        """Permutation to channels last: (n, *space, c), kernels (*space, c, o)."""
        return self.layout.to_last(operand, self.ndim)

    def from_last(self, operand: Role) -> Shape:
        return tuple(int(axis) for axis in np.argsort(self.to_last(operand)))


class Case(NamedTuple):
    """A contraction with its sizes: all that the plan looks at."""

    spec: Spec
    sizes: Sizes
    dtype: np.dtype  # of the operands

    @property
    def role(self) -> Role:
        return self.spec.role

    @property
    def geometry(self) -> Geometry:
        return self.spec.geometry

    @property
    def groups(self) -> int:
        return self.spec.groups

    @property
    def depthwise(self) -> bool:
        """One input channel per group."""
        return self.sizes.c == 1

    @property
    def multiply_adds(self) -> int:
        g, (n, c, o) = self.geometry, self.sizes
        return n * self.groups * c * o * g.taps * g.positions

    def bytes(self, operand: Role) -> int:
        shape = self.spec.shape(operand, self.sizes)
        dtype = self.spec.dtype if operand == self.role else self.dtype
        return math.prod(shape) * dtype.itemsize

    @property
    def operand_bytes(self) -> int:
        """Bytes of both operands and the result."""
        return sum(self.bytes(operand) for operand in LETTERS)
