"""Which letters of a contraction are sharded over which digits of a device's number.

A contraction has letters, as in einsum: n, c, o and more.  A device that holds a part
of each letter's range computes its part of the result without communication, if all
operands hold the same part.  Where their shardings differ, that of the largest arrays
is kept and the others are resharded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jaxconv._core.geometry import Ints

Key = str | int  # a letter; an axis of space is a number
Axes = tuple[tuple[Key, ...], ...]


class Held(NamedTuple):
    """A sharded array.

    letters: the letters of each axis; of merged letters the slowest first.
    digits: the digits that shard each axis, the slowest first.
    bytes: the size of the whole array.
    """

    letters: Axes
    digits: Sequence[Ints]
    bytes: int


def share(
    arrays: Sequence[Held], whole: Mapping[Key, int], bases: Ints
) -> dict[Key, Ints]:
    """The digits of each sharded letter, the slowest first.

    ``whole`` has the sizes of letters that may only be cut into equal parts; the last
    part of any other letter may be shorter.  Each digit goes to the letter for which
    the arrays with the most bytes use it.
    """
    found = [_letters(held, whole, bases) for held in arrays]
    votes: dict[int, dict[Key, int]] = {}
    for held, cut in zip(arrays, found, strict=True):
        for letter, digits in cut.items():
            for digit in digits:
                box = votes.setdefault(digit, {})
                box[letter] = box.get(letter, 0) + held.bytes
    chosen = {digit: max(box, key=box.__getitem__) for digit, box in votes.items()}
    ranked = sorted(zip(arrays, found, strict=True), key=lambda v: -v[0].bytes)
    out: dict[Key, Ints] = {}
    for _, cut in ranked:
        for letter, digits in cut.items():
            mine = [digit for digit in digits if chosen[digit] == letter]
            out[letter] = tuple(dict.fromkeys((*out.get(letter, ()), *mine)))
    return {
        letter: digits
        for letter, digits in out.items()
        if digits and whole.get(letter, 0) % parts(digits, bases) == 0
    }


def parts(digits: Ints, bases: Ints) -> int:
    """The number of parts that these digits count."""
    return math.prod(bases[digit] for digit in digits)


def _letters(held: Held, whole: Mapping[Key, int], bases: Ints) -> dict[Key, Ints]:
    """The digits of each letter of one array.

    The first digit that does not divide its letter, and those after it, are left out.
    A faster one of merged letters is cut only after the slower ones have been cut into
    single elements.
    """
    out: dict[Key, Ints] = {}
    for letters, digits in zip(held.letters, held.digits, strict=True):
        rest, left = list(letters), list(digits)
        while rest and left:
            letter = rest[0]
            have = out.get(letter, ())
            size = whole.get(letter)
            remaining = None if size is None else size // parts(have, bases)
            if remaining is None or remaining % bases[left[0]] == 0:
                out[letter] = (*have, left.pop(0))
            elif remaining == 1:
                rest.pop(0)
            else:
                break
    return out
