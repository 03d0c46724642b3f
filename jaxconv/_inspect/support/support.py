"""The exact set of inputs that one output depends on."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxconv._border import arguments as can
from jaxconv._inspect.support.structure import Tape


def input_support(
    fn: Callable[[Any], Any],
    x: Any,
    index: int | Sequence[int],
    *,
    method: str = "structure",
) -> np.ndarray:
    r"""Which elements of x one element of ``fn(x)`` depends on, as booleans.

    .. math:: S = \{\, i : f(x)_{\mathit{index}} \text{ depends on } x_i \,\}

    ``method="structure"`` follows the traced operations backwards from the element.  It
    does not use the values of x: a ReLU counts as active, every element of a pooling
    window as its possible maximum, and factors that depend on x as nonzero.  Values
    that do not depend on x are used: a zero weight, as in a masked or dilated kernel,
    ends the path, and so does a constant mask.  The result contains every input that
    has an influence for some x.  It contains too many only where paths cancel
    (``x - x``), where a computed factor is always zero (the softmax of a causal mask),
    or for an unknown operation, which counts as depending on everything, with a
    warning.

    ``method="gradient"`` is where the derivative at this x is nonzero.  It can contain
    too few: it misses inputs behind an inactive ReLU, elements that are not the maximum
    of their window, and inputs of ``round``, ``argmax`` and integers.  Where both
    methods agree, the answer is certain.

    Args:
      fn: a function of one array that returns one array.
      x: an array; for "structure" its shape and type are enough
        (`jax.ShapeDtypeStruct`).
      index: the index of the element of the result, one int per axis.
      method: "structure" or "gradient".

    Returns:
      An array of booleans with the shape of x.

    Raises:
      ValueError: an index that does not fit the result, or an unknown method.
      TypeError: arguments of the wrong type.

    Example:
      >>> import jax.numpy as jnp, jaxconv
      >>> kernel = jnp.array([[[1.0, -2.0, 1.0]]])
      >>> def fn(x):
      ...     return jaxconv.conv(x, kernel, dilation=3)
      >>> jaxconv.input_support(fn, jnp.zeros((1, 9)), (0, 1)).nonzero()[1].tolist()
      [1, 4, 7]

    Elsewhere: gradients of a trained model, which miss inputs behind inactive ReLUs.
    `summarize` gives the smallest box around the set.

    Source: Luo et al., "Understanding the effective receptive field in deep
    convolutional neural networks", NeurIPS 2016, for the gradient.
    """
    can.function("fn", fn)
    can.choice("method", method, ("structure", "gradient"))
    if not (hasattr(x, "shape") and hasattr(x, "dtype")):
        can.not_an_array("x", x)
    result = jax.eval_shape(fn, x)
    if not hasattr(result, "shape"):
        rule = "returns something else than one array"
        can.fail("fn", type(result).__name__, rule, "Return one of them", TypeError)
    place = _place(index, result.shape)
    if method == "gradient":
        return _gradient(fn, x, place, result)
    start = np.zeros(result.shape, bool)
    start[place] = True
    return Tape().record(jax.make_jaxpr(fn)(x), x).support(start)


def _place(index: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    entries = tuple(index) if can.is_sequence(index) else (index,)
    if len(entries) != len(shape):
        rule = f"has length {len(entries)}, but the result has shape {shape}"
        can.fail("index", index, rule, "Write one int per axis of the result")
    place: list[int] = []
    for entry, size in zip(entries, shape, strict=True):
        rule = f"{entry!r} is not an int"
        if isinstance(entry, bool):
            can.fail("index", index, rule, "Write ints", TypeError)
        try:
            number = operator.index(entry)
        except TypeError:
            can.fail("index", index, rule, "Write ints", TypeError)
        if not -size <= number < size:
            rule = f"{number} lies outside of the result's shape {shape}"
            can.fail("index", index, rule, f"Write an int from {-size} to {size - 1}")
        place.append(number)
    return tuple(place)


def _gradient(fn: Any, x: Any, place: tuple[int, ...], result: Any) -> np.ndarray:
    for name, array in (("x", x), ("fn's result", result)):
        if not jnp.issubdtype(array.dtype, jnp.inexact):
            rule = "has no derivative"
            remedy = 'Use method="structure", or a type of floating point'
            can.fail(name, array.dtype.name, rule, remedy, TypeError)
    _, back = jax.vjp(fn, jnp.asarray(can.array("x", x)))
    (gradient,) = back(jnp.zeros(result.shape, result.dtype).at[place].set(1))
    return np.asarray(gradient != 0)
