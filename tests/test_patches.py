"""unfold and fold against indexing by hand, and against convolution."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxconv
import oracle
from cases import arrange, over_layouts, random
from oracle import close

Rng = np.random.Generator
Ints = tuple[int, ...]


class Sliding(NamedTuple):
    x: Ints  # (n, c, *space)
    window: Ints
    stride: Ints
    dilation: Ints
    pads: tuple[Ints, ...]

    @property
    def oracle(self) -> oracle.Window:
        low, high = zip(*self.pads, strict=True)
        sizes = self.x[2:], self.window, self.stride, self.dilation, low, high
        outputs = tuple(map(oracle.windows, *sizes))
        return oracle.Window(
            self.x[2:], self.window, outputs, self.stride, self.dilation, low
        )

    @property
    def options(self) -> dict[str, Any]:
        return {"stride": self.stride, "dilation": self.dilation, "padding": self.pads}

    def unfold(self, x: np.ndarray) -> np.ndarray:
        """(n, c*taps, positions)."""
        u = oracle.unfold(x, self.oracle)
        return u.reshape(len(x), -1, u.shape[-1])

    def fold(self, u: np.ndarray) -> np.ndarray:
        u = u.reshape(*self.x[:2], math.prod(self.window), -1)
        return oracle.fold(u, self.oracle)


SLIDING = {
    "line": Sliding((3, 2, 11), (4,), (2,), (1,), ((0, 0),)),
    "line dilated": Sliding((2, 3, 13), (3,), (1,), (4,), ((2, 5),)),
    "plane": Sliding((2, 4, 7, 6), (3, 2), (1, 1), (1, 1), ((0, 0), (0, 0))),
    "plane with everything": Sliding(
        (3, 2, 9, 8), (3, 2), (2, 1), (1, 3), ((1, 2), (0, 3))
    ),
    "plane with gaps": Sliding(
        (2, 3, 11, 10), (2, 3), (4, 5), (1, 1), ((1, 0), (0, 0))
    ),
    "one tap": Sliding((2, 3, 6, 5), (1, 1), (2, 3), (1, 1), ((0, 1), (1, 0))),
    "volume": Sliding(
        (2, 3, 5, 4, 6), (2, 3, 1), (1, 2, 3), (2, 1, 1), ((1, 0), (0, 1), (0, 0))
    ),
    "four axes": Sliding(
        (1, 2, 3, 4, 5, 2), (2, 1, 3, 2), (1, 2, 1, 1), (1,) * 4, ((0, 0),) * 4
    ),
}
over_sliding = pytest.mark.parametrize("name", SLIDING)


def to_layout(u: np.ndarray, channels: int, layout: str) -> np.ndarray:
    """(n, C*T, L) to (n, L, T*C) where channels are last."""
    if layout == "channels_first":
        return u
    n, rows, positions = u.shape
    u = u.reshape(n, channels, rows // channels, positions)
    return u.transpose(0, 3, 2, 1).reshape(n, positions, rows)


@over_sliding
@over_layouts
def test_unfold_and_fold(name: str, layout: str, rng: Rng) -> None:
    case = SLIDING[name]
    n, c = case.x[:2]
    x = random(rng, case.x)
    columns = random(rng, case.unfold(x).shape)
    options = {"layout": layout, **case.options}

    @jax.jit
    def both(x: jax.Array, columns: jax.Array) -> tuple[jax.Array, jax.Array]:
        folded = jaxconv.fold(columns, case.x[2:], case.window, **options)
        return jaxconv.unfold(x, case.window, **options), folded

    u, folded = both(arrange(x, "input", layout), to_layout(columns, c, layout))
    np.testing.assert_array_equal(u, to_layout(case.unfold(x), c, layout))
    want = arrange(case.fold(columns), "input", layout)
    assert folded.shape[0] == n
    close(folded, want, math.prod(case.window), np.float64)


@over_layouts
def test_one_image_without_a_batch(layout: str, rng: Rng) -> None:
    case = SLIDING["plane with everything"]
    x = random(rng, (1, *case.x[1:]))
    c = case.x[1]
    options = {"layout": layout, **case.options}
    u = jaxconv.unfold(
        jnp.asarray(arrange(x, "input", layout)[0]), case.window, **options
    )
    np.testing.assert_array_equal(u, to_layout(case.unfold(x), c, layout)[0])
    folded = jaxconv.fold(u, case.x[2:], case.window, **options)
    want = case._replace(x=x.shape).fold(case.unfold(x))
    close(folded, arrange(want, "input", layout)[0], 6, np.float64)


@over_sliding
def test_channels_last_windows_times_the_kernel_are_conv(name: str, rng: Rng) -> None:
    case = SLIDING[name]
    c, o = case.x[1], 5
    x = jnp.asarray(arrange(random(rng, case.x), "input", "channels_last"))
    w = jnp.asarray(
        arrange(random(rng, (o, c, *case.window)), "kernel", "channels_last")
    )
    u = jaxconv.unfold(x, case.window, layout="channels_last", **case.options)
    y = jaxconv.conv(x, w, layout="channels_last", **case.options)
    product = (u @ w.reshape(-1, o)).reshape(y.shape)
    close(product, np.asarray(y), c * math.prod(case.window), np.float64)


@pytest.mark.parametrize("name", ["line dilated", "plane with everything"])
def test_channels_first_kernel_times_windows_is_conv(name: str, rng: Rng) -> None:
    case = SLIDING[name]
    x, w = jnp.asarray(random(rng, case.x)), random(rng, (5, case.x[1], *case.window))
    u = jaxconv.unfold(x, case.window, **case.options)
    y = jaxconv.conv(x, jnp.asarray(w), **case.options)
    product = (jnp.asarray(w.reshape(5, -1)) @ u).reshape(y.shape)
    close(product, np.asarray(y), w[0].size, np.float64)


@pytest.mark.parametrize("name", ["line", "plane with everything", "volume"])
@over_layouts
def test_each_is_the_others_gradient(name: str, layout: str, rng: Rng) -> None:
    case = SLIDING[name]
    options = {"layout": layout, **case.options}
    x = jnp.asarray(arrange(random(rng, case.x), "input", layout))

    def unfold(x: Any) -> Any:
        return jaxconv.unfold(x, case.window, **options)

    def fold(u: Any) -> Any:
        return jaxconv.fold(u, case.x[2:], case.window, **options)

    u, to_image = jax.vjp(unfold, x)
    columns = jnp.asarray(random(rng, u.shape))
    folded, to_columns = jax.vjp(fold, columns)
    np.testing.assert_array_equal(to_image(columns)[0], folded)
    np.testing.assert_array_equal(to_columns(x)[0], u)
    scale = float(jnp.linalg.norm(u.ravel()) * jnp.linalg.norm(columns.ravel()))
    left, right = (u * columns).sum() / scale, (x * folded).sum() / scale
    close(left, np.asarray(right), u.size, np.float64)
    tangent = jax.jvp(unfold, (x,), (folded,))[1]
    np.testing.assert_array_equal(tangent, unfold(folded))


def test_an_int_is_a_square_plane(rng: Rng) -> None:
    x = jnp.asarray(random(rng, (2, 3, 7, 7)))
    u = jaxconv.unfold(x, 3, stride=2)
    np.testing.assert_array_equal(u, jaxconv.unfold(x, (3, 3), stride=(2, 2)))
    np.testing.assert_array_equal(
        jaxconv.fold(u, 7, 3, stride=2), jaxconv.fold(u, (7, 7), (3, 3), stride=2)
    )


@pytest.mark.parametrize("dtype", ["int8", "bfloat16", "complex64"])
def test_types_are_kept(dtype: str, rng: Rng) -> None:
    x = jnp.asarray(random(rng, (2, 3, 7, 6))).astype(dtype)
    u = jaxconv.unfold(x, (2, 3), stride=(2, 3))
    assert u.dtype == x.dtype
    folded = jaxconv.fold(u, (7, 6), (2, 3), stride=(2, 3))
    assert folded.dtype == x.dtype
    np.testing.assert_array_equal(folded[:, :, :6], x[:, :, :6])  # no overlap
    np.testing.assert_array_equal(folded[:, :, 6:], jnp.zeros_like(x[:, :, 6:]))
