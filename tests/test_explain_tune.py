"""explain and tune: what they find, what they say, and that winners are applied."""

import json
import re

import jax
import jax.numpy as jnp
import pytest

import jaxconv
from jaxconv._core.spec import OPERANDS
from jaxconv._inspect.walk import contractions
from jaxconv._plan import choose as _plan


def operands(rng, dtype="float32"):
    x = jnp.asarray(rng.normal(size=(2, 6, 9, 8)), dtype)
    kernel = jnp.asarray(rng.normal(size=(4, 3, 3, 2)), dtype)
    return x, kernel


def loss(x, kernel):
    return jnp.sum(jaxconv.conv(x, kernel, stride=2, padding=1, groups=2) ** 2)


def test_walk_finds_forward_and_both_gradients(rng):
    found = contractions(jax.grad(loss, (0, 1)), *operands(rng))
    assert sorted(f.case.role for f in found) == ["input", "kernel", "output"]
    assert {f.case.sizes for f in found} == {(2, 3, 2)}


def test_walk_goes_through_jit_scan_checkpoint_and_counts(rng):
    x, kernel = operands(rng)

    @jax.jit
    def model(x, kernel):
        def step(total, _):
            return total + jax.checkpoint(loss)(x, kernel), None

        return jax.lax.scan(step, jnp.zeros((), x.dtype), None, length=5)[0]

    assert [f.times for f in contractions(model, x, kernel)] == [5]


def test_explain_says_sizes_lowering_and_reason(rng):
    x, kernel = operands(rng)
    text = jaxconv.explain(
        jaxconv.conv, x, kernel, stride=2, padding=1, groups=2, implementation="window"
    )
    assert text.startswith("1. convolution: x, kernel -> y\n")
    assert "input (2, 6, 9, 8) and kernel (4, 3, 3, 2) in float32" in text
    assert "give output (2, 4, 5, 5) in float32" in text
    assert "batch of 2; 2 groups, each 3 in and 2 out" in text
    assert "axis 0: (9 + 1 + 1 - 1*(3-1) - 1)/2 + 1 = 5 outputs" in text
    work = 2 * 4 * 3 * 3 * 2 * 5 * 5
    assert f"it takes {work:,} multiply-adds ({2 * work:,} floating-point" in text
    assert "lowering 'window'" in text
    assert "because: asked for by name" in text
    assert "could also run: xla, " in text


def test_explain_takes_shapes_without_arrays_and_other_platforms():
    x = jax.ShapeDtypeStruct((1, 3, 8, 8), jnp.float32)
    kernel = jax.ShapeDtypeStruct((4, 3, 3, 3), jnp.float32)
    for platform in ("cpu", "cuda", "gpu", "tpu"):
        text = jaxconv.explain(jaxconv.conv, x, kernel, platform=platform)
        assert "give output (1, 4, 6, 6) in float32" in text
        (line,) = (v for v in text.splitlines() if "could also run" in v)
        assert ("cudnn" in line) == (platform in ("cuda", "gpu"))


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_reasons_are_sentences_with_units(platform: str) -> None:
    """Whole words in place of tables: what is slow, and figures with their unit."""
    rules = [rule for rule in _plan.RULES if platform in rule.platforms]
    assert rules
    for rule in rules:
        words = rule.reason.split()
        assert len(words) >= 8
        assert "@" not in rule.reason
        if any(word.strip(":,;").replace(".", "").isdigit() for word in words):
            assert re.search(r" (ms|cycles|multiply-adds)\b", rule.reason), rule.reason


def test_explain_of_a_function_without_convolutions():
    assert (
        jaxconv.explain(jnp.sin, jnp.zeros(3))
        == "no jaxconv convolutions found in this function"
    )


def test_tune_times_every_candidate_and_keeps_the_fastest(rng):
    x, kernel = operands(rng)
    tuning = jaxconv.tune(jax.grad(loss, (0, 1)), x, kernel, repeats=1)
    assert len(tuning) == len(tuning.times) == 3
    for key, times in tuning.times.items():
        assert "xla" in times
        assert tuning[key] == min(times, key=times.get)
        assert all(seconds > 0 for seconds in times.values())


def winners_for(fn, *args, name):
    """A tuning that says ``name`` for each contraction of fn."""
    keys = (_plan.case_key(f.case, "cpu") for f in contractions(fn, *args))
    return jaxconv.Tuning(tuple(sorted((key, name) for key in keys)))


def lowering_ran(fn, *args):
    text = fn.lower(*args).as_text(debug_info=True)
    names = {n for r in ("output", "input", "kernel") for n in jaxconv.lowerings(r)}
    return {n for n in names for r in OPERANDS if f"jaxconv.{r}.{n}" in text}


def test_winners_run_inside_the_context_only(rng):
    x, kernel = operands(rng)
    run = jax.jit(lambda x, kernel: jaxconv.conv(x, kernel, groups=2))
    before, ran_before = run(x, kernel), lowering_ran(run, x, kernel)
    tuning = winners_for(run, x, kernel, name="window")
    with tuning:
        inside, ran_inside = run(x, kernel), lowering_ran(run, x, kernel)
        with tuning:  # nests
            assert lowering_ran(run, x, kernel) == {"window"}
        assert lowering_ran(run, x, kernel) == {"window"}
    assert ran_inside == {"window"} != ran_before
    assert lowering_ran(run, x, kernel) == ran_before
    assert jnp.allclose(before, inside, rtol=1e-5, atol=1e-5)


def test_a_name_wins_over_a_tuning(rng):
    x, kernel = operands(rng)
    run = jax.jit(lambda x, k: jaxconv.conv(x, k, groups=2, implementation="matrix"))
    plain = jax.jit(lambda x, k: jaxconv.conv(x, k, groups=2))
    with winners_for(plain, x, kernel, name="window"):
        assert lowering_ran(run, x, kernel) == {"matrix"}


def test_the_context_is_left_when_its_body_raises(rng):
    x, kernel = operands(rng)
    run = jax.jit(lambda x, kernel: jaxconv.conv(x, kernel, groups=2))
    with pytest.raises(KeyError), winners_for(run, x, kernel, name="window"):
        raise KeyError
    assert "window" not in lowering_ran(run, x, kernel)


def test_save_and_load(rng, tmp_path):
    x, kernel = operands(rng)
    tuning = jaxconv.tune(loss, x, kernel, repeats=1)
    tuning.save(tmp_path / "tuning.json")
    loaded = jaxconv.Tuning.load(tmp_path / "tuning.json")
    assert loaded == tuning
    assert loaded.times == tuning.times
    assert json.loads((tmp_path / "tuning.json").read_text())["jax"] == jax.__version__


def test_load_refuses_other_files_and_unknown_lowerings(tmp_path):
    path = tmp_path / "other.json"
    path.write_text('{"format": "something else"}')
    with pytest.raises(ValueError, match="is not a saved tuning"):
        jaxconv.Tuning.load(path)
    path.write_text(
        '{"format": "jaxconv tuning 1", "winners": {"case": "magic"}, "seconds": {}}'
    )
    with pytest.raises(ValueError, match="names the lowering 'magic'"):
        jaxconv.Tuning.load(path)


@pytest.mark.parametrize("repeats", [0, -1, 1.5, True])
def test_tune_checks_repeats(rng, repeats):
    with pytest.raises((ValueError, TypeError), match="repeats="):
        jaxconv.tune(loss, *operands(rng), repeats=repeats)
