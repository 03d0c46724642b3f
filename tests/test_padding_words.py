"""The words for padding: lax is the witness, the adjoint identity of the transposes."""

from __future__ import annotations

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxconv
from cases import random
from oracle import close

Rng = np.random.Generator


@pytest.mark.parametrize("word", ["SAME", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("s", [(1, 1), (2, 3), (4, 2)])
def test_padding_words_are_laxs(word: str, s: tuple[int, int], rng: Rng) -> None:
    for d, window in (((1, 1), (3, 2)), ((2, 3), (2, 3)), ((1, 2), (4, 1))):
        x, w = jnp.asarray(random(rng, (2, 3, 9, 8))), random(rng, (4, 3, *window))
        y = jaxconv.conv(x, jnp.asarray(w), stride=s, dilation=d, padding=word)
        want = lax.conv_general_dilated(x, jnp.asarray(w), s, word, rhs_dilation=d)
        close(y, np.asarray(want), 3 * math.prod(window), np.float64)
        if word != "VALID":
            assert y.shape[2:] == (-(-9 // s[0]), -(-8 // s[1]))


@pytest.mark.parametrize(("k", "d", "s"), [(2, 1, 1), (3, 2, 1), (4, 3, 2), (1, 5, 3)])
def test_causal_reads_no_later_input(k: int, d: int, s: int, rng: Rng) -> None:
    x, w = jnp.asarray(random(rng, (2, 3, 11))), jnp.asarray(random(rng, (4, 3, k)))
    options = {"stride": s, "dilation": d, "padding": "causal"}
    y = jaxconv.conv(x, w, **options)
    pads = [(d * (k - 1), 0)]
    want = lax.conv_general_dilated(x, w, (s,), pads, rhs_dilation=(d,))
    close(y, np.asarray(want), 3 * k, np.float64)
    later = x.at[..., 6:].add(jnp.asarray(random(rng, (2, 3, 5))))
    unseen = -(-6 // s)  # outputs at inputs 0, s, ... below 6
    changed = jaxconv.conv(later, w, **options)
    np.testing.assert_array_equal(changed[..., :unseen], y[..., :unseen])
    assert np.abs(changed - y)[..., unseen:].min() > 0


def adjoint(
    x: Any, y: Any, w: Any, size: tuple[int, ...] | None, terms: int, **options: Any
) -> None:
    """<conv(x), y> = <x, conv_transpose(y)> with the same kernel and options."""

    @jax.jit
    def both(x: Any, y: Any) -> Any:
        back = jaxconv.conv_transpose(y, w, output_size=size, **options)
        return jaxconv.conv(x, w, **options), back

    left, right = both(x, y)
    assert left.shape == y.shape
    assert right.shape == x.shape
    total = np.asarray((x * right).sum())
    scale = math.sqrt(float((left**2).sum() * (y**2).sum()))
    close((left * y).sum() / scale, total / scale, terms, np.float64)


@pytest.mark.parametrize("word", ["SAME", "SAME_LOWER"])
@pytest.mark.parametrize("s", [(4,), (2, 3)])
def test_conv_transpose_same_is_adjoint_for_every_size(
    word: str, s: tuple[int, int], rng: Rng
) -> None:
    w = jnp.asarray(random(rng, (4, 3, *(2, 5)[: len(s)])))
    y = jnp.asarray(random(rng, (2, 4, *(3, 5)[: len(s)])))
    options = {"stride": s, "padding": word}
    sizes = [
        [(o - 1) * step + 1 + a for a in range(step)]
        for o, step in zip(y.shape[2:], s, strict=True)
    ]
    for size in itertools.product(*sizes):
        x = jnp.asarray(random(rng, (2, 3, *size)))
        adjoint(x, y, w, size, 300, **options)
    most = tuple(choices[-1] for choices in sizes)
    assert jaxconv.conv_transpose(y, w, **options).shape == (2, 3, *most)
    for size in ((most[0] + 1, *most[1:]), (sizes[0][0] - 1, *most[1:])):
        with pytest.raises(ValueError, match="must be between"):
            jaxconv.conv_transpose(y, w, output_size=size, **options)
    with pytest.raises(ValueError, match='does not go with padding="SAME"'):
        jaxconv.conv_transpose(y, w, output_padding=1, **options)


@pytest.mark.parametrize(
    ("pads", "s", "d"),
    [
        (((2, 0), (0, 1)), (1, 1), (1, 1)),
        (((0, 3), (4, 1)), (2, 3), (1, 2)),
        (((5, 1), (0, 0)), (3, 2), (2, 1)),
    ],
)
def test_asymmetric_padding_is_adjoint(pads: Any, s: Any, d: Any, rng: Rng) -> None:
    x, w = (
        jnp.asarray(random(rng, (2, 3, 8, 7))),
        jnp.asarray(random(rng, (4, 3, 2, 3))),
    )
    options = {"stride": s, "dilation": d, "padding": pads}
    shape = jax.eval_shape(lambda x: jaxconv.conv(x, w, **options), x).shape
    adjoint(x, jnp.asarray(random(rng, shape)), w, (8, 7), 400, **options)


@pytest.mark.parametrize("word", ["valid", "VALID", "causal"])
def test_words_are_adjoint(word: str, rng: Rng) -> None:
    x, w = jnp.asarray(random(rng, (2, 3, 9))), jnp.asarray(random(rng, (4, 3, 2)))
    options = {"stride": 2, "dilation": 3, "padding": word}
    shape = jax.eval_shape(lambda x: jaxconv.conv(x, w, **options), x).shape
    adjoint(x, jnp.asarray(random(rng, shape)), w, (9,), 80, **options)
