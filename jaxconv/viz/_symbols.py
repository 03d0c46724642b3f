"""Letters in place of numbers: sums of products that stay written out."""

from __future__ import annotations

from typing import Any

import numpy as np


class Sum(str):
    """A sum such as aK12+bK11; 0 is no term at all."""

    __slots__ = ()

    def __add__(self, other: Any) -> Sum:
        return Sum(f"{self}+{other}") if other else self

    def __radd__(self, other: Any) -> Sum:
        return Sum(f"{other}+{self}") if other else self

    def __mul__(self, other: Any) -> Sum:
        return Sum(f"{self}{other}")


def letters(values: np.ndarray) -> np.ndarray:
    """An array of strings as one of sums, which can be added and multiplied."""
    found = np.empty(values.shape, object)
    for place, letter in np.ndenumerate(values):
        found[place] = Sum(letter)
    return found
