"""A picture of the gallery: what it shows, its formula, and the call that makes it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jaxconv import viz
from jaxconv.viz._moving import moving, unlabelled
from jaxconv.viz._scene import Scene

# What gives the size of the result; i is the input's, k the kernel's, s the stride, p
# the padding, d the dilation, a the output_padding.
FORMULAS = {
    "relationship-01": "o = i - k + 1",
    "relationship-02": "o = i - k + 2p + 1",
    "relationship-03": "o = i, for p = (k - 1)/2",
    "relationship-04": "o = i + k - 1, for p = k - 1",
    "relationship-05": "o = ⌊(i - k)/s⌋ + 1",
    "relationship-06": "o = ⌊(i + 2p - k)/s⌋ + 1",
    "relationship-06-odd": "o = ⌊(i + 2p - k)/s⌋ + 1",
    "relationship-07": "o = ⌊(i - k)/s⌋ + 1",
    "relationship-08": "o = i + k - 1",
    "relationship-09": "o = i + k - 1 - 2p",
    "relationship-10": "o = i, for p = (k - 1)/2",
    "relationship-11": "o = i - k + 1, for p = k - 1",
    "relationship-12": "o = s(i - 1) + k",
    "relationship-13": "o = s(i - 1) + k - 2p",
    "relationship-14": "o = s(i - 1) + k - 2p + a",
    "relationship-15": "o = ⌊(i + 2p - d(k - 1) - 1)/s⌋ + 1",
    "claim-0-06": "y[p] = Σ x[p + t] w[t]",
    "claim-0-06-matrix": "y = C x",
    "claim-0-09": "x' = Cᵀ y",
    "claim-2-03": "C[p, q] = w[q - p]",
    "claim-2-08": "y[p + t] += x[p] w[t]",
    "claim-3-04": "y[p + t] += x[p] w[t]",
    "output-padding-0": "o = s(i - 1) + k - 2p",
    "output-padding-1": "o = s(i - 1) + k - 2p + a",
    "transposed-dilated": "border = d(k - 1) - p",
    "transposed-dilated-1d": "border = d(k - 1) - p",
    "cropped-border": "border = k - 1 - p, below zero",
    "dilations": "span = d(k - 1) + 1",
    "channels": "y[o] = Σ w[o, c] * x[c]",
    "grouped": "c only of the group of o",
    "depthwise": "y[c] = w[c] * x[c]",
    "overlap-3": "k mod s = 1",
    "overlap-4": "k mod s = 0",
    "deformable": "y[p] = Σ w[t] x(p + t + Δ[p, t])",
    "receptive-field": "size = 1 + Σ d(k - 1) Π s",
}


class Entry(NamedTuple):
    """A picture: its file's name, what it shows, and the call that makes it."""

    name: str
    words: str
    function: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]

    def scene(self, photo: np.ndarray) -> Scene:
        """The photo, grey and square, stands where the arguments say so."""
        given = (photo if a is PHOTO else a for a in self.arguments)
        return getattr(viz, self.function)(*given, **self.options)

    def svg(self, photo: np.ndarray) -> str:
        """The picture as it is committed: moving, without words that stand beside it.

        One with numbers keeps the sum below it.
        """
        arrays = any(isinstance(a, np.ndarray) for a in self.arguments)
        told = arrays or self.function not in ("conv", "conv_transpose")
        scene = self.scene(photo)
        return moving(
            scene if told else unlabelled(scene), "auto", bare=True, told=told
        )

    @property
    def title(self) -> str:
        """With the number that the paper gives it, if any."""
        return ("Relationship " if self.words[0].isdigit() else "") + self.words

    @property
    def formula(self) -> str:
        return FORMULAS.get(self.name, "")

    @property
    def call(self) -> str:
        """The line of Python that makes it."""
        parts = [_written(value) for value in self.arguments]
        parts += [f"{name}={_written(value)}" for name, value in self.options.items()]
        return f"viz.{self.function}({', '.join(parts)})"


class Section(NamedTuple):
    title: str
    words: str
    entries: tuple[Entry, ...]
    columns: int = 4


PHOTO = "photo"  # in place of the pixels
SIDE = 128  # pixels of the photo


def entry(
    name: str, words: str, function: str, *arguments: Any, **options: Any
) -> Entry:
    return Entry(name, words, function, arguments, options)


def _written(value: Any) -> str:
    if value is PHOTO:
        return "photo"
    if not isinstance(value, np.ndarray):
        return repr(value)
    if value.size > 20:
        return "offset"
    return f"np.array({value.tolist()!r})"
