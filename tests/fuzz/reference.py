"""What a call must return: sizes by counting, values and derivatives by nested loops.

Written from the documentation, and sharing no code with the library.  An operation is
linear in each of its arguments (a bias apart), so all derivatives follow from two
methods: ``value``, and ``pull``, the gradients of <value, ct>.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

import oracle
from oracle import Ints

Array = np.ndarray
PAIRED = ("padding",)


class Refused(Exception):
    """The documentation says that this call is an error."""


class Operation(ABC):
    """A function that is linear in each argument, and its gradients."""

    @abstractmethod
    def value(self, *args: Array) -> Array:
        """The result."""

    @abstractmethod
    def pull(self, args: Sequence[Array], ct: Array) -> list[Array]:
        """The gradients of <value(*args), ct>."""

    # All derivatives follow.  "Moved" is an argument replaced by its tangent.

    def push(self, args: Sequence[Array], tangents: Sequence[Array]) -> Array:
        return sum(self.value(*_moved(args, tangents, i)) for i in range(len(args)))  # type: ignore[return-value]

    def push_pull(
        self, args: Sequence[Array], ct: Array, tangents: Sequence[Array], dct: Array
    ) -> list[Array]:
        """Tangents of `pull` along those of the arguments and of ct."""
        found = self.pull(args, dct)
        for i in range(len(args)):
            moved = self.pull(_moved(args, tangents, i), ct)
            for j, gradient in enumerate(moved):
                found[j] = found[j] + (gradient if j != i else 0)
        return found

    def pull_pull(
        self, args: Sequence[Array], ct: Array, cts: Sequence[Array]
    ) -> list[Array]:
        """Gradients of <pull(args, ct), cts>, ct's last."""
        found = [np.zeros_like(v) for v in args]
        for i in range(len(args)):
            moved = self.pull(_moved(args, cts, i), ct)
            for j, gradient in enumerate(moved):
                found[j] = found[j] + (gradient if j != i else 0)
        return [*found, self.push(args, cts)]


def _moved(args: Sequence[Array], others: Sequence[Array], i: int) -> list[Array]:
    return [
        other if j == i else v
        for j, (v, other) in enumerate(zip(args, others, strict=True))
    ]


class Biased(Operation):
    """An operation whose last argument is added, along the channels' axis."""

    def __init__(self, inner: Operation, axis: int):
        self.inner, self.axis = inner, axis

    def _spread(self, bias: Array, rank: int) -> Array:
        shape = [1] * rank
        shape[self.axis] = -1
        return bias.reshape(shape)

    def value(self, *args: Array) -> Array:
        y = self.inner.value(*args[:-1])
        return y + self._spread(args[-1], y.ndim)

    def pull(self, args: Sequence[Array], ct: Array) -> list[Array]:
        axes = tuple(a for a in range(ct.ndim) if a != self.axis % ct.ndim)
        return [*self.inner.pull(args[:-1], ct), ct.sum(axis=axes)]

    def push(self, args: Sequence[Array], tangents: Sequence[Array]) -> Array:
        y = self.inner.push(args[:-1], tangents[:-1])
        return y + self._spread(tangents[-1], y.ndim)

    def push_pull(
        self, args: Sequence[Array], ct: Array, tangents: Sequence[Array], dct: Array
    ) -> list[Array]:
        found = self.inner.push_pull(args[:-1], ct, tangents[:-1], dct)
        return [*found, self.pull(args, dct)[-1]]

    def pull_pull(
        self, args: Sequence[Array], ct: Array, cts: Sequence[Array]
    ) -> list[Array]:
        *found, _ = self.inner.pull_pull(args[:-1], ct, cts[:-1])
        return [*found, np.zeros_like(args[-1]), self.push(args, cts)]


class Mapped(Operation):
    """The operation for each entry of an axis of some arguments (vmap, scan)."""

    def __init__(
        self, inner: Operation, axes: Sequence[int | None], out: int, size: int
    ):
        self.inner, self.axes, self.out, self.size = inner, tuple(axes), out, size

    def _part(self, args: Sequence[Array], i: int) -> list[Array]:
        pairs = zip(args, self.axes, strict=True)
        return [v if axis is None else np.take(v, i, axis) for v, axis in pairs]

    def value(self, *args: Array) -> Array:
        parts = [self.inner.value(*self._part(args, i)) for i in range(self.size)]
        return np.stack(parts, self.out)

    def _join(self, rows: Sequence[Sequence[Array]]) -> list[Array]:
        """Gradients add up for an argument that is not mapped."""
        columns = zip(zip(*rows, strict=True), self.axes, strict=True)
        return [
            sum(column[1:], start=column[0]) if axis is None else np.stack(column, axis)
            for column, axis in columns
        ]

    def pull(self, args: Sequence[Array], ct: Array) -> list[Array]:
        return self._join(
            [
                self.inner.pull(self._part(args, i), np.take(ct, i, self.out))
                for i in range(self.size)
            ]
        )

    def push(self, args: Sequence[Array], tangents: Sequence[Array]) -> Array:
        parts = [
            self.inner.push(self._part(args, i), self._part(tangents, i))
            for i in range(self.size)
        ]
        return np.stack(parts, self.out)

    def push_pull(
        self, args: Sequence[Array], ct: Array, tangents: Sequence[Array], dct: Array
    ) -> list[Array]:
        return self._join(
            [
                self.inner.push_pull(
                    self._part(args, i),
                    np.take(ct, i, self.out),
                    self._part(tangents, i),
                    np.take(dct, i, self.out),
                )
                for i in range(self.size)
            ]
        )

    def pull_pull(
        self, args: Sequence[Array], ct: Array, cts: Sequence[Array]
    ) -> list[Array]:
        rows = [
            self.inner.pull_pull(
                self._part(args, i), np.take(ct, i, self.out), self._part(cts, i)
            )
            for i in range(self.size)
        ]
        joined = self._join([row[:-1] for row in rows])
        return [*joined, np.stack([row[-1] for row in rows], self.out)]


# Convolutions -------------------------------------------------------------------------


class Conv(Operation):
    """conv, or conv_transpose, of arguments in a layout, with or without a batch."""

    def __init__(
        self,
        window: oracle.Window,
        groups: int,
        mode: str,
        *,
        last: bool,
        batched: bool,
        transposed: bool,
    ):
        self.how = (window, groups, mode)
        self.last, self.batched, self.transposed = last, batched, transposed

    def _first(self, v: Array) -> Array:
        """An image channels first, with its batch axis."""
        v = v if self.batched else v[None]
        return np.moveaxis(v, -1, 1) if self.last else v

    def _back(self, v: Array) -> Array:
        v = np.moveaxis(v, 1, -1) if self.last else v
        return v if self.batched else v[0]

    def _kernel(self, w: Array) -> Array:
        return np.moveaxis(w, (-1, -2), (0, 1)) if self.last else w

    def value(self, *args: Array) -> Array:
        x, w = args
        role = "input" if self.transposed else "output"
        return self._back(
            oracle.contract(role, self._first(x), self._kernel(w), *self.how)
        )

    def pull(self, args: Sequence[Array], ct: Array) -> list[Array]:
        x, w, ct = self._first(args[0]), self._kernel(args[1]), self._first(ct)
        role = "output" if self.transposed else "input"
        gx = oracle.contract(role, ct, w, *self.how)
        pair = (ct, x) if self.transposed else (x, ct)
        gw = oracle.contract("kernel", *pair, *self.how)
        return [self._back(gx), np.moveaxis(gw, (0, 1), (-1, -2)) if self.last else gw]


class Separable(Operation):
    """Two convolutions, one after the other."""

    def __init__(self, one: Operation, two: Operation):
        self.one, self.two = one, two

    def value(self, *args: Array) -> Array:
        x, w, v = args
        return self.two.value(self.one.value(x, w), v)

    def pull(self, args: Sequence[Array], ct: Array) -> list[Array]:
        x, w, v = args
        middle, gv = self.two.pull([self.one.value(x, w), v], ct)
        return [*self.one.pull([x, w], middle), gv]


class Unfold(Operation):
    """Windows side by side; with ``back`` their sum."""

    def __init__(self, window: oracle.Window, *, last: bool, batched: bool, back: bool):
        self.window, self.last, self.batched, self.back = window, last, batched, back

    def _unfold(self, x: Array) -> Array:
        x = x if self.batched else x[None]
        u = oracle.unfold(np.moveaxis(x, -1, 1) if self.last else x, self.window)
        n, c, taps, length = u.shape
        if self.last:  # (N, L, T*C)
            u = u.transpose(0, 3, 2, 1).reshape(n, length, taps * c)
        else:
            u = u.reshape(n, c * taps, length)
        return u if self.batched else u[0]

    def _fold(self, u: Array) -> Array:
        u = u if self.batched else u[None]
        taps, length = math.prod(self.window.kernel), math.prod(self.window.output)
        if self.last:
            u = u.reshape(len(u), length, taps, u.shape[2] // taps)
            u = u.transpose(0, 3, 2, 1)
        else:
            u = u.reshape(len(u), u.shape[1] // taps, taps, length)
        x = oracle.fold(u, self.window)
        x = np.moveaxis(x, 1, -1) if self.last else x
        return x if self.batched else x[0]

    def value(self, *args: Array) -> Array:
        return (self._fold if self.back else self._unfold)(*args)

    def pull(self, args: Sequence[Array], ct: Array) -> list[Array]:
        return [(self._unfold if self.back else self._fold)(ct)]


class Matrix(Operation):
    """The matrix of a convolution, as a function of its kernel."""

    def __init__(self, conv: Conv, shape: Ints):
        self.conv, self.shape = conv, shape

    def value(self, *args: Array) -> Array:
        (w,) = args
        columns = [self.conv.value(x, w).ravel() for x in self._units(w)]
        if not columns:  # no channels
            return self.conv.value(np.zeros(self.shape, w.dtype), w).reshape(-1, 1)[
                :, :0
            ]
        return np.stack(columns, 1)

    def _units(self, w: Array) -> Array:
        size = math.prod(self.shape)
        return np.eye(size, dtype=w.dtype).reshape(size, *self.shape)

    def pull(self, args: Sequence[Array], ct: Array) -> list[Array]:
        (w,) = args
        total = np.zeros_like(w)
        for x, column in zip(self._units(w), ct.T, strict=True):
            y = self.conv.value(x, w)
            total = total + self.conv.pull([x, w], column.reshape(y.shape))[1]
        return [total]


# Sizes --------------------------------------------------------------------------------


def per_axis(value: Any, ndim: int) -> Ints:
    return (
        tuple(map(int, value))
        if isinstance(value, tuple | list)
        else (int(value),) * ndim
    )


def paddings(padding: Any, i: Ints, k: Ints, s: Ints, d: Ints) -> list[tuple[int, int]]:
    """(low, high) of every axis, for a convolution's input of size i."""
    n = len(k)
    if not isinstance(padding, str):
        entries = padding if isinstance(padding, tuple | list) else (padding,) * n
        return [
            (int(e[0]), int(e[1])) if isinstance(e, tuple | list) else (int(e), int(e))
            for e in entries
        ]
    reach = [b * (a - 1) for a, b in zip(k, d, strict=True)]
    if padding.lower() == "valid":
        return [(0, 0)] * n
    if padding == "causal":
        if n > 1:
            raise Refused("causal")
        return [(reach[0], 0)]
    if padding == "same":
        if set(s) != {1}:
            raise Refused("same with a stride")
        return [(r // 2, r - r // 2) for r in reach]
    totals = [
        max(0, (math.ceil(a / b) - 1) * b + r + 1 - a)
        for a, b, r in zip(i, s, reach, strict=True)
    ]
    low = [t // 2 if padding == "SAME" else t - t // 2 for t in totals]
    return [(lo, t - lo) for lo, t in zip(low, totals, strict=True)]


def check_mode(mode: str, pads: Sequence[tuple[int, int]], i: Ints) -> None:
    for size, pair in zip(i, pads, strict=True):
        most = {"reflect": size - 1, "circular": size}.get(mode, max(pair))
        if max(pair) > most:
            raise Refused("padding beyond the mode")


def conv_window(i: Ints, k: Ints, options: dict[str, Any]) -> oracle.Window:
    """Where the windows of a convolution lie."""
    s, d, mode = _steps(options, len(k))
    pads = paddings(options.get("padding", 0), i, k, s, d)
    for a, b, c, (lo, hi) in zip(i, k, d, pads, strict=True):
        if c * (b - 1) + 1 > a + lo + hi:
            raise Refused("kernel beyond the padded input")
    check_mode(mode, pads, i)
    low, high = (tuple(v) for v in zip(*pads, strict=True))
    out = tuple(map(oracle.windows, i, k, s, d, low, high))
    return oracle.Window(i, k, out, s, d, low)


def _steps(options: dict[str, Any], ndim: int) -> tuple[Ints, Ints, str]:
    s = per_axis(options.get("stride", 1), ndim)
    d = per_axis(options.get("dilation", 1), ndim)
    return s, d, options.get("padding_mode", "zeros")


def transposed_window(o: Ints, k: Ints, options: dict[str, Any]) -> oracle.Window:
    """Where the windows of the convolution lie that a transposed one matches."""
    n = len(k)
    s, d, mode = _steps(options, n)
    word, size = options.get("padding", 0), options.get("output_size")
    op = per_axis(options.get("output_padding", 0), n)
    if word == "same":
        raise Refused("same")
    if size is not None and any(op):
        raise Refused("two sizes")
    wanted = None if size is None else per_axis(size, n)
    if word in ("SAME", "SAME_LOWER"):
        if any(op):
            raise Refused("SAME with output_padding")
        i = wanted or tuple(a * b for a, b in zip(o, s, strict=True))
        if any(math.ceil(a / c) != b for a, b, c in zip(i, o, s, strict=True)):
            raise Refused("no such size")
        pads = paddings(word, i, k, s, d)
    else:
        pads = paddings(word, o, k, s, d)
        if any(a >= max(b, c) for a, b, c in zip(op, s, d, strict=True)):
            raise Refused("output_padding beyond stride and dilation")
        least = [
            (a - 1) * b + e * (c - 1) + 1 - lo - hi
            for a, b, c, e, (lo, hi) in zip(o, s, k, d, pads, strict=True)
        ]
        i = wanted or tuple(a + b for a, b in zip(least, op, strict=True))
        if any(
            not 0 <= a - b < c for a, b, c in zip(wanted or (), least, s, strict=False)
        ):
            raise Refused("no such size")
    if min(i) < 1:
        raise Refused("result below size 1")
    check_mode(mode, pads, i)
    return oracle.Window(i, k, o, s, d, tuple(lo for lo, _ in pads))
