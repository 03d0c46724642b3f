"""What the tests of the claims share: every method at once, and small helpers."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np
import pytest

import jaxconv

# The methods that compute every case; other implementations may refuse some.
GENERAL = {"xla", "transpose", "vjp", "zero_insertion", "scatter", "matrix"}


def pytorch() -> Any:
    """PyTorch, as a witness; without it the test is skipped."""
    return pytest.importorskip("torch", reason="PyTorch is not installed here")


def one(rows: Any) -> np.ndarray:
    """The numbers with a channel axis in front."""
    return np.asarray(rows, np.float64)[None]


def do(x: Any, kernel: Any, **arguments: Any) -> np.ndarray:
    """conv by every implementation, which must all agree."""
    names, expected = _by_all("output", jaxconv.conv, x, kernel, **arguments)
    assert names >= {"xla", "window", "matrix"}
    return expected


def undo(y: Any, kernel: Any, bias: Any = None, **arguments: Any) -> np.ndarray:
    """conv_transpose by every implementation, which must all agree."""
    given = (y, kernel, bias)
    names, expected = _by_all("input", jaxconv.conv_transpose, *given, **arguments)
    assert names >= GENERAL
    return expected


def _by_all(
    role: str, function: Any, *operands: Any, **arguments: Any
) -> tuple[set[str], np.ndarray]:
    """Those that do not refuse, in one program, which compiles sooner; the value."""

    def run(name: str | None, *operands: Any) -> Any:
        return function(*operands, implementation=name, **arguments)

    names: list[str] = []
    for name in jaxconv.lowerings(role):
        try:
            jax.eval_shape(partial(run, name), *operands)
        except ValueError as error:
            if "cannot run this" not in str(error):
                raise
        else:
            names.append(name)
    found = jax.jit(lambda *v: [run(name, *v) for name in (None, *names)])(*operands)
    for y in found[1:]:
        same(y, found[0])
    return set(names), np.asarray(found[0])


def same(actual: Any, desired: Any) -> None:
    """Equal in shape, and in value up to the rounding of short float64 sums."""
    actual, desired = np.asarray(actual), np.asarray(desired)
    assert actual.shape == desired.shape, (actual.shape, desired.shape)
    assert actual.dtype == desired.dtype == np.float64
    scale = max(1.0, float(np.abs(desired).max(initial=0.0)))
    np.testing.assert_allclose(actual, desired, rtol=0, atol=1e-13 * scale)


def differ(a: Any, b: Any) -> bool:
    """Whether two arrays of one shape differ by far more than rounding."""
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape
    return bool(np.abs(a - b).max() > 1e-3)


def turn(kernel: np.ndarray) -> np.ndarray:
    """(O, C, *window) turned by 180 degrees, its channels swapped: (C, O, *window)."""
    return np.flip(kernel, range(2, kernel.ndim)).swapaxes(0, 1)


def stretch(v: np.ndarray, stride: int) -> np.ndarray:
    """stride-1 zeros between the elements of the last two axes."""
    *rest, height, width = v.shape
    out = np.zeros((*rest, (height - 1) * stride + 1, (width - 1) * stride + 1))
    out[..., ::stride, ::stride] = v
    return out


def border(v: np.ndarray, low: int, high: int) -> np.ndarray:
    """Zeros around the last two axes; a negative border crops."""
    widths = [(0, 0)] * (v.ndim - 2) + [(max(low, 0), max(high, 0))] * 2
    stops = [size + min(high, 0) for size in v.shape[-2:]]
    cut = v[..., max(-low, 0) : stops[0], max(-low, 0) : stops[1]]
    return np.pad(cut, widths)


def shape(fun: Any, *shapes: tuple[int, ...], **arguments: Any) -> tuple[int, ...]:
    """The result's shape, without computing it."""
    structs = (jax.ShapeDtypeStruct(s, np.float64) for s in shapes)
    return jax.eval_shape(lambda *v: fun(*v, **arguments), *structs).shape
