"""docs/reports.md: its tests and workloads exist; reports that had no other test."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxconv
from benchmarks.layers import BY_NAME
from oracle import close

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "reports.md").read_text(encoding="utf-8")
ROWS = [line[2:-2].split(" | ") for line in PAGE.splitlines() if line[:3] == "| ["]
LINK = re.compile(r"\[([\w.-]+/[\w.-]+)#(\d+)\]\(https://github.com/(.+)\)")
Rng = np.random.Generator


def test_every_report_has_its_address_and_its_test() -> None:
    assert len(ROWS) > 40
    seen = []
    for first, *_, last in ROWS:
        found = LINK.fullmatch(first)
        assert found is not None, first
        name, number, address = found.groups()
        assert address in (f"{name}/issues/{number}", f"{name}/pull/{number}")
        seen.append((name, number, last))
        if last.strip("`") in BY_NAME:
            continue
        file, _, function = last.strip("`").partition("::")
        text = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert f"\ndef {function}(" in text, last
    assert len(set(seen)) == len(ROWS)


# Reports that no other test covers ----------------------------------------------------


def test_kernel_gradient_of_a_dilated_input(rng: Rng) -> None:
    """The sizes of the report, against the four windows of the definition."""
    x, y = rng.normal(size=(1, 2, 2)), rng.normal(size=(1, 4, 4))

    def up(x: Any, w: Any) -> Any:
        pads = ((1, 2), (1, 2))
        return jaxconv.conv_general_dilated(x[None], w, (1, 1), pads, (2, 2))[0]

    _, pull = jax.vjp(lambda w: up(jnp.asarray(x), w), jnp.ones((1, 1, 3, 3)))
    spread = np.zeros((6, 6))
    spread[1:4:2, 1:4:2] = x[0]
    want = [[(spread[i : i + 4, j : j + 4] * y[0]).sum() for j in range(3)]
            for i in range(3)]  # fmt: skip
    close(pull(jnp.asarray(y))[0], np.array(want)[None, None], 4, np.float64)


def test_a_stride_of_sixteen_compiles(rng: Rng) -> None:
    """Channels last, 32x32 taps: every element of the result has four terms a side."""
    x = rng.normal(size=(1, 8, 8, 128)).astype(np.float32)
    w = rng.normal(size=(32, 32, 32, 128)).astype(np.float32)
    fast = jax.jit(
        lambda x, w: jaxconv.conv_transpose(x, w, stride=16, layout="channels_last")
    )
    parts = np.einsum("hwc,ijoc->hwijo", x[0], w)
    want = np.zeros((144, 144, 32), np.float32)
    for h in range(8):
        for v in range(8):
            want[16 * h :, 16 * v :][:32, :32] += parts[h, v]
    close(fast(x, w)[0], want, 4 * 128, np.float32)


def test_bfloat16_with_stride_and_dilation(rng: Rng) -> None:
    x, w = rng.normal(size=(2, 4, 16)), rng.normal(size=(16, 4, 3))
    x, w = (jnp.asarray(v, jnp.bfloat16) for v in (x, w))
    y = jaxconv.conv(x, w, stride=2, padding="SAME", dilation=2)
    padded = np.pad(np.asarray(x, np.float64), ((0, 0), (0, 0), (1, 2)))
    taps = np.asarray(w, np.float64)
    want = sum(
        np.einsum("ncp,oc->nop", padded[:, :, 2 * t : 2 * t + 15 : 2], taps[:, :, t])
        for t in range(3)
    )
    assert y.dtype == jnp.bfloat16
    close(y, want, 1, jnp.bfloat16)


def test_grouped_int8(rng: Rng) -> None:
    x = rng.integers(-128, 128, (2, 4, 5, 6)).astype(np.int8)
    w = rng.integers(-128, 128, (6, 2, 3, 3)).astype(np.int8)
    for fn in (
        lambda x, w: jaxconv.conv(x, w, groups=2),
        jaxconv.accelerate(
            lambda x, w: lax.conv_general_dilated(
                x, w, (1, 1), "VALID", feature_group_count=2,
                preferred_element_type=np.int32,
            )
        ),
    ):  # fmt: skip
        y = fn(jnp.asarray(x), jnp.asarray(w))
        assert y.dtype == np.int32
        windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (2, 3))
        for g in range(2):
            part = windows[:, 2 * g : 2 * g + 2].astype(np.int64)
            want = np.einsum("ncpqij,ocij->nopq", part, w[3 * g : 3 * g + 3])
            np.testing.assert_array_equal(y[:, 3 * g : 3 * g + 3], want)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_large_kernel_goes_by_fourier_transforms(dtype: Any, rng: Rng) -> None:
    signal = pytest.importorskip("scipy.signal", reason="SciPy is the witness")
    x, w = rng.normal(size=(2, 120, 120)).astype(dtype)
    pads = ((60, 59), (60, 59))

    def fn(x: Any, w: Any) -> Any:
        return jaxconv.conv(x[None, None], w[None, None, ::-1, ::-1], padding=pads)

    assert "by the lowering 'fft'" in jaxconv.explain(fn, x, w)
    want = signal.fftconvolve(x.astype(float), w.astype(float), "same")
    np.testing.assert_allclose(fn(x, w)[0, 0], want, atol=1e-4 * np.abs(want).max())
