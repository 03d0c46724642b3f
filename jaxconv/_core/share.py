"""Which letters of a product are cut over which digits of a device's number.

A sum of products has letters: n, c, o and more.  A device that holds a part of each
letter's range can compute a part of the product by itself, if all operands agree on
which part.  Where they do not, the larger one is left as it is, and the others move.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jaxconv._core.geometry import Ints

Key = str | int  # a letter; an axis of space is a number
Axes = tuple[tuple[Key, ...], ...]


class Held(NamedTuple):
    """An array as it lies on the devices.

    letters: of each axis, the slower first where several are merged.
    digits: of each axis, those that cut it, the slowest first.
    bytes: of the whole array.
    """

    letters: Axes
    digits: Sequence[Ints]
    bytes: int


def share(
    arrays: Sequence[Held], whole: Mapping[Key, int], bases: Ints
) -> dict[Key, Ints]:
    """The digits of each letter that is cut, the slowest first.

    ``whole`` has the sizes of the letters that are cut into equal parts only; any other
    may have a last part that is shorter.
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
    """How many parts these digits make."""
    return math.prod(bases[digit] for digit in digits)


def _letters(held: Held, whole: Mapping[Key, int], bases: Ints) -> dict[Key, Ints]:
    """The digits of each letter of one array; those that cut none evenly are left out.

    Of merged letters a slower one is cut into single elements before a faster one is.
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
