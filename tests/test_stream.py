"""Streams: block by block equal to the whole, which is equal to the oracle."""

from __future__ import annotations

import math
import re
import runpy
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxconv
from oracle import Window, close, contract

Blocks = tuple[int, ...]


class Case(NamedTuple):
    """``channels`` are those per group that come in and that go out."""

    transposed: bool
    k: int
    s: int
    d: int
    groups: int
    channels: tuple[int, int]
    padding: Any = "causal"
    layout: str = "channels_first"

    def stream(self, implementation: str | None = None) -> jaxconv.Stream:
        operation = jaxconv.conv_transpose if self.transposed else jaxconv.conv
        return jaxconv.stream(
            operation,
            self.kernel_shape,
            stride=self.s,
            padding=self.padding,
            dilation=self.d,
            groups=self.groups,
            layout=self.layout,
            implementation=implementation,
        )

    @property
    def kernel_shape(self) -> tuple[int, int, int]:
        c, o = self.channels[::-1] if self.transposed else self.channels
        shape = (o * self.groups, c, self.k)
        return shape if self.layout == "channels_first" else shape[::-1]

    def draw(self, rng: np.random.Generator, n: int, time: int) -> list[np.ndarray]:
        """x, kernel and bias, in the case's layout."""
        into, out = (c * self.groups for c in self.channels)
        shape = (n, into, time) if self.first else (n, time, into)
        shapes = (shape, self.kernel_shape, (out,))
        return [rng.standard_normal(v) for v in shapes]

    @property
    def first(self) -> bool:
        return self.layout == "channels_first"

    def expected(self, x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The whole, by the oracle's loops."""
        if not self.first:
            x, w = x.swapaxes(1, 2), w.transpose(2, 1, 0)
        time, span = x.shape[2], self.d * (self.k - 1) + 1
        low = span - 1 if self.padding == "causal" else self.padding
        if self.transposed:
            window = Window(
                (time * self.s,), (self.k,), (time,), (self.s,), (self.d,), (0,)
            )
            y = contract("input", x, w, window, self.groups)
        else:
            window = Window(
                (time,), (self.k,), (time // self.s,), (self.s,), (self.d,), (low,)
            )
            y = contract("output", x, w, window, self.groups)
        y = y + b[:, None]
        return y if self.first else y.swapaxes(1, 2)


CASES = {
    "plain": Case(False, 3, 1, 1, 1, (2, 3)),
    "dilated": Case(False, 3, 1, 4, 1, (2, 3)),
    "strided": Case(False, 7, 3, 1, 2, (2, 1)),
    "fewer zeros": Case(False, 7, 3, 1, 1, (2, 3), padding=4),
    "strided and dilated": Case(False, 3, 2, 3, 1, (1, 2), layout="channels_last"),
    "wider steps": Case(False, 2, 5, 1, 1, (2, 3), padding=0),
    "depthwise": Case(False, 4, 1, 1, 3, (1, 1), layout="channels_last"),
    "up": Case(True, 4, 2, 1, 1, (2, 3)),
    "up grouped": Case(True, 7, 3, 1, 2, (2, 3), layout="channels_last"),
    "up dilated": Case(True, 3, 2, 3, 1, (2, 1)),
    "up with gaps": Case(True, 2, 5, 2, 1, (1, 2)),
    "up at once": Case(True, 3, 1, 1, 3, (1, 1)),
}
over_cases = pytest.mark.parametrize("name", CASES)


def cut(case: Case, x: Any, blocks: Blocks) -> list[Any]:
    axis = 2 if case.first else 1
    unit = 1 if case.transposed else case.s
    return np.split(np.asarray(x), np.cumsum(blocks[:-1]) * unit, axis)


@over_cases
def test_blocks_are_the_whole(name: str, rng: np.random.Generator) -> None:
    case, blocks = CASES[name], (1, 3, 2, 6, 1)
    time = sum(blocks) * (1 if case.transposed else case.s)
    x, w, b = case.draw(rng, 2, time)
    stream = case.stream()
    wanted = case.expected(x, w, b)
    terms = case.k * case.channels[0]

    @jax.jit
    def every(parts: Any, x: Any, w: Any, b: Any) -> Any:
        state, found = stream.init(2, np.float64), []
        for block in parts:
            state, y = stream.step(state, block, w, b)
            found.append(y)
        alone = stream.step(stream.init(None, np.float64), x[0], w, b)[1]
        return stream.whole(x, w, b), found, alone

    whole, found, alone = every(cut(case, x, blocks), x, w, b)
    close(whole, wanted, terms, np.float64)
    axis = 2 if case.first else 1
    close(np.concatenate(found, axis), wanted, terms, np.float64)
    close(alone, wanted[0], terms, np.float64)


@pytest.mark.parametrize("name", ["strided", "up"])
def test_scan_grad_vmap_and_one_compilation(
    name: str, rng: np.random.Generator
) -> None:
    """Three signals under vmap, five blocks in a scan: gradients of all operands."""
    case = CASES[name]
    unit = 1 if case.transposed else case.s
    x, w, b = case.draw(rng, 3, 5 * 2 * unit)
    stream = case.stream()
    weights = rng.standard_normal(stream.whole(x, w, b).shape)
    traced: list[int] = []

    def steps(x: Any, w: Any, b: Any) -> Any:
        def step(state: Any, block: Any) -> Any:
            traced.append(1)
            return stream.step(state, block, w, b)

        blocks = jnp.moveaxis(x.reshape(x.shape[0], 5, -1), 1, 0)
        _, y = lax.scan(step, stream.init(None, x.dtype), blocks)
        return jnp.moveaxis(y, 0, 1).reshape(y.shape[1], -1)

    def loss(run: Any) -> Any:
        def total(operands: Any) -> Any:
            y = jax.vmap(run, (0, None, None))(*operands)
            return (jnp.sin(y) * weights).sum()

        return jax.jit(jax.value_and_grad(total))

    value, slopes = loss(steps)((x, w, b))
    wanted, expected = loss(stream.whole)((x, w, b))
    assert len(traced) <= 2  # one trace, and one by scan's fixed point
    np.testing.assert_allclose(value, wanted, rtol=1e-11)
    for slope, by_whole in zip(slopes, expected, strict=True):
        close(slope, np.asarray(by_whole), 400, np.float64)

    compiled = jax.jit(stream.step)
    state = stream.init(3, np.float64)
    for block in cut(case, x, (2,) * 5):
        state, _ = compiled(state, block, w, b)
    assert compiled._cache_size() == 1


@pytest.mark.parametrize("name", ["strided", "up dilated"])
def test_bfloat16_is_as_exact_in_blocks_as_lax(
    name: str, rng: np.random.Generator
) -> None:
    """Where lax gives a block the whole's bits, so does the same lowering here."""
    case = CASES[name]._replace(channels=(8, 16), groups=1)
    unit = 1 if case.transposed else case.s
    x, w, _ = (jnp.asarray(v, jnp.bfloat16) for v in case.draw(rng, 1, 4 * 3 * unit))
    stream = case.stream("xla")
    reach = case.d * (case.k - 1)

    def by_lax(v: Any, history: int, time: int) -> Any:
        numbers: Any = ("NCH", "OIH", "NCH")
        if not case.transposed:
            low = reach if history == 0 else 0
            return lax.conv_general_dilated(
                *(v, w, (case.s,), [(low, 0)]),
                rhs_dilation=(case.d,),
                dimension_numbers=numbers,
            )
        y = lax.conv_general_dilated(
            *(v, jnp.flip(w, 2).swapaxes(0, 1), (1,), [(reach, reach)]),
            lhs_dilation=(case.s,),
            rhs_dilation=(case.d,),
            dimension_numbers=numbers,
        )
        return y[..., history * case.s :][..., : time * case.s]

    whole, state, found, theirs = stream.whole(x, w), stream.init(1, x.dtype), [], []
    for block in cut(case, x, (3,) * 4):
        both = jnp.concatenate([state, jnp.asarray(block)], 2)
        theirs.append(by_lax(both, state.shape[2], block.shape[2]))
        state, y = stream.step(state, block, w)
        found.append(y)
    same = np.concatenate(theirs, 2) == np.asarray(by_lax(x, 0, x.shape[2]))
    assert same.mean() > 0.9
    np.testing.assert_array_equal(np.concatenate(found, 2)[same], whole[same])
    assert whole.dtype == jnp.bfloat16


# Numbers ------------------------------------------------------------------------------

UP, DOWN, LATE = CASES["up"], CASES["strided and dilated"], CASES["fewer zeros"]
CHAINS = {
    "one": [LATE],
    "codec": [LATE, DOWN, CASES["dilated"], UP, Case(True, 7, 3, 1, 1, (1, 1))],
    "up first": [UP, Case(True, 3, 3, 2, 1, (1, 1)), DOWN],
    "uneven": [Case(False, 5, 3, 1, 1, (1, 1), padding=2), UP],
}


@pytest.mark.parametrize("name", CHAINS)
def test_numbers_are_those_of_the_jacobian(name: str) -> None:
    cases = [c._replace(channels=(1, 1), layout="channels_first") for c in CHAINS[name]]
    streams = [case.stream() for case in cases]
    sizes = jaxconv.stream_sizes(streams)

    def whole(x: Any) -> Any:
        for stream in streams:
            x = stream.whole(x, jnp.ones(stream.kernel_shape))
        return x[0]

    time = sizes.block * math.ceil(2 * sizes.receptive_field / sizes.block)
    reads = np.asarray(jax.jacobian(whole)(jnp.ones((1, time)))[:, 0]) > 0
    assert sizes.rate == Fraction(*reads.shape)
    later, seen = 0, 0
    for q in range(reads.shape[0] // 2, reads.shape[0]):
        (index,) = np.nonzero(reads[q])
        later = max(later, index[-1] - math.floor(q / sizes.rate))
        seen = max(seen, index[-1] - index[0] + 1)
    assert (sizes.latency, sizes.receptive_field) >= (later, seen)
    if not any(case.transposed and case.d > 1 for case in cases):  # which leave gaps
        assert (sizes.latency, sizes.receptive_field) == (later, seen)
    for smaller in range(1, sizes.block):
        counts = [Fraction(smaller)]
        for stream in streams:
            counts.append(counts[-1] * stream.sizes.rate)
        assert any(count.denominator > 1 for count in counts)


# The example --------------------------------------------------------------------------


def test_the_codec_decodes_in_blocks_what_it_decodes_at_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(__file__).parents[1] / "examples" / "codec_in_blocks.py"
    options = "--channels 4 --strides 6 --codes 2 --steps 3 --frames 5"
    monkeypatch.setattr("sys.argv", [str(path), *options.split()])
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        runpy.run_path(str(path), run_name="__main__")
    told = capsys.readouterr().out
    assert "block 6 samples, latency 0\n" in told
    first, last = re.findall(r"error ([0-9.]+) to ([0-9.]+)", told)[0]
    assert float(last) < float(first)
    (difference,) = re.findall(r"at once: (\S+)", told)
    assert float(difference) < 1e-5


# Errors -------------------------------------------------------------------------------

STREAM = CASES["strided"].stream()  # (2, 2, 7), stride 3, two groups
X, W = jnp.ones((2, 4, 6)), jnp.ones((2, 2, 7))
MISTAKES = {
    "operation": (lambda: jaxconv.stream(jnp.sin, (1, 1, 3)), "operation="),
    "rank": (lambda: jaxconv.stream(jaxconv.conv, (1, 1, 3, 3)), "one axis of time"),
    "word": (
        lambda: jaxconv.stream(jaxconv.conv, (1, 1, 3), padding="same"),
        "padding='same': is not causal",
    ),
    "padding": (
        lambda: jaxconv.stream(jaxconv.conv, (1, 1, 7), stride=2, padding=2),
        "padding=2: must be from 5 to 6",
    ),
    "padding transposed": (
        lambda: jaxconv.stream(jaxconv.conv_transpose, (1, 1, 7), padding=2),
        "padding=2: is not causal",
    ),
    "groups": (lambda: jaxconv.stream(jaxconv.conv, (3, 1, 3), groups=2), "groups=2"),
    "block": (
        lambda: STREAM.step(STREAM.init(2), X[..., :4], W),
        "x.shape=(2, 4, 4): has 4 elements of time, but a block has 3",
    ),
    "channels": (
        lambda: STREAM.step(STREAM.init(2), X[:, :2], W),
        "has 2 channels in layout='channels_first', but the stream has 4",
    ),
    "kernel": (
        lambda: STREAM.step(STREAM.init(2), X, W[..., :5]),
        "kernel.shape=(2, 2, 5): must be (2, 2, 7)",
    ),
    "state": (
        lambda: STREAM.step(STREAM.init(3, np.float64), X, W),
        "state.shape=(3, 4, 6): must be (2, 4, 6)",
    ),
    "state without batch": (
        lambda: STREAM.step(STREAM.init(None, np.float64), X, W),
        "state.shape=(4, 6): must be (2, 4, 6)",
    ),
    "type": (
        lambda: STREAM.step(STREAM.init(2, np.float32), X, W),
        "x is float64 and state is float32",
    ),
    "chain": (lambda: jaxconv.stream_sizes(STREAM), "streams="),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_message(name: str) -> None:
    call, text = MISTAKES[name]
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert text in str(caught.value)
