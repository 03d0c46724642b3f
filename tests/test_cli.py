"""The command line: tables, JSON, pictures, exit codes and one-line errors."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxconv
import oracle
from jaxconv.__main__ import main
from jaxconv._border import call as _call
from jaxconv._cli import (
    check,
    claim,
    comparison,
    demo,
    geometries,
    images,
    pictures,
    reference,
    report,
    speed,
)
from jaxconv._cli.screen import Screen
from jaxconv._lowerings import LOWERINGS
from jaxconv._plan import choose as _plan

matplotlib = pytest.importorskip("matplotlib", reason="the demo needs matplotlib")
Image = pytest.importorskip("PIL.Image", reason="the demo needs pillow")

NAMES = (
    "strided",
    "dilated",
    "grouped",
    "maps",
    "uneven",
    "leftover",
    "clip",
    "larger",
)


@pytest.fixture
def photo(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A small random picture, wider than it is tall."""
    path = tmp_path / "random.png"
    Image.fromarray(rng.integers(0, 256, (33, 46, 3), dtype=np.uint8)).save(path)
    return path


SOME = [
    (function, name)
    for function in ("conv", "conv_transpose")
    for name in ("xla", "shift", "window", "scatter", "matrix")
    if (function, name) in set(comparison.names())
]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the first case by some lowerings, only timed as often as must be."""
    monkeypatch.setattr(comparison, "names", lambda: SOME)
    every = geometries.cases
    monkeypatch.setattr(check, "cases", lambda photo: every(photo)[:1])
    monkeypatch.setattr(comparison, "SECONDS", 0)
    monkeypatch.setattr(speed, "SECONDS", 0)


def row_count(cases: int) -> int:
    return cases * len(list(comparison.names()))


# What is compared ---------------------------------------------------------------------


def test_reference_agrees_with_the_nested_loops(rng: np.random.Generator) -> None:
    x, w = rng.standard_normal((2, 6, 9, 7)), rng.standard_normal((4, 3, 3, 2))
    stride, padding, dilation = (2, 3), ((2, 1), (0, 1)), (2, 1)
    y = reference.conv(x, w, stride, padding, dilation, 2)
    window = oracle.Window((9, 7), (3, 2), y.shape[2:], stride, dilation, (2, 0))
    np.testing.assert_allclose(
        y, oracle.contract("output", x, w, window, 2), atol=1e-12
    )
    back = reference.conv_transpose(y, w, stride, padding, dilation, 2, (1, 0))
    wanted = oracle.contract("input", y, w, window, 2)
    np.testing.assert_allclose(back, wanted, atol=1e-12)


def test_cases_cover_every_kind_of_argument(photo: Path) -> None:
    cases = geometries.cases(images.read(photo))
    assert tuple(case.name for case in cases) == NAMES
    for wanted in (
        lambda case: max(case.stride) > 1,
        lambda case: max(case.dilation) > 1,
        lambda case: case.groups == 3,
        lambda case: any(case.output_padding(case.output())),
        lambda case: case.kernel.ndim == 5,
        lambda case: any(lo != hi for lo, hi in case.padding),
    ):
        assert any(map(wanted, cases))


@pytest.mark.parametrize("size", [(32, 32), (33, 199), (211, 35)])
def test_cases_fit_any_picture(size: tuple[int, int], rng: np.random.Generator) -> None:
    pixels = images._middle(rng.random((3, *size), dtype=np.float32))
    for case in geometries.cases(pixels):
        y = case.output()
        assert min(y.shape) >= 1
        steps = np.maximum(case.stride, case.dilation)
        assert (np.array(case.output_padding(y)) >= 0).all()
        assert (np.array(case.output_padding(y)) < steps).all()


def test_reduced_takes_means(rng: np.random.Generator) -> None:
    photo = rng.random((3, 7, 11))
    small = images.reduced(photo, 4)
    assert small.shape == (3, 2, 3)
    np.testing.assert_allclose(small[1, 1, 2], photo[1, 3:6, 6:9].mean())


# check --------------------------------------------------------------------------------


def test_check_prints_one_table_and_the_claim(
    photo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(comparison, "SECONDS", 0)
    every = geometries.cases
    monkeypatch.setattr(check, "cases", lambda pixels: every(pixels)[4:6])
    assert main(["check", "--image", str(photo)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert f"Photo: {photo}, 46x33 pixels" in out
    lines = out.splitlines()
    for name in NAMES[4:6]:
        found = [line.split() for line in lines if line.startswith(f"{name} ")]
        *rows, refused = found
        assert refused[1] == "refused"
        ran = {tuple(row[1:3]) for row in rows}
        for pair in comparison.names():  # ran or refused, and never both
            assert (pair in ran) != (" ".join(pair) in " ".join(refused))
        assert {("conv", "xla"), ("conv_transpose", "scatter")} < ran
        for row in rows:
            difference, allowed, compile_ms, run_ms = map(float, row[3:7])
            assert 0 <= difference <= allowed < 1e-3
            assert compile_ms > 0
            assert run_ms > 0
    assert f"{row_count(2)} rows: " in out
    assert "agree with the reference, " in out
    assert claim.SENTENCE in out
    assert "WRONG" not in out


@pytest.mark.usefixtures("few")
def test_json_is_one_document_and_nothing_else(
    photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--json", "--image", str(photo)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {
        *("ok", "versions", "device", "image", "geometries", "rows", "claim"),
        "onednn",
    }
    assert found["ok"] is True
    assert set(found["versions"]) == {"jaxconv", "jax", "jaxlib", "numpy", "python"}
    assert found["versions"]["jaxconv"] == jaxconv.__version__
    assert found["device"]["platform"] == "cpu"
    assert found["image"] == {"source": str(photo), "size": [3, 33, 46]}
    assert len(found["rows"]) == row_count(1)
    assert {row["status"] for row in found["rows"]} == {"agrees", "refused"}
    for row in found["rows"]:
        assert (row["difference"] is None) == (row["reason"] != "")
    assert list(found["geometries"]) == ["strided"]
    assert found["claim"]["sentence"] == claim.SENTENCE
    assert found["claim"]["holds"] is True
    assert found["claim"]["left"] == pytest.approx(found["claim"]["right"], abs=1e-3)
    assert found["claim"]["undone"] > 0.01
    assert len(found["claim"]["differences"]) == 7


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("kind", ["slightly wrong", "not a number", "broken"])
def test_a_wrong_implementation_is_caught(
    kind: str,
    photo: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    right = LOWERINGS["scatter"].roles["input"]

    def wrong(y, w, spec):
        if kind == "broken":
            raise RuntimeError("no such luck\nsecond line")
        offset = 1e-4 if kind == "slightly wrong" else jnp.nan
        result = right(y, w, spec)
        return result.at[0, 2, 3, 1].add(jnp.asarray(offset, result.dtype))

    lowering = replace(LOWERINGS["scatter"], roles={"input": wrong})
    monkeypatch.setitem(LOWERINGS, "scatter", lowering)
    assert main(["check", "--json", "--image", str(photo)]) == 1
    found = json.loads(capsys.readouterr().out)
    status = "failed" if kind == "broken" else "wrong"
    fine = ("agrees", "refused")
    bad = [row for row in found["rows"] if row["status"] not in fine]
    assert [(row["implementation"], row["status"]) for row in bad] == [
        ("scatter", status)
    ]
    if kind == "broken":
        assert bad[0]["reason"] == "RuntimeError: no such luck"
    if kind == "not a number":
        assert bad[0]["difference"] is None
    assert found["ok"] is False
    assert found["claim"]["holds"] is True
    if kind == "slightly wrong":  # the table says so too
        assert main(["check", "--image", str(photo)]) == 1
        assert capsys.readouterr().out.count("WRONG") == 1


def test_a_broken_transpose_breaks_the_claim(
    photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one element of the default's result off, nothing of the claim is left."""
    case = geometries.cases(images.read(photo))[0]
    assert claim.measure_claim(case).holds
    right = LOWERINGS["xla"].roles["input"]

    def wrong(y, w, spec):
        return right(y, w, spec).at[0, 2, 3, 1].add(jnp.asarray(0.25, y.dtype))

    roles = {**LOWERINGS["xla"].roles, "input": wrong}
    monkeypatch.setitem(LOWERINGS, "xla", replace(LOWERINGS["xla"], roles=roles))
    monkeypatch.setattr(_plan, "RULES", ())  # so that the default is xla
    found = claim.measure_claim(case)
    assert not found.holds
    broken = {row.between for row in found.differences if not row.holds}
    assert broken == {
        "<conv(x), y> to <x, conv_transpose(y)>",
        "conv_transpose(y) to jax.vjp of JAX's own convolution",
        "conv_transpose(y) to C.T @ y, C the matrix of conv",
        "conv_transpose(y) to the sum in NumPy, float64",
    }


def test_an_implementation_that_refuses_says_why(
    photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _call._remembered.cache_clear()  # calls that were admitted before
    refusing = replace(LOWERINGS["matrix"], refuse=lambda case: "it is Sunday")
    monkeypatch.setitem(LOWERINGS, "matrix", refusing)
    monkeypatch.setattr(comparison, "SECONDS", 0)
    case = geometries.cases(images.read(photo))[4]
    rows = list(comparison.compare(case, case.output()))
    refused = [row for row in rows if row.status == "refused"]
    found = [(r.function, r.implementation, r.reason) for r in refused]
    assert [row for row in found if row[1] == "matrix"] == [
        ("conv", "matrix", "it is Sunday"),
        ("conv_transpose", "matrix", "it is Sunday"),
    ]
    assert all(row.reason for row in refused)
    assert not any(row.bad for row in rows)


# demo ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("few")
def test_demo_is_short_and_its_pictures_show_something(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "pictures"
    with jax.enable_x64(False), jax.numpy_rank_promotion("allow"):
        assert main(["demo", "--image", str(photo), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert len(lines) == 11
    assert lines[0] == report.machine()
    names = [contest.name for contest in speed.contests()]
    assert all(sum(name in line for line in lines) == 1 for name in names)
    assert claim.SENTENCE in text
    assert f"x is {photo}" in text
    assert "WRONG" not in text
    names = {"photo", "feature_maps", "transposed", "checkerboard", "overview"}
    assert {path.name for path in out.iterdir()} == {f"{name}.png" for name in names}
    assert lines[-1].startswith(f"Pictures in {out.resolve()}: ")
    assert all(f"{name}.png" in lines[-1] for name in names)
    for name in names:
        with Image.open(out / f"{name}.png") as image:
            pixels = np.asarray(image.convert("L"), float)
        assert 850 <= pixels.shape[1] <= 950
        assert pixels.std() > 25


@pytest.mark.usefixtures("few")
def test_demo_all_adds_the_table_of_check(
    photo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    every = geometries.cases
    monkeypatch.setattr(demo, "cases", lambda pixels: every(pixels)[4:5])
    monkeypatch.setattr(speed, "contests", lambda: [])
    monkeypatch.setattr(pictures, "draw", lambda pixels, out: [])
    words = ["demo", "--all", "--image", str(photo), "--out", str(tmp_path)]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert f"{row_count(1)} rows: " in text
    assert "uneven    conv           xla" in text


def test_no_lowering_of_other_platforms_is_compared() -> None:
    names = {name for _, name in comparison.names()}
    assert {"xla", "shift", "polyphase", "scatter", "matrix"} <= names
    assert not names & {"cudnn", "mxu", "lines", "stretch"}


def test_a_difference_in_the_race_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An accelerated function that is off in one of its results, or not a number."""
    contest = speed.contests()[0]
    monkeypatch.setattr(speed, "SECONDS", 0)
    for off in (0.01, jnp.nan):
        monkeypatch.setattr(
            jaxconv,
            "accelerate",
            lambda fn, off=off: (
                lambda *args: jax.tree.map(
                    lambda v: v.at[(0,) * v.ndim].add(jnp.asarray(off, v.dtype)),
                    fn(*args),
                )
            ),
        )
        outcome = speed.measure(contest)
        assert not outcome.agrees
        assert "WRONG" in speed.line(outcome)


def test_checkerboard_of_kernel_three_and_none_of_four(
    rng: np.random.Generator,
) -> None:
    face = rng.random((3, 9, 11), dtype=np.float32)
    odd, even = (pictures._overlap(kernel, face) for kernel in (3, 4))
    assert set(np.unique(odd.counts)) == {1, 2, 4}
    assert set(np.unique(even.counts)) == {4}
    np.testing.assert_allclose(odd.flat, 0.45 * 4 / 9 * odd.counts, rtol=1e-6)
    np.testing.assert_allclose(even.flat, 0.45, rtol=1e-6)


def test_what_goes_down_and_up_again_keeps_its_size_and_brightness() -> None:
    flat = np.full((3, 41, 38), 0.6, np.float32)
    found = pictures._resized(flat)
    assert found.back.shape == flat.shape
    assert found.small.shape == (3, 10, 9)
    np.testing.assert_allclose(found.back[:, 8:-9, 8:-9], 0.6, rtol=1e-5)


# Errors -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["draw", "conv"], ["--input", "`python -m jaxconv draw conv --help`"]),
        (["dmeo"], ["'dmeo'", "demo", "check"]),
        (["check", "--jsn"], ["--jsn", "--help"]),
        (["check", "--image"], ["--image", "expected one argument"]),
        (["check", "--image", "nowhere.png"], ["nowhere.png: no such file", "path"]),
        (["demo", "--image", "."], ["--image .: not a file", "path"]),
        (["demo", "--image", __file__], ["pillow cannot read it", "PNG, JPEG"]),
        (["demo", "--out", f"{__file__}/x"], [f"--out {__file__}/x: ", "folder"]),
    ],
)
def test_bad_arguments_are_one_line_and_two(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("jaxconv: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err


def test_a_picture_can_be_too_small(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "small.png"
    Image.new("RGB", (90, 31)).save(path)
    assert main(["check", "--image", str(path)]) == 2
    assert "90x31 pixels are too few; give one of at least 32x32" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("module", ["matplotlib", "PIL"])
def test_demo_says_what_to_install(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["demo"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.endswith("pip install 'jaxconv[viz]'\n")


def test_check_does_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.cbook", None)
    photo = images.load(None, without=True)
    assert "random numbers" in photo.source
    assert photo.pixels.std() > 0.2


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"jaxconv {jaxconv.__version__}\n"
    for arguments in ([], ["--help"], ["demo", "--help"], ["check", "--help"]):
        assert main(arguments) == 0
        assert "usage: jaxconv" in capsys.readouterr().out


def test_import_needs_neither_matplotlib_nor_pillow_nor_rich() -> None:
    lines = (
        "import sys",
        "for name in ('matplotlib', 'PIL', 'rich'): sys.modules[name] = None",
        "from jaxconv.__main__ import main",
        "sys.exit(main(['--version']))",
    )
    command = [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("jaxconv ")


def test_screen_shows_a_bar_only_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Screen(sys.stdout, 2) as screen:
        screen.step("one")
        screen.line("[a line] of 3 words")
    assert capsys.readouterr().out == "[a line] of 3 words\n"
    pytest.importorskip("rich", reason="the bar is rich's")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with Screen(sys.stdout, 2) as screen:
        screen.step("one")
        screen.line("[a line] of 3 words")
    out = capsys.readouterr().out
    assert "[a line] of 3 words" in out
    assert "1/2" in out
