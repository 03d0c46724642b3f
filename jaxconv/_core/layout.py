"""Where arrays keep batch, channels and space."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Literal

Role = Literal["output", "input", "kernel"]
Letter = Literal["n", "c", "o"]
Shape = tuple[int, ...]

LETTERS: dict[Role, tuple[Letter, Letter]] = {
    "input": ("n", "c"),
    "output": ("n", "o"),
    "kernel": ("o", "c"),
}
GROUPED: dict[Role, Letter] = {"input": "c", "output": "o", "kernel": "o"}


class Layout(enum.StrEnum):
    """The order of an array's axes, equal to the name that users give it.

    FIRST: images (N, C, \\*space), kernels (O, C, \\*window), as in PyTorch.
    LAST: images (N, \\*space, C), kernels (\\*window, C, O), as in Flax and Keras.
    """

    FIRST = "channels_first"
    LAST = "channels_last"

    def __repr__(self) -> str:
        """The name, as users write it and as messages quote it."""
        return repr(self.value)

    @property
    def first(self) -> bool:
        return self is Layout.FIRST

    @property
    def last(self) -> bool:
        return self is Layout.LAST

    @property
    def lead(self) -> int:
        """How many axes an image has before those of space."""
        return 2 if self.first else 1

    @property
    def channel(self) -> int:
        """The axis of an image's channels."""
        return 1 if self.first else -1

    def space(self, image: Sequence[int]) -> Shape:
        """The spatial sizes in the shape of an image with a batch axis."""
        return tuple(image[2:] if self.first else image[1:-1])

    def window(self, kernel: Sequence[int]) -> Shape:
        """The spatial sizes in the shape of a kernel."""
        return tuple(kernel[2:] if self.first else kernel[:-2])

    def kernel_channels(self, kernel: Sequence[int]) -> tuple[int, int]:
        """Output channels, and input channels per group, in the shape of a kernel."""
        o, c = kernel[:2] if self.first else kernel[:-3:-1]
        return o, c

    def axis(self, operand: Role, letter: Letter, ndim: int) -> int:
        """Where an operand with ``ndim`` spatial axes keeps a letter."""
        if self.first:
            return LETTERS[operand].index(letter)
        if letter == "n":
            return 0
        return ndim + (1 if letter == GROUPED[operand] else 0)

    def to_last(self, operand: Role, ndim: int) -> Shape:
        """The permutation of an operand's axes that puts channels last."""
        if self.last:
            return tuple(range(ndim + 2))
        space = tuple(range(2, ndim + 2))
        return (*space, 1, 0) if operand == "kernel" else (0, *space, 1)
