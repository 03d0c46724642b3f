"""The examples run for a few steps, and what they start from is right."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from frameworks import defaults

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def load(name: str, *needed: str) -> ModuleType:
    for library in ("optax", "sklearn", "rich", "matplotlib", *needed):
        pytest.importorskip(library, reason=f"{library} is not installed")
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where Equinox looks up the annotations
    spec.loader.exec_module(module)
    return module


def options(path: Path, **named: int) -> argparse.Namespace:
    return argparse.Namespace(rate=2e-3, out=path, **named)


def test_super_resolution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Untrained, both networks are bicubic resizing; two steps change little."""
    example = load("super_resolution", "flax", "PIL")
    monkeypatch.setattr(example, "SIDE", 16)
    chosen = options(tmp_path / "new" / "a.png", steps=2, batch=2, channels=4)
    with defaults():
        found = example.main(chosen)
    assert chosen.out.stat().st_size > 10_000
    assert found["nearest pixel"] < found["bicubic"]
    for head in example.HEADS:
        assert found[head] == pytest.approx(found["bicubic"], abs=1.5)


def test_colours_are_dealt_out_as_squares() -> None:
    example = load("super_resolution", "flax", "PIL")
    photo = np.random.default_rng(0).random((1, 6, 8, 3), np.float32)
    parts = [photo[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]
    back = example.dealt_out(jnp.concatenate(parts, -1))
    np.testing.assert_array_equal(back, photo)
    np.testing.assert_allclose(
        example.halved(photo), sum(parts) / np.float32(4), rtol=1e-6
    )


def test_diffusion_digits(tmp_path: Path) -> None:
    example = load("diffusion_digits", "equinox")
    chosen = options(tmp_path / "a.png", steps=2, batch=4, channels=8, each=2)
    with defaults():
        right = example.main(chosen)
    assert 0 <= right <= 0.6  # nothing is learned in two steps
    assert chosen.out.stat().st_size > 5_000


def test_noise_is_taken_off_where_it_is_known() -> None:
    """With the true noise in place of the network's the image comes back."""
    example = load("diffusion_digits", "equinox")
    image = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (1, 8, 8)), jnp.float32)

    def knowing(x: jax.Array, at: jax.Array, digit: jax.Array) -> jax.Array:
        share = example.kept()[at.astype(int)]
        return (x - jnp.sqrt(share) * image) / jnp.sqrt(1 - share)

    with defaults():
        drawn = jax.jit(
            lambda: example.sample(knowing, jnp.arange(2), jax.random.key(0))
        )
        found = drawn()
        assert (jnp.diff(example.kept()) < 0).all()
    np.testing.assert_allclose(found, jnp.stack([image] * 2), atol=2e-3)
