"""For each operation of JAX, the elements of its operands that its results depend on.

There are three methods.  Operations that only move elements are run on element indices,
which reveals the origin of each element of the result.  For products, JAX's transpose
is run on float32 patterns: a constant factor becomes 1 where it is nonzero, and 0
elsewhere.  All terms are then non-negative and cannot cancel, so the pulled-back mask
is positive exactly where a marked result depends on the operand.  Maxima depend on the
same elements as sums, so they are treated as sums.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import JaxprEqn

from jaxconv._inspect.summary.rules import (
    CUMULATIVE,
    ELEMENTWISE,
    MIXING,
    REDUCTIONS,
    WINDOWS,
)

Mask = np.ndarray
Masks = Sequence[Mask]
Wanted = list[Mask | None]
Back = Callable[[JaxprEqn, "list[Any]", "list[Mask]"], Wanted]

# Operations that move elements, and their operands with positions, which must not
# depend on x.
PLACES: dict[str, Callable[[int], Sequence[int]]] = {
    **dict.fromkeys(
        """
        broadcast_in_dim reshape transpose squeeze slice pad rev concatenate split tile
        stack unstack
        """.split(),
        lambda count: (),
    ),
    "dynamic_slice": lambda count: range(1, count),
    "dynamic_update_slice": lambda count: range(2, count),
    "gather": lambda count: (1,),
}
PRODUCTS = frozenset({"dot_general", "conv_general_dilated", "jaxconv_contract"})
SCATTERS = {f"scatter{kind}" for kind in ("", "-add", "-sub", "-mul", "-min", "-max")}


def back(eqn: JaxprEqn, values: Sequence[Any]) -> Back | None:
    """The backward step of an equation; None if the operation is not known."""
    name = eqn.primitive.name
    places = PLACES.get(name, lambda _: ())(len(values))
    if name in SCATTERS:
        places = (1,)
    if any(is_node(values[operand]) for operand in places):
        return None
    if name in PLACES:
        return _moved(eqn, list(values))
    if name in PRODUCTS:
        return _product(eqn, list(values))
    return next((rule for names, rule in _RULES if name in names), None)


def is_node(value: Any) -> bool:
    return hasattr(value, "is_node")


# Element by element -------------------------------------------------------------------


def _elementwise(eqn: JaxprEqn, values: list[Any], masks: list[Mask]) -> Wanted:
    (mask,) = masks
    return [
        _shaped(mask & _open(eqn.primitive.name, values, operand), v.shape)
        if is_node(v)
        else None
        for operand, v in enumerate(values)
    ]


def _shaped(mask: Mask, shape: tuple[int, ...]) -> Mask:
    """Reduces a mask to an operand's shape, whose axes of size one are broadcast."""
    if not shape:
        return np.full((), mask.any())
    repeated = tuple(a for a, n in enumerate(shape) if n != mask.shape[a])
    return np.any(mask, axis=repeated, keepdims=True) if repeated else mask


def _open(name: str, values: list[Any], operand: int) -> Any:
    """Where the result can depend on this operand, given the constant operands."""
    others = [v for i, v in enumerate(values) if i != operand and not is_node(v)]
    if name in ("mul", "and") and others:
        return np.asarray(others[0]) != 0
    if name == "select_n" and operand > 0 and not is_node(values[0]):
        return np.asarray(values[0]).astype(int) == operand - 1
    return True


# Moved elements -----------------------------------------------------------------------


def _moved(eqn: JaxprEqn, values: list[Any]) -> Back:
    """Runs the operation on element indices: the origin of each element.

    The elements of all operands on x are numbered in sequence; others are -1.
    """
    places = PLACES[eqn.primitive.name](len(values))
    sizes = [math.prod(v.shape) if is_node(v) else 0 for v in values]
    ends = np.cumsum(sizes)

    def named(operand: int) -> Any:
        value = values[operand]
        if operand in places:
            return value
        if not is_node(value):
            return np.full(np.shape(value), -1, np.int32)
        names = np.arange(ends[operand] - sizes[operand], ends[operand], dtype=np.int32)
        return names.reshape(value.shape)

    @functools.cache
    def origins() -> list[Any]:
        operands = [named(operand) for operand in range(len(values))]
        found = eqn.primitive.bind(*operands, **_plain(eqn.params))
        found = found if eqn.primitive.multiple_results else [found]
        return [np.asarray(v) for v in found]

    def back(_: Any, values: list[Any], masks: list[Mask]) -> Wanted:
        wanted = np.zeros(ends[-1], bool)
        for mask, origin in zip(masks, origins(), strict=True):
            names = origin[mask]
            wanted[names[names >= 0]] = True
        parts = np.split(wanted, ends[:-1])
        return [
            part.reshape(v.shape) if is_node(v) else None
            for part, v in zip(parts, values, strict=True)
        ]

    return back


# Products -----------------------------------------------------------------------------


def _plain(params: Mapping[str, Any]) -> dict[str, Any]:
    """An operation's parameters with -1, which is no index, as fill value."""
    return {**params, "fill_value": -1} if "fill_value" in params else dict(params)


def _float(params: Mapping[str, Any]) -> dict[str, Any]:
    """An operation's parameters for operands of float32."""
    changed = dict(params)
    if "preferred_element_type" in changed:
        changed["preferred_element_type"] = np.dtype(np.float32)
    if "spec" in changed:
        plain = {"dtype": np.dtype(np.float32), "lowering": "xla", "precision": None}
        changed["spec"] = replace(changed["spec"], **plain)
    return changed


def _product(eqn: JaxprEqn, values: list[Any]) -> Back:
    """The backward step of a product.

    Seen from one operand, the other one is a pattern: 1 where it is nonzero or depends
    on x, else 0.
    """
    params = _float(eqn.params)

    @functools.cache
    def pull(operand: int) -> Any:
        other = values[1 - operand]
        full = np.ones(other.shape) if is_node(other) else np.asarray(other) != 0
        pattern = jnp.asarray(full, jnp.float32)

        def fn(array: Any) -> Any:
            pair = (array, pattern) if operand == 0 else (pattern, array)
            if eqn.primitive is lax.conv_general_dilated_p:
                return _padded_first(*pair, params)
            return eqn.primitive.bind(*pair, **params)

        return _transposed(fn, values[operand].shape)

    def back(_: Any, values: list[Any], masks: list[Mask]) -> Wanted:
        (mask,) = masks
        return [
            pull(operand)(mask) if is_node(value) else None
            for operand, value in enumerate(values)
        ]

    return back


def _transposed(fn: Any, shape: tuple[int, ...]) -> Callable[[Mask], Mask]:
    """Maps a mask to where the transpose of ``fn``, with factors >= 0, is positive."""
    _, pull = jax.vjp(fn, jnp.zeros(shape, jnp.float32))

    def positive(mask: Mask) -> Mask:
        (found,) = pull(jnp.asarray(mask, jnp.float32))
        return np.asarray(found > 0)

    return positive


def _padded_first(x: Any, kernel: Any, params: dict[str, Any]) -> Any:
    """lax's convolution with separate padding.

    Some versions of JAX transpose a convolution with padding wrongly.
    """
    config = [(0, 0, 0)] * x.ndim
    space = params["dimension_numbers"].lhs_spec[2:]
    for axis, pads, step in zip(
        space, params["padding"], params["lhs_dilation"], strict=True
    ):
        config[axis] = (*pads, step - 1)
    ones, none = (1,) * len(space), ((0, 0),) * len(space)
    x = lax.pad(x, jnp.zeros((), x.dtype), config)
    inner = params | {"padding": none, "lhs_dilation": ones}
    return lax.conv_general_dilated_p.bind(x, kernel, **inner)


# Sums over axes -----------------------------------------------------------------------


def _reduced(eqn: JaxprEqn, values: list[Any], masks: list[Mask]) -> Wanted:
    axes = eqn.params["axes"] if "axes" in eqn.params else eqn.params["dimensions"]
    mask = np.expand_dims(np.logical_or.reduce(masks), tuple(axes))
    return [_spread(mask, v.shape) if is_node(v) else None for v in values]


def _spread(mask: Mask, shape: tuple[int, ...]) -> Mask:
    if len(shape) != mask.ndim:  # the initial value of a general reduction
        return np.full(shape, mask.any())
    return np.broadcast_to(mask, shape)


def _over_axes(eqn: JaxprEqn, values: list[Any], masks: list[Mask]) -> Wanted:
    """Operations that mix all elements along some axes: sort, top_k, fft."""
    rank = len(values[0].shape) if is_node(values[0]) else np.ndim(values[0])
    if "fft_lengths" in eqn.params:
        axes = tuple(range(rank - len(eqn.params["fft_lengths"]), rank))
    else:
        axes = (eqn.params.get("dimension", eqn.params.get("axis", -1)) % rank,)
    mask = np.logical_or.reduce([m.any(axis=axes, keepdims=True) for m in masks])
    return [np.broadcast_to(mask, v.shape) if is_node(v) else None for v in values]


def _cumulative(eqn: JaxprEqn, values: list[Any], masks: list[Mask]) -> Wanted:
    axis, forward = eqn.params["axis"], not eqn.params["reverse"]
    (mask,) = masks
    turned = np.flip(mask, axis) if forward else mask
    reached = np.logical_or.accumulate(turned, axis)
    return [np.flip(reached, axis) if forward else reached]


def _windows(eqn: JaxprEqn, values: list[Any], masks: list[Mask]) -> Wanted:
    """Reductions over windows, as sums; scalar operands are initial values."""
    names = ("window_dimensions", "window_strides", "padding", "base_dilation")
    k, s, pads, base = (eqn.params[name] for name in names)
    dilation = eqn.params["window_dilation"]

    def fn(x: Any) -> list[Any]:
        zero = np.zeros((), x.dtype)
        return lax.reduce_window(x, zero, lax.add, k, s, pads, base, dilation)

    mask = np.logical_or.reduce(masks)
    return [
        None
        if not is_node(v)
        else _transposed(fn, v.shape)(mask)
        if v.shape
        else np.full((), mask.any())
        for v in values
    ]


def _pool_gradient(eqn: JaxprEqn, values: list[Any], masks: list[Mask]) -> Wanted:
    """select_and_scatter_add: each window's gradient goes to one of its elements."""
    names = ("window_dimensions", "window_strides", "padding")
    k, s, pads = (eqn.params[name] for name in names)
    aval: Any = eqn.outvars[0].aval

    def sums(x: Any) -> Any:
        return lax.reduce_window(x, np.zeros((), x.dtype), lax.add, k, s, pads)

    windows = np.asarray(sums(jnp.asarray(masks[0], jnp.float32)) > 0)
    elements = _transposed(sums, aval.shape)(windows)
    return [
        mask if is_node(v) else None
        for v, mask in zip(values, (windows, elements), strict=True)
    ]


def _scatter(eqn: JaxprEqn, values: list[Any], masks: list[Mask]) -> Wanted:
    """Updates at known positions; a plain scatter replaces the old elements."""
    names = ("dimension_numbers", "indices_are_sorted", "unique_indices", "mode")
    options = {name: eqn.params[name] for name in names}
    shapes = [v.shape if is_node(v) else np.shape(v) for v in values]
    indices = jnp.asarray(values[1])

    def fn(updates: Any) -> Any:
        zeros = jnp.zeros(shapes[0], jnp.float32)
        numbers = options["dimension_numbers"]
        rest = {k: v for k, v in options.items() if k != "dimension_numbers"}
        return lax.scatter_add(zeros, indices, updates, numbers, **rest)

    (mask,) = masks
    kept = mask
    if eqn.primitive.name == "scatter":
        written = fn(jnp.ones(shapes[2], jnp.float32))
        kept = mask & ~np.asarray(written > 0)
    updated = _transposed(fn, shapes[2])(mask) if is_node(values[2]) else None
    return [kept if is_node(values[0]) else None, None, updated]


def _mixing(eqn: JaxprEqn, values: list[Any], masks: list[Mask]) -> Wanted:
    some = any(mask.any() for mask in masks)
    return [np.full(v.shape, some) if is_node(v) else None for v in values]


_RULES: tuple[tuple[Any, Back], ...] = (
    (frozenset({"optimization_barrier"}), lambda eqn, values, masks: list(masks)),
    (ELEMENTWISE, _elementwise),
    (REDUCTIONS, _reduced),
    (CUMULATIVE, _cumulative),
    (frozenset({"sort", "top_k", "fft"}), _over_axes),
    (WINDOWS, _windows),
    (frozenset({"select_and_scatter_add"}), _pool_gradient),
    (SCATTERS, _scatter),
    (MIXING, _mixing),
)
