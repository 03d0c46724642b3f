"""Transformations of a function and, in step, of its reference.

The first phase keeps an operation that can still be differentiated; the derivative
turns it into plain functions; the second phase wraps those.  A step is a tuple:

    ("jit",)  ("checkpoint",)
    ("vmap", axes, out, size)   one axis or None per argument, and the result's
    ("scan", axes, size)        over the first axis of the arguments marked True
    ("pull",)  ("push",)  ("push_pull",)  ("pull_pull",)  ("linear", i)   derivatives
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fuzz.calls import Call
from fuzz.reference import Mapped, Operation
from oracle import Ints

DERIVATIVES = ("pull", "push", "push_pull", "pull_pull", "linear")
Reference = Callable[..., list[np.ndarray]]


class Pair(NamedTuple):
    """A function of JAX with flat results, its reference, and arguments for both."""

    fn: Callable[..., Any]
    reference: Reference
    args: list[np.ndarray]


def build(call: Call) -> Pair:
    """The call with all of its steps around it, and random arguments."""
    rng = np.random.default_rng(call.seed)
    operation, fn, shapes = call.operation(), call.run, list(call.shapes)
    place = next((i for i, s in enumerate(call.steps) if s[0] in DERIVATIVES), None)
    before = call.steps if place is None else call.steps[:place]
    for step in before:
        fn = _wrapped(fn, step)
        if step[0] in ("vmap", "scan"):
            axes, out, size = _axes(step)
            operation = Mapped(operation, axes, out, size)
            shapes = _grown(shapes, axes, size)
    args = [call.draw(rng, shape) for shape in shapes]
    if place is None:
        return Pair(lambda *v: [fn(*v)], lambda *v: [operation.value(*v)], args)
    aval = jax.eval_shape(fn, *args)
    ct = call.draw(rng, aval.shape).astype(aval.dtype)
    tangents = [call.draw(rng, shape) for shape in shapes]
    dct = call.draw(rng, aval.shape).astype(aval.dtype)
    pair = _derivative(call.steps[place], fn, operation, args, ct, tangents, dct)
    for step in call.steps[place + 1 :]:
        pair = _outer(pair, step, rng, call)
    return pair


def _axes(step: tuple[Any, ...]) -> tuple[list[int | None], int, int]:
    if step[0] == "vmap":
        return list(step[1]), step[2], step[3]
    return [0 if mapped else None for mapped in step[1]], 0, step[2]


def _grown(shapes: Sequence[Ints], axes: Sequence[int | None], size: int) -> list[Ints]:
    return [
        s if a is None else (*s[:a], size, *s[a:])
        for s, a in zip(shapes, axes, strict=True)
    ]


def _wrapped(fn: Callable[..., Any], step: tuple[Any, ...]) -> Callable[..., Any]:
    name = step[0]
    if name == "jit":
        return jax.jit(fn)
    if name == "checkpoint":
        return jax.checkpoint(fn)
    if name == "vmap":
        return jax.vmap(fn, in_axes=tuple(step[1]), out_axes=step[2])
    assert name == "scan", name
    return _scanned(fn, step[1])


def _scanned(fn: Callable[..., Any], mapped: Sequence[bool]) -> Callable[..., Any]:
    def scanned(*args: Any) -> Any:
        pairs = list(zip(args, mapped, strict=True))

        def body(carry: Any, each: Any) -> Any:
            rows = iter(each)
            given = [next(rows) if m else v for v, m in pairs]
            return carry, fn(*given)

        return jax.lax.scan(body, 0, [v for v, m in pairs if m])[1]

    return scanned


def _derivative(
    step: tuple[Any, ...],
    fn: Callable[..., Any],
    operation: Operation,
    args: list[np.ndarray],
    ct: np.ndarray,
    tangents: list[np.ndarray],
    dct: np.ndarray,
) -> Pair:
    count, kind = len(args), step[0]

    def pull(*v: Any) -> list[Any]:
        return list(jax.vjp(fn, *v[:count])[1](v[count]))

    def pulled(*v: Any) -> list[Any]:
        return operation.pull(v[:count], v[count])

    if kind == "pull":
        return Pair(pull, pulled, [*args, ct])
    if kind == "push":
        return Pair(
            lambda *v: list(jax.jvp(fn, v[:count], v[count:])),
            lambda *v: [
                operation.value(*v[:count]),
                operation.push(v[:count], v[count:]),
            ],
            [*args, *tangents],
        )
    if kind == "push_pull":
        return Pair(
            lambda *v: list(jax.jvp(pull, v[: count + 1], v[count + 1 :])[1]),
            lambda *v: operation.push_pull(
                v[:count], v[count], v[count + 1 : -1], v[-1]
            ),
            [*args, ct, *tangents, dct],
        )
    if kind == "pull_pull":
        return Pair(
            lambda *v: list(jax.vjp(pull, *v[: count + 1])[1](list(v[count + 1 :]))),
            lambda *v: operation.pull_pull(v[:count], v[count], v[count + 1 :]),
            [*args, ct, *tangents],
        )
    return _linear(step[1], fn, operation, args, ct)


def _linear(
    i: int,
    fn: Callable[..., Any],
    operation: Operation,
    args: list[np.ndarray],
    ct: np.ndarray,
) -> Pair:
    """`jax.linear_transpose` with respect to one argument."""

    def transpose(*v: Any) -> list[Any]:
        *held, ct = v

        def one(w: Any) -> Any:
            return fn(*(w if j == i else other for j, other in enumerate(held)))

        aval = jax.ShapeDtypeStruct(np.shape(held[i]), jnp.dtype(held[i].dtype))
        return list(jax.linear_transpose(one, aval)(ct))

    return Pair(transpose, lambda *v: [operation.pull(v[:-1], v[-1])[i]], [*args, ct])


def _outer(
    pair: Pair, step: tuple[Any, ...], rng: np.random.Generator, call: Call
) -> Pair:
    """A step around a function with several results; all are mapped at axis 0."""
    if step[0] in ("jit", "checkpoint"):
        return pair._replace(fn=_wrapped(pair.fn, step))
    size, which = step[-1], step[1]
    axes = [(0 if which >> i & 1 else None) for i in range(len(pair.args))]
    axes[0] = 0  # one at least
    args = [
        v
        if axis is None
        else np.stack([v, *(_like(v, rng, call) for _ in range(size - 1))])
        for v, axis in zip(pair.args, axes, strict=True)
    ]

    def mapped(*v: Any) -> list[np.ndarray]:
        rows = [
            pair.reference(
                *(a if axis is None else a[i] for a, axis in zip(v, axes, strict=True))
            )
            for i in range(size)
        ]
        return [np.stack(column) for column in zip(*rows, strict=True)]

    if step[0] == "vmap":
        fn = jax.vmap(pair.fn, in_axes=tuple(axes))
    else:
        fn = _scanned(pair.fn, [axis == 0 for axis in axes])
    return Pair(fn, mapped, args)


def _like(v: np.ndarray, rng: np.random.Generator, call: Call) -> np.ndarray:
    return call.draw(rng, v.shape).astype(v.dtype)
