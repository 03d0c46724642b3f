"""The loop over parts, with parts so small that there are many: see also test_plan."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxconv
from jaxconv._inspect.walk import contractions
from jaxconv._lowerings import LOWERINGS
from jaxconv._lowerings.cpu import chunks

# x, kernel, options, bytes of a part: images with a rest, bands of either axis, a line.
CASES: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any], int]] = {
    "images": ((11, 3, 6, 5), (4, 3, 3, 2), {"padding": 1}, 4 * 4 * 240),
    "one image": ((3, 5, 6, 7), (4, 5, 2, 3), {"stride": 2}, 8 * 290),
    "upper band": ((2, 3, 19, 7), (4, 3, 3, 2), {"padding": (2, 1)}, 2000),
    "left band": ((2, 3, 8, 23), (4, 3, 3, 2), {"stride": (1, 2)}, 1500),
    "dilated": ((2, 3, 17, 9), (4, 3, 3, 2), {"dilation": (3, 2), "padding": 3}, 2500),
    "cut off": ((2, 3, 15, 9), (4, 3, 2, 2), {"stride": 4, "padding": 1}, 600),
    "far padding": ((2, 3, 9, 6), (4, 3, 3, 2), {"padding": (7, 4)}, 2000),
    "line": ((2, 5, 41), (4, 5, 3), {"padding": 2}, 900),
}


def gradient(x: Any, kernel: Any, y: Any, options: dict[str, Any], name: str) -> Any:
    """The kernel's gradient by a named lowering, both layouts in turn."""

    def fn(kernel: Any) -> jax.Array:
        return jaxconv.conv(x, kernel, **options)

    (found,) = [
        f.case
        for f in contractions(jax.grad(lambda k: (fn(k) * y).sum()), kernel)
        if f.case.role == "kernel"
    ]
    case = found._replace(dtype=np.dtype(x.dtype))
    last = [
        jnp.moveaxis(v, 1, -1) if found.spec.layout == "channels_first" else v
        for v in (x, y)
    ]
    out = LOWERINGS[name].roles["kernel"](*last, case.spec)
    return jnp.moveaxis(out, (-1, -2), (0, 1))


# Every case, and other types where images are parted and where bands are.
TYPED = [(name, "float64") for name in CASES]
TYPED += [("images", "float32"), ("dilated", "float32")]
TYPED += [("images", "bfloat16"), ("left band", "bfloat16")]


def small(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    x, kernel, options, part = CASES[name]
    monkeypatch.setattr(chunks, "PART", part)
    return x, kernel, options


@pytest.mark.parametrize(("name", "dtype"), TYPED)
def test_parts_add_up_to_the_whole(
    name: str, dtype: str, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    shape, kernel_shape, options = small(name, monkeypatch)
    x, kernel = (jnp.asarray(rng.normal(size=v), dtype) for v in (shape, kernel_shape))
    y = jax.eval_shape(lambda: jaxconv.conv(x, kernel, **options))
    y = jnp.asarray(rng.normal(size=y.shape), dtype)
    parted, whole = jax.jit(
        lambda *v: [gradient(*v, options, by) for by in ("chunks", "xla")]
    )(x, kernel, y)
    assert parted.dtype == whole.dtype
    tolerance = {"float64": 1e-12, "float32": 1e-5, "bfloat16": 1e-5}[dtype]
    np.testing.assert_allclose(parted, whole, rtol=tolerance, atol=50 * tolerance)


@pytest.mark.parametrize("name", CASES)
def test_there_are_loops_and_small_parts(
    name: str, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """A loop of three parts and more, and in it only convolutions of a part."""
    shape, kernel_shape, options = small(name, monkeypatch)
    x, kernel = (jnp.asarray(rng.normal(size=v)) for v in (shape, kernel_shape))
    y = jnp.asarray(jaxconv.conv(x, kernel, **options))
    spec = contractions(lambda x, k: jaxconv.conv(x, k, **options), x, kernel)[0]
    parts = chunks.split(shape[0], (x.size + y.size) * 8, spec.case.spec)
    assert parts.full >= 2
    text = (
        jax.jit(lambda x, y: gradient(x, kernel, y, options, "chunks"))
        .lower(x, y)
        .as_text(dialect="hlo")
    )
    assert " while(" in text
    windows = re.findall(r" convolution\(.*window={size=([\dx]+)", text)
    largest = max(int(np.prod([*map(int, w.split("x"))])) for w in windows)
    positions = int(np.prod(y.shape[2:]))
    assert (largest < positions) == (parts.axis is not None)


def test_a_part_is_a_whole_multiple_of_eight_images_or_of_four() -> None:
    (found,) = contractions(
        lambda x, k: jaxconv.conv(x, k),
        *(jax.ShapeDtypeStruct(v, "float32") for v in ((9, 3, 8, 7), (4, 3, 2, 2))),
    )
    spec = found.case.spec
    fifteen = chunks.PART // 15
    assert chunks.split(40, 40 * fifteen, spec) == (None, 8, 5, 0)
    assert chunks.split(43, 43 * (chunks.PART // 7), spec) == (None, 4, 10, 3)
    assert chunks.split(3, 3 * (chunks.PART // 2 + 1), spec) == (None, 1, 3, 0)
