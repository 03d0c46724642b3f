"""Receptive fields against the exact support of outputs, operation by operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxconv
from jaxconv._inspect.summary import views as _views
from jaxconv._inspect.summary.collect import Source
from jaxconv._inspect.summary.summarize import summarize, value
from jaxconv._inspect.summary.walk import Walk
from jaxconv._inspect.support.structure import Tape

Fn = Callable[[Any], Any]
ROWS, COLUMNS = 13, 10
X = jax.ShapeDtypeStruct((1, 2, ROWS, COLUMNS), jnp.float32)


def kernel(*shape: int, seed: int = 0) -> jax.Array:
    """Numbers without a zero."""
    values = np.random.default_rng(seed).uniform(1, 2, shape)
    return jnp.asarray(values, jnp.float32)


def stretches(fn: Fn, x: Any = X) -> list[tuple[Any, ...]]:
    """For each output, what it is said to see of each axis of x."""
    closed = jax.make_jaxpr(fn)(x)
    source = Source("x", 0, closed.jaxpr.invars[0].aval)
    walk = Walk("cpu", [tuple(source.aval.shape)])
    (found,) = walk.run(closed, [value(0, source)])
    return [
        tuple(stretch(view, place) for view in found.seen[0])
        for place in np.ndindex(*found.shape)
    ]


def stretch(view: _views.View, place: tuple[int, ...]) -> Any:
    assert not view.unknown
    sides = []
    for term in view.terms.values():
        each = [lattice.read(place[axis]) for axis, lattice in term.along.items()]
        if all(lo <= hi for lo, hi in each):
            lo = term.lo + sum(int(low) for low, _ in each)
            sides.append((lo, term.hi + sum(int(high) for _, high in each)))
    if not sides:
        return None
    return min(lo for lo, _ in sides), max(hi for _, hi in sides)


def pool(x: Any, k: int, s: int = 1, d: int = 1, padding: Any = "VALID") -> Any:
    sizes = (1, 1, k, k), (1, 1, s, s)
    return lax.reduce_window(
        x, -jnp.inf, lax.max, *sizes, padding, window_dilation=(1, 1, d, d)
    )


def conv(x: Any, *window: int, seed: int = 0, out: int = 3, **options: Any) -> Any:
    w = kernel(out, x.shape[1] // options.get("groups", 1), *window, seed=seed)
    return jaxconv.conv(x, w, **options)


def conv_transpose(x: Any, *window: int, out: int = 3, **options: Any) -> Any:
    w = kernel(x.shape[1], out // options.get("groups", 1), *window)
    return jaxconv.conv_transpose(x, w, **options)


def lax_conv(x: Any, *window: int, **options: Any) -> Any:
    w = kernel(4, x.shape[1] // options.get("feature_group_count", 1), *window)
    return lax.conv_general_dilated(x, w, **options)


def block(x: Any) -> Any:
    y = jax.nn.relu(conv(x, 3, 3, out=2, padding=1))
    return x + conv(y, 3, 3, out=2, padding=1)


def space_to_depth(x: Any) -> Any:
    n, c, h, w = x.shape
    x = x[:, :, : h - h % 2, : w - w % 2]
    x = x.reshape(n, c, h // 2, 2, w // 2, 2).transpose(0, 3, 5, 1, 2, 4)
    return x.reshape(n, 4 * c, h // 2, w // 2)


def depth_to_space(x: Any) -> Any:
    n, c, h, w = x.shape
    x = x.reshape(n, 2, 2, c // 4, h, w).transpose(0, 3, 4, 1, 5, 2)
    return x.reshape(n, c // 4, 2 * h, 2 * w)


def attention(x: Any) -> Any:
    rows = x[0].mean(-1).T  # (rows, channels)
    weights = jax.nn.softmax(rows @ rows.T)
    return (weights @ rows) + rows


def windows(x: Any) -> Any:
    """Blocks of 3 × 5, turned within, and put back."""
    x = x[:, :, :12].reshape(1, 2, 4, 3, 2, 5)
    x = x.transpose(0, 2, 4, 1, 3, 5).reshape(8, 2, 3, 5)
    x = x.max(axis=2, keepdims=True) + x
    return x.reshape(1, 4, 2, 2, 3, 5).transpose(0, 3, 1, 4, 2, 5).reshape(1, 2, 12, 10)


# Those for which every stretch is the smallest one around what is seen, at every output
# whose stretch lies inside of the image.
EXACT: dict[str, Fn] = {
    "conv": lambda x: conv(x, 3, 2, stride=(2, 1), padding=(1, 0), dilation=(1, 3)),
    "asymmetric padding": lambda x: conv(x, 3, 3, padding=[(4, 0), (0, 3)], stride=2),
    "grouped": lambda x: conv(x, 3, 3, out=4, groups=2),
    "stack": lambda x: conv(conv(x, 3, 3, stride=2), 2, 3, padding=1, dilation=2),
    "transposed": lambda x: conv_transpose(x, 4, 3, stride=2, padding=1),
    "transposed, gaps": lambda x: conv_transpose(x, 2, 2, stride=3),
    "transposed, dilated": lambda x: conv_transpose(
        x, 3, 2, stride=2, dilation=(2, 3), padding=1, output_padding=1
    ),
    "transposed, grouped": lambda x: conv_transpose(x, 3, 3, out=4, groups=2, stride=2),
    "down and up": lambda x: conv_transpose(
        conv(x, 3, 3, stride=3), 5, 5, stride=3, padding=1
    ),
    "up and down": lambda x: conv(conv_transpose(x, 4, 4, stride=3), 3, 3, stride=2),
    "lax": lambda x: lax_conv(
        x, 3, 2, window_strides=(2, 1), padding=[(1, 2), (0, 1)], rhs_dilation=(1, 2)
    ),
    "lax, transposed": lambda x: lax_conv(
        x, 3, 2, window_strides=(1, 1), padding=[(1, 2), (0, 1)], lhs_dilation=(2, 3)
    ),
    "lax, both dilated": lambda x: lax_conv(
        x, 3, 4, window_strides=(3, 2), padding=[(4, 2), (0, 1)],
        lhs_dilation=(2, 3), rhs_dilation=(3, 2),
    ),
    "lax, grouped": lambda x: lax_conv(
        x, 3, 3, window_strides=(1, 1), padding="VALID", feature_group_count=2
    ),
    "residual": block,
    "branches": lambda x: jnp.concatenate(
        [conv(x, 3, 3, padding=1), pool(x, 3, padding="SAME"), conv(x, 1, 1)], axis=1
    ),
    "max pool": lambda x: pool(x, 3, 2, padding="SAME"),
    "dilated pool": lambda x: pool(x, 3, 1, 2),
    "strided slice": lambda x: conv(x, 3, 3)[:, :, 1::2, ::-3],
    "pads": lambda x: conv(
        lax.pad(x, jnp.float32(0), ((0, 0, 0), (0, 0, 0), (2, -1, 1), (-1, 3, 2))), 2, 3
    ),
    "transpose": lambda x: conv(x.transpose(0, 1, 3, 2), 3, 2, stride=(2, 1)),
    "turned": lambda x: conv(x[:, :, ::-1], 3, 2, stride=2),
    "repeat": lambda x: conv(jnp.repeat(jnp.repeat(x, 2, 2), 3, 3), 3, 3),
    "tile": lambda x: jnp.tile(conv(x, 3, 3), (1, 2, 2, 1)),
    "space to depth": lambda x: conv(space_to_depth(x), 3, 3),
    "depth to space": lambda x: conv(
        depth_to_space(conv(x, 3, 3, out=8, padding=1)), 3, 3
    ),
    "flattened": lambda x: conv(x, 3, 3).reshape(1, -1),
    "unflattened": lambda x: conv(x.reshape(2, -1).reshape(X.shape), 3, 3),
    "joined": lambda x: conv(jnp.concatenate([x[:, :, :6], x[:, :, 6:]], 2), 3, 3),
    "one row": lambda x: conv(x, 3, 3)[:, :, 4],
    "split": lambda x: jnp.split(conv(x, 3, 3, out=4), 2, axis=1)[1],
    "stacked": lambda x: jnp.stack([x, conv(x, 3, 3, out=2, padding=1)], axis=2),
    "nearest, doubled": lambda x: jax.image.resize(x, (1, 2, 26, 10), "nearest"),
    "nearest, odd": lambda x: jax.image.resize(x, (1, 2, 9, 10), "nearest"),
    "linear, doubled": lambda x: jax.image.resize(x, (1, 2, 26, 10), "linear"),
    "linear, halved": lambda x: jax.image.resize(x, (1, 2, 13, 5), "linear"),
    "take": lambda x: x[:, :, jnp.array([1, 3, 5, 7, 9, 11])],
    "patches": lambda x: x[:, :, np.arange(5)[:, None] * 2 + np.arange(3)],
    "cumulative": lambda x: jnp.cumsum(x, axis=2),
    "running maximum": lambda x: lax.cummax(x, axis=3, reverse=True),
    "row means": lambda x: x.mean(axis=3),
    "sort": lambda x: jnp.sort(x, axis=2),
    "softmax": lambda x: jax.nn.softmax(conv(x, 3, 3), axis=1),
    "attention": attention,
    "windows": windows,
    "dynamic slice": lambda x: lax.dynamic_slice(x, (0, 0, 3, 1), (1, 2, 5, 6)),
    "map": lambda x: lax.map(lambda row: conv(row[None], 3)[0], x[0].swapaxes(0, 1)),
}  # fmt: skip

# Those where more is seen at a border than the rule inside says.
INSIDE: dict[str, Fn] = {
    "reflected": lambda x: conv(x, 3, 3, padding=1, padding_mode="reflect"),
    "circular": lambda x: conv(x, 3, 3, padding=1, padding_mode="circular"),
    "replicated": lambda x: conv(x, 3, 3, padding=2, padding_mode="replicate"),
    "rolled": lambda x: conv(jnp.roll(x, 2, axis=2), 3, 3),
}


# Axes of the result whose units are taken together, since fields are over channels.
TOGETHER = {"branches": (1,), "stacked": (1, 2)}


def sampled(fn: Fn, together: tuple[int, ...] = (), count: int = 12) -> list[Any]:
    """Some outputs' stretches and hulls, the first and the last among them."""
    shape = jax.eval_shape(fn, X).shape
    said = stretches(fn)
    tape = Tape().record(jax.make_jaxpr(fn)(X), X)
    places = list(np.ndindex(*shape))
    chosen = np.random.default_rng(1).choice(len(places), min(count, len(places)))
    pairs = []
    for number in dict.fromkeys([0, len(places) - 1, *chosen.tolist()]):
        start = np.zeros(shape, bool)
        start[
            tuple(
                slice(None) if axis in together else at
                for axis, at in enumerate(places[number])
            )
        ] = True
        seen = np.argwhere(tape.support(start))
        hull = [(int(v.min()), int(v.max())) for v in seen.T] if len(seen) else None
        pairs.append((said[number], hull))
    return pairs


@pytest.mark.parametrize("name", EXACT)
def test_fields_are_the_smallest_boxes(name: str) -> None:
    inside = 0
    for said, hull in sampled(EXACT[name], TOGETHER.get(name, ())):
        if hull is None:
            # Nothing is seen: on inserted zeros or on padding.
            assert any(
                s is None or s[1] < 0 or s[0] >= n
                for s, n in zip(said, X.shape, strict=True)
            )
            continue
        for axis in (2, 3):
            (lo, hi), (first, last) = said[axis], hull[axis]
            assert lo <= first
            assert last <= hi
            if lo >= 0 and hi < X.shape[axis]:
                assert (lo, hi) == (first, last)
                inside += 1
    assert inside >= 4


@pytest.mark.parametrize("name", INSIDE)
def test_fields_away_from_a_filled_border(name: str) -> None:
    agreed = broken = 0
    for said, hull in sampled(INSIDE[name], count=40):
        for axis in (2, 3):
            if hull is not None and said[axis] == hull[axis]:
                agreed += 1
            else:
                broken += 1
    assert agreed > 2 * broken > 0
    (layer,) = summarize(INSIDE[name], X).layers
    assert any("border" in note for note in layer.notes)
