"""Padding with other things than zeros, for conv and as its true adjoint."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxconv
import oracle
from cases import arrange, random
from oracle import Window, close

Rng = np.random.Generator
Ints = tuple[int, ...]
NUMPY = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
over_modes = pytest.mark.parametrize("mode", NUMPY)


class Padded(NamedTuple):
    """Channels first: x is (2, groups*c, *space), kernel (groups*o, c, *window)."""

    space: Ints
    window: Ints
    pads: tuple[Ints, ...]
    stride: Ints
    dilation: Ints
    groups: int = 1
    c: int = 3
    o: int = 2

    @property
    def outputs(self) -> Ints:
        low, high = zip(*self.pads, strict=True)
        sizes = self.space, self.window, self.stride, self.dilation, low, high
        return tuple(map(oracle.windows, *sizes))

    @property
    def oracle(self) -> Window:
        low = tuple(lo for lo, _ in self.pads)
        return Window(
            self.space, self.window, self.outputs, self.stride, self.dilation, low
        )

    @property
    def options(self) -> dict[str, Any]:
        found = self._asdict()
        names = ("stride", "dilation", "groups")
        return {"padding": self.pads, **{name: found[name] for name in names}}

    def draw(self, rng: Rng) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x, kernel, and a random y of the output's shape."""
        x = random(rng, (2, self.groups * self.c, *self.space))
        w = random(rng, (self.groups * self.o, self.c, *self.window))
        return x, w, random(rng, (2, self.groups * self.o, *self.outputs))


PADDED = {
    "line": Padded((9,), (4,), ((3, 1),), (2,), (1,)),
    "line as far as it goes": Padded((6,), (3,), ((5, 5),), (1,), (2,)),
    "plane": Padded((7, 6), (3, 2), ((2, 2), (0, 1)), (1, 1), (1, 1)),
    "plane grouped": Padded((8, 5), (2, 3), ((1, 3), (4, 0)), (2, 3), (3, 1), 2),
    "plane depthwise": Padded(
        (5, 6), (3, 4), ((2, 1), (3, 2)), (1, 2), (2, 1), groups=3, c=1, o=2
    ),
    "volume": Padded(
        (4, 5, 3), (2, 3, 1), ((1, 2), (0, 3), (2, 0)), (1, 2, 1), (2, 1, 1)
    ),
}
over_padded = pytest.mark.parametrize("name", PADDED)
LAYOUT = {"line": "channels_last", "plane grouped": "channels_last"}


@over_modes
@over_padded
def test_conv_pads_as_numpy_does(name: str, mode: str, rng: Rng) -> None:
    case, layout = PADDED[name], LAYOUT.get(name, "channels_first")
    x, w, _ = case.draw(rng)
    padded = np.pad(x, [(0, 0), (0, 0), *case.pads], mode=NUMPY[mode])
    low = (0,) * len(case.space)
    window = case.oracle._replace(input=padded.shape[2:], low=low)
    want = oracle.contract("output", padded, w, window, case.groups)
    y = jaxconv.conv(
        jnp.asarray(arrange(x, "input", layout)),
        jnp.asarray(arrange(w, "kernel", layout)),
        padding_mode=mode,
        layout=layout,
        **case.options,
    )
    close(y, arrange(want, "input", layout), w[0].size, np.float64)


@over_modes
@over_padded
def test_conv_transpose_is_the_adjoint(name: str, mode: str, rng: Rng) -> None:
    """What was read through the padding is added where it was read from."""
    case, layout = PADDED[name], LAYOUT.get(name, "channels_first")
    x, w, y = case.draw(rng)
    moved = jnp.asarray(arrange(y, "input", layout))
    kernel = jnp.asarray(arrange(w, "kernel", layout))
    options = {"padding_mode": mode, "layout": layout, **case.options}
    z = jaxconv.conv_transpose(moved, kernel, output_size=case.space, **options)
    want = oracle.contract("input", y, w, case.oracle, case.groups, mode)
    close(z, arrange(want, "input", layout), 9 * w[0].size, np.float64)

    def conv(x: Any) -> Any:
        return jaxconv.conv(x, kernel, **options)

    inner = jax.ShapeDtypeStruct(arrange(x, "input", layout).shape, x.dtype)
    (transposed,) = jax.linear_transpose(conv, inner)(moved)
    close(transposed, arrange(want, "input", layout), 9 * w[0].size, np.float64)


@over_modes
def test_kernel_gradients(mode: str, rng: Rng) -> None:
    case = PADDED["plane grouped"]
    x, w, y = case.draw(rng)
    options = {"padding_mode": mode, **case.options}
    want = oracle.contract("kernel", x, y, case.oracle, case.groups, mode)
    _, pull = jax.vjp(lambda w: jaxconv.conv(x, w, **options), jnp.asarray(w))
    close(pull(jnp.asarray(y))[0], want, y[:, 0].size, np.float64)
    options["output_size"] = case.space
    _, pull = jax.vjp(lambda w: jaxconv.conv_transpose(y, w, **options), jnp.asarray(w))
    close(pull(jnp.asarray(x))[0], want, y[:, 0].size, np.float64)


@pytest.mark.parametrize("shift", [(1, 0), (-2, 3)])
def test_rolling_the_input_rolls_a_circular_convolution(shift: Ints, rng: Rng) -> None:
    x, w = random(rng, (2, 3, 7, 6)), jnp.asarray(random(rng, (4, 3, 3, 4)))
    options = {"padding": "same", "padding_mode": "circular", "dilation": (2, 1)}
    y = jaxconv.conv(jnp.asarray(x), w, **options)
    rolled = jaxconv.conv(jnp.asarray(np.roll(x, shift, (2, 3))), w, **options)
    close(rolled, np.roll(y, shift, (2, 3)), 36, np.float64)
    assert np.abs(rolled - y).max() > 0.1


def test_rolling_the_input_rolls_a_circular_transposed_convolution(rng: Rng) -> None:
    y, w = random(rng, (2, 4, 5, 6)), jnp.asarray(random(rng, (4, 3, 3, 4)))
    options = {
        "stride": (2, 3),
        "padding": ((1, 0), (1, 0)),
        "padding_mode": "circular",
    }
    z = jaxconv.conv_transpose(jnp.asarray(y), w, **options)
    rolled = jaxconv.conv_transpose(
        jnp.asarray(np.roll(y, (1, 2), (2, 3))), w, **options
    )
    assert z.shape == (2, 3, 10, 18)  # a whole number of strides
    close(rolled, np.roll(z, (2, 6), (2, 3)), 48, np.float64)


def test_a_constant_stays_one_but_for_zeros(rng: Rng) -> None:
    """Only zeros change the mean at the border."""
    x = jnp.full((1, 1, 5, 6), 0.7)
    w = jnp.asarray(random(rng, (2, 1, 3, 3)))
    want = np.asarray(w.sum((1, 2, 3)) * 0.7)[None, :, None, None]
    for mode in NUMPY:
        y = jaxconv.conv(x, w, padding=2, padding_mode=mode)
        close(y, np.broadcast_to(want, y.shape), 9, np.float64)
    edge = jaxconv.conv(x, w, padding=2)
    assert np.abs(edge - want).max() > 0.1


LIMITS = {"reflect": -1, "circular": 0}


@pytest.mark.parametrize(("mode", "axis"), list(itertools.product(LIMITS, (0, 1))))
def test_limits(mode: str, axis: int, rng: Rng) -> None:
    """reflect reaches the other end, circular once around, replicate anywhere."""
    space = (4, 5)
    x, w = (
        jnp.asarray(random(rng, (2, 3, *space))),
        jnp.asarray(random(rng, (4, 3, 2, 3))),
    )
    for end in (0, 1):
        pads = [[0, 0], [0, 0]]
        pads[axis][end] = space[axis] + LIMITS[mode]
        assert jaxconv.conv(x, w, padding=pads, padding_mode=mode).shape[0] == 2
        pads[axis][end] += 1
        with pytest.raises(ValueError, match=f"at most.*axis {axis}.*{space[axis]}"):
            jaxconv.conv(x, w, padding=pads, padding_mode=mode)
        y = jaxconv.conv(x, w, padding=pads, padding_mode="replicate")
        assert y.shape[2 + axis] == 2 * space[axis] + LIMITS[mode] + 1 - (1, 2)[axis]


@pytest.mark.parametrize("mode", LIMITS)
def test_limits_of_the_transpose_are_those_of_its_result(mode: str, rng: Rng) -> None:
    y, w = jnp.asarray(random(rng, (2, 4, 9))), jnp.asarray(random(rng, (4, 3, 2)))
    most = {"reflect": 3, "circular": 3}[mode]  # result: 10 - 2p
    z = jaxconv.conv_transpose(y, w, padding=most, padding_mode=mode)
    assert z.shape == (2, 3, 4)
    with pytest.raises(ValueError, match="at most"):
        jaxconv.conv_transpose(y, w, padding=4, padding_mode=mode)
