"""oneDNN's convolutions: their values, and everything that keeps a program from them.

What could end the process is tried in child processes only.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import jaxconv
from cases import CASES, Case, arrange
from jaxconv._core import spec as _spec
from jaxconv._core.contract import contract
from jaxconv._core.geometry import Geometry
from jaxconv._core.spec import OPERANDS, Layout, Sizes, Spec
from jaxconv._lowerings import LOWERINGS
from jaxconv._lowerings.cpu import onednn_kernel
from jaxconv._plan import choose as _plan
from jaxconv._plan import onednn, probe
from jaxconv._plan.machine import processor
from jaxconv._plan.place import Place
from oracle import close

ONEDNN = LOWERINGS["onednn"]
pytestmark = pytest.mark.skipif(
    not onednn.proven() or onednn.NEEDED not in processor(),
    reason="needs Linux on x86-64 with a jaxlib that is tested",
)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache folder of one's own, and no memory of an earlier probe."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(probe, "_kept_here", {})
    probe.remembered.cache_clear()
    yield tmp_path
    probe.remembered.cache_clear()


def asked(case: Case, role: str, dtype: Any) -> _spec.Case:
    spec = case.spec(role, "channels_last", dtype, "onednn")
    return _spec.Case(spec, Sizes(case.n, case.c, case.o), np.dtype(dtype))


# Values -------------------------------------------------------------------------------


def check(case: Case, role: str, dtype: Any, rng: np.random.Generator) -> None:
    reason = ONEDNN.refuse(asked(case, role, dtype))
    if case.ndim > 3:
        assert reason is not None
        return
    if role == "kernel":
        if reason is not None:
            assert "one channel" in reason or "dilation 1 in the last axis" in reason
            return
    elif {"output": case.c, "input": case.o}[role] == 1:
        assert "one channel" in (reason or "")
        return
    assert reason is None
    a, b = (v.astype(dtype) for v in case.operands(role, rng))
    arrays = [
        jnp.asarray(arrange(v, operand, "channels_last"))
        for v, operand in zip((a, b), OPERANDS[role], strict=True)
    ]
    spec = case.spec(role, "channels_last", dtype, "onednn")
    found = contract(*arrays, spec)
    wanted = case.expected(role, a.astype(np.float64), b.astype(np.float64))
    close(found, arrange(wanted, role, "channels_last"), case.terms(role), dtype)


@pytest.mark.parametrize("role", ONEDNN.roles)
def test_values(role: str, rng: np.random.Generator) -> None:
    for case in CASES:
        check(case, role, np.float32, rng)


POINTS = Geometry((23, 24), (1, 1), (23, 24), (1, 1), (1, 1), (0, 0))
PLANE = Geometry((23, 24), (3, 2), (24, 23), (1, 1), (1, 1), (1, 0))
STEPS = Geometry((23, 24), (3, 2), (12, 12), (2, 2), (1, 1), (1, 0))
CONVOLUTION, PRODUCT = "__onednn$convolution", "__onednn$matmul"


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize(
    ("geometry", "sizes", "target", "looped"),
    [
        (POINTS, Sizes(3, 20, 17), PRODUCT, False),
        (PLANE, Sizes(3, 2, 17), PRODUCT, False),
        (PLANE, Sizes(3, 20, 17), CONVOLUTION, False),
        (STEPS, Sizes(1, 19, 6), CONVOLUTION, False),
        (PLANE, Sizes(3, 50, 17), CONVOLUTION, True),
    ],
    ids=["points", "patches", "plane", "bands", "blocks"],
)
def test_ways_to_a_kernel_gradient(
    geometry: Geometry,
    sizes: Sizes,
    target: str,
    looped: bool,
    layout: str,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A product of patches, or a convolution, in a loop where y is large."""
    monkeypatch.setattr(onednn_kernel, "BLOCK", 2**13 if looped else 2**22)
    spec = Spec("kernel", geometry, 1, Layout(layout), np.dtype(np.float32))
    x, y = (
        rng.standard_normal(spec.shape(v, sizes)).astype(np.float32)
        for v in OPERANDS["kernel"]
    )
    asked = dataclasses.replace(spec, lowering="onednn")
    run = jax.jit(partial(contract, spec=asked))
    text = run.lower(x, y).as_text()
    assert {name for name in (CONVOLUTION, PRODUCT) if name in text} == {target}
    assert ("stablehlo.while" in text) == looped
    exact = dataclasses.replace(spec, lowering="xla", dtype=np.dtype(np.float64))
    wanted = contract(*(v.astype(np.float64) for v in (x, y)), exact)
    np.testing.assert_allclose(run(x, y), wanted, atol=1e-3)


def test_patches_of_two_gigabytes_are_not_made() -> None:
    geometry = Geometry((2**16,), (8,), (2**16 - 7,), (1,), (1,), (0,))
    spec = Spec("kernel", geometry, 1, Layout("channels_last"), np.dtype(np.float32))
    case = _spec.Case(spec, Sizes(64, 64, 4), np.dtype(np.float32))
    assert "arrays of at most" in (ONEDNN.refuse(case) or "")


# The switch ---------------------------------------------------------------------------

IMAGE, KERNEL = (2, 6, 19, 18), (8, 6, 3, 3)
Run = Callable[..., Any]


def operands(dtype: Any = np.float32) -> tuple[Any, Any]:
    return jnp.ones(IMAGE, dtype), jnp.ones(KERNEL, dtype)


def calls(fn: Run, *args: Any) -> int:
    """How many calls of oneDNN the program of a function has."""
    fresh = jax.jit(lambda *args: fn(*args))  # or jit would remember the last program
    return fresh.lower(*args).as_text().count("@__onednn$convolution")


def test_the_switch_is_part_of_the_cache_key() -> None:
    run = jax.jit(jaxconv.conv)

    def has() -> bool:
        return "@__onednn$" in run.lower(*operands()).as_text()

    assert has()
    with jaxconv.onednn("forbid"):
        assert not has()
        with jaxconv.onednn("auto"):
            assert has()
    assert has()


def test_demanded_or_an_error_that_says_why() -> None:
    demanded = jaxconv.onednn("demand")
    line = jnp.ones((2, 6, 9), np.float32), jnp.ones((6, 4, 3), np.float32)
    transposed = jaxconv.conv_transpose
    assert calls(transposed, *line) == 0
    assert calls(partial(transposed, implementation="onednn"), *line) == 1
    with demanded:
        assert calls(transposed, *line) == 1
        with pytest.raises(ValueError, match="float32, not for float64"):
            jaxconv.conv(*operands(np.float64))
    with jaxconv.onednn("forbid"), pytest.raises(ValueError, match="it is forbidden"):
        jaxconv.conv(*operands(), implementation="onednn")
    with pytest.raises(ValueError, match="mode='never': is not one of"):
        jaxconv.onednn("never")


def in_a_child(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(
        command, env=variables, capture_output=True, text=True, check=False
    )


PROGRAM = """
import jax, jax.numpy as jnp, jaxconv
x, kernel = jnp.ones((2, 6, 19, 18)), jnp.ones((8, 6, 3, 3))
text = jax.jit(jaxconv.conv).lower(x, kernel).as_text()
jaxconv.conv(x, kernel).block_until_ready()
print(text.count("@__onednn$convolution"))
"""


@pytest.mark.parametrize(
    ("variables", "count"),
    [
        ({}, "1"),
        ({"JAXCONV_ONEDNN": "forbid"}, "0"),
        ({"JAX_COMPILATION_CACHE_DIR": "set below"}, "0"),
        ({"ONEDNN_DEFAULT_FPMATH_MODE": "BF16"}, "0"),
    ],
    ids=str,
)
def test_the_environment(variables: dict[str, str], count: str, tmp_path: Path) -> None:
    folders = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "programs")}
    given = {name: folders.get(name, value) for name, value in variables.items()}
    done = in_a_child(PROGRAM, XDG_CACHE_HOME=str(tmp_path), **given)
    assert done.stdout.split() == [count], done.stderr


def test_a_wrong_word_in_the_environment_is_an_error(tmp_path: Path) -> None:
    done = in_a_child(PROGRAM, JAXCONV_ONEDNN="never", XDG_CACHE_HOME=str(tmp_path))
    assert "JAXCONV_ONEDNN='never': is not one of the known words" in done.stderr


# Guards -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dtype",
    [np.float64, np.complex64, np.int32, np.int8, jnp.bfloat16, np.float16],
    ids=str,
)
def test_types_that_would_end_the_process(dtype: Any) -> None:
    assert calls(jaxconv.conv, *operands(dtype)) == 0
    with pytest.raises(ValueError, match=f"not for {np.dtype(dtype).name}"):
        jaxconv.conv(*operands(dtype), implementation="onednn")


def test_old_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "processor", lambda: frozenset({"sse4_1"}))
    assert calls(jaxconv.conv, *operands()) == 0
    with pytest.raises(ValueError, match="the processor has no avx512f"):
        jaxconv.conv(*operands(), implementation="onednn")


def test_export_is_portable() -> None:
    for platforms in (("cpu",), ("cpu", "cuda", "tpu")):
        made = export.export(jax.jit(jaxconv.conv), platforms=platforms)(*operands())
        assert "@__onednn$" not in made.mlir_module()
        assert export.deserialize(made.serialize()).platforms == platforms
    demanded = jax.jit(partial(jaxconv.conv, implementation="onednn"))
    with pytest.raises(ValueError, match=r"jax\.export cannot store"):
        export.export(demanded)(*operands())


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_other_platforms(platform: str) -> None:
    def lower(name: str | None) -> str:
        run = jax.jit(partial(jaxconv.conv, implementation=name)).trace(*operands())
        return run.lower(lowering_platforms=(platform,)).as_text()

    assert "@__onednn$" not in lower(None)
    with pytest.raises(ValueError, match=f"the platform '{platform}'"):
        lower("onednn")


def test_partitioned_programs_are_portable_and_shards_are_not() -> None:
    mesh = jax.make_mesh((2,), ("a",), (jax.sharding.AxisType.Auto,))
    x, kernel = operands()
    cut = jax.NamedSharding(mesh, jax.P("a"))
    placed = jax.device_put(x, cut)
    whole = jaxconv.conv(x, kernel)
    assert calls(jaxconv.conv, placed, kernel) == 0  # it partitions itself, later
    compiled = jax.jit(jaxconv.conv).lower(placed, kernel).compile().as_text()
    assert compiled.count("__onednn$convolution") == 1
    np.testing.assert_allclose(jaxconv.conv(placed, kernel), whole, rtol=1e-6)
    specs = {"in_specs": (jax.P("a"), jax.P()), "out_specs": jax.P("a")}
    mapped = jax.shard_map(jaxconv.conv, mesh=mesh, **specs)
    assert calls(mapped, placed, kernel) == 1
    np.testing.assert_allclose(jax.jit(mapped)(placed, kernel), whole, rtol=1e-6)


def test_the_compilation_cache(tmp_path: Path) -> None:
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    try:
        assert calls(jaxconv.conv, *operands()) == 0
        with pytest.raises(ValueError, match="compilation cache cannot store"):
            jaxconv.conv(*operands(), implementation="onednn")
    finally:
        jax.config.update("jax_compilation_cache_dir", before)


LINE = Geometry((9,), (3,), (7,), (1,), (1,), (0,))


@pytest.mark.parametrize(
    ("geometry", "sizes", "why"),
    [
        (LINE, Sizes(2**20, 2**9, 4), "at most 2147483647 bytes"),
        (
            dataclasses.replace(LINE, input=(2**25,), stride=(2**25,)),
            Sizes(1, 2, 3),
            "axes, strides and kernels of at most",
        ),
        (
            Geometry((9,) * 4, (3,) * 4, (7,) * 4, (1,) * 4, (1,) * 4, (0,) * 4),
            Sizes(1, 1, 1),
            "at most 3 spatial axes",
        ),
    ],
    ids=["bytes", "axis", "axes"],
)
def test_absurd_sizes(geometry: Geometry, sizes: Sizes, why: str) -> None:
    for role in ONEDNN.roles:
        spec = Spec(role, geometry, 1, Layout("channels_last"), np.dtype(np.float32))
        case = _spec.Case(spec, sizes, np.dtype(np.float32))
        assert why in (ONEDNN.refuse(case) or "")
        assert _plan.choose(case, Place.here()).lowering.name != "onednn"


def test_empty_operands() -> None:
    x = jnp.ones((0, *IMAGE[1:]), np.float32)
    for name in (None, "onednn"):
        y = jaxconv.conv(x, operands()[1], implementation=name)
        assert y.shape == (0, 8, 17, 16)


def test_a_stride_of_many_residues_is_too_many_calls() -> None:
    transposed = partial(jaxconv.conv_transpose, stride=9)
    args = jnp.ones((2, 8, 3, 3), "float32"), jnp.ones((8, 6, 3, 3), "float32")
    assert calls(transposed, *args) == 0
    with pytest.raises(ValueError, match="more than 64 calls"):
        transposed(*args, implementation="onednn")


# The probe ----------------------------------------------------------------------------


def test_an_unknown_jaxlib_is_portable_until_it_is_probed(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onednn, "PROVEN", ())
    tried: list[str] = []
    monkeypatch.setattr(probe, "_in_a_child", tried.append)  # which returns None
    assert calls(jaxconv.conv, *operands()) == 0
    assert not tried
    assert calls(partial(jaxconv.conv, implementation="onednn"), *operands()) == 1
    assert calls(jaxconv.conv, *operands()) == 1  # by itself from now on
    probe._kept_here.clear()
    probe.remembered.cache_clear()
    assert calls(jaxconv.conv, *operands()) == 1  # from the file
    assert tried == ["float32"]
    assert [path.name for path in (alone / "jaxconv").iterdir()] == ["onednn.json"]


def test_a_failed_probe_holds_on_known_versions_too(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "_in_a_child", lambda dtype: "it died")
    assert calls(jaxconv.conv, *operands()) == 1
    probe.run()
    assert calls(jaxconv.conv, *operands()) == 0
    with pytest.raises(ValueError, match="probe of this machine failed: it died"):
        jaxconv.conv(*operands(), implementation="onednn")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"another machine": {}}'])
def test_a_damaged_file_is_no_file(alone: Path, text: str) -> None:
    (alone / "jaxconv").mkdir()
    probe.path().write_text(text)
    assert probe.remembered() is None
    probe._keep(probe.Found("it died"))
    assert probe.remembered.__wrapped__() == probe.Found("it died")


def test_the_probe_itself() -> None:
    """In a child process; one that dies of it says so."""
    assert probe._in_a_child("float32") is None
    said = probe._in_a_child("int32")
    assert said is not None
    assert "a child process ended with" in said


def test_the_probe_finds_wrong_values(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = {
        role: lambda a, b, spec, compute=compute: 1.001 * compute(a, b, spec)
        for role, compute in ONEDNN.roles.items()
    }
    monkeypatch.setitem(LOWERINGS, "onednn", dataclasses.replace(ONEDNN, roles=wrong))
    assert probe.main("float32") == 1
    assert "wrong by 1.0e-03" in capsys.readouterr().out
