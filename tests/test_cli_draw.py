"""`draw`, `explain` and `gallery` on the command line."""

from __future__ import annotations

import argparse
import importlib.util
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import jaxconv
from jaxconv.__main__ import main
from jaxconv._cli import explain, options
from jaxconv._cli.arguments import parser
from jaxconv._cli.snippets import snippets

WINDOW = ["--input", "3", "--kernel", "3"]


# draw ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "suffix"),
    [
        (["conv", *WINDOW, "--numbers"], "svg"),
        (["conv_transpose", *WINDOW, "--stride", "2", "--padding", "1"], "html"),
        (["conv_transpose", *WINDOW, "--view", "both", "--theme", "dark"], "svg"),
        (["matrix", "--input", "3x3", "--kernel", "2"], "svg"),
        (["overlap", "--input", "3x3", "--kernel", "3", "--stride", "2"], "svg"),
        (["channels", "--channels", "4,6", "--groups", "2"], "svg"),
        (["dilations", "--kernel", "3", "--rates", "1,2"], "svg"),
    ],
)
def test_draw_writes_one_file_where_it_is_told(
    words: list[str], suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / f"a.{suffix}"
    assert main(["draw", *words, "-o", str(out)]) == 0
    assert capsys.readouterr().out.startswith(f"Wrote {out}: ")
    assert list(tmp_path.iterdir()) == [out]
    assert "<svg" in out.read_text("utf-8")


@pytest.mark.parametrize("suffix", ["gif", "png"])
def test_draw_writes_pixels(suffix: str, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="GIF and PNG need pillow")
    pytest.importorskip("matplotlib", reason="GIF and PNG need its font")
    out = tmp_path / f"a.{suffix}"
    words = ["conv_transpose", *WINDOW, "--stride", "2", "--padding", "1"]
    assert main(["draw", *words, "-o", str(out)]) == 0
    with image.open(out) as found:
        assert found.width == 800
        assert getattr(found, "n_frames", 1) == (3 if suffix == "gif" else 1)


def test_draw_on_a_photo(tmp_path: Path, rng: np.random.Generator) -> None:
    image = pytest.importorskip("PIL.Image", reason="reading a photo needs pillow")
    photo = tmp_path / "p.png"
    image.fromarray(rng.integers(0, 256, (40, 36, 3), dtype=np.uint8)).save(photo)
    np.save(tmp_path / "offset.npy", rng.normal(size=(18, 38, 34)))
    both = {
        "deform": ["--offset", str(tmp_path / "offset.npy"), "--position", "4,5"],
        "receptive": ["--layers", "7s2p3,3,3d2"],
    }
    for subject, words in both.items():
        out = tmp_path / f"{subject}.svg"
        given = ["draw", subject, "--image", str(photo), *words, "-o", str(out)]
        assert main(given) == 0
        assert "data:image/png" in out.read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], ["SUBJECT"]),
        (["conv", *WINDOW], ["-o/--output"]),
        (["conv", *WINDOW, "-o", "a.bmp"], ["-o a.bmp", ".gif, .svg, .html, .png"]),
        (["conv", *WINDOW, "-o", "/no/where.svg"], ["-o /no/where.svg: no such file"]),
        (
            ["conv", "--input", "3", "--kernel", "5", "-o", "a.svg"],
            ["kernel=", "spans"],
        ),
        (
            ["conv", "--input", "a", "--kernel", "5", "-o", "a.svg"],
            ["'a' is not a size"],
        ),
        (
            ["conv", "--input", "0", "--kernel", "5", "-o", "a.svg", "--numbers"],
            ["input=0: must be at least 1"],
        ),
        (["conv", *WINDOW, "--padding", "0:1:2", "-o", "a.svg"], ["low:high"]),
        (["conv", *WINDOW, "--padding", "some", "-o", "a.svg"], ["padding='some'"]),
        (["conv", *WINDOW, "--channels", "3", "-o", "a.svg"], ["'3' is not a pair"]),
        (["channels", "-o", "a.svg"], ["--channels"]),
        (["matrix", "--input", "40", "--kernel", "999", "-o", "a.svg"], ["kernel="]),
        (["deform", "--offset", __file__, "-o", "a.svg"], ["no array", "numpy.save"]),
        (["receptive", "--layers", "3q", "-o", "a.svg"], ["'3q' is not a layer"]),
        (["conv_transpose", *WINDOW, "--view", "x", "-o", "a.svg"], ["--view"]),
        (["conv", *WINDOW, "--theme", "auto", "-o", "a.gif"], ["theme='auto'"]),
    ],
)
def test_mistakes_are_one_line_and_two(
    words: list[str],
    said: list[str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["draw", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("jaxconv: ")
    assert err.count("\n") == 1
    for word in said:
        assert word in err
    assert list(tmp_path.iterdir()) == []


def test_the_gallery_needs_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gallery"]) == 2
    assert "--svg DIR" in capsys.readouterr().err


def test_options_read_their_forms() -> None:
    assert options.sizes("5") == 5
    assert options.sizes("5x4") == options.sizes("5,4") == (5, 4)
    assert options.padding("0:1,2:0") == ((0, 1), (2, 0))
    assert options.padding("SAME_LOWER") == "SAME_LOWER"
    assert options.layers("7s2p3,3d2") == [
        {"kernel": 7, "stride": 2, "padding": 3},
        {"kernel": 3, "dilation": 2},
    ]


# explain ------------------------------------------------------------------------------

CALLS = {
    "plain": ["conv", "--input", "9", "--kernel", "3"],
    "strided": [
        *("conv", "--input", "8x7", "--kernel", "3x2", "--channels", "4,6"),
        *(
            "--groups",
            "2",
            "--stride",
            "2",
            "--dilation",
            "1,2",
            "--padding",
            "0:1,2:0",
        ),
    ],
    "circular": [
        *("conv", "--input", "5x6", "--kernel", "3", "--channels", "2,3"),
        *("--padding", "1", "--padding-mode", "circular"),
    ],
    "same": ["conv", "--input", "7", "--kernel", "4", "--padding", "SAME"],
    "odd": [
        *("conv_transpose", "--input", "4x5", "--kernel", "3", "--channels", "4,3"),
        *("--stride", "2", "--padding", "1", "--output-padding", "1"),
    ],
    "beyond": [
        *("conv_transpose", "--input", "4", "--kernel", "2", "--stride", "3"),
        *("--output-padding", "2"),
    ],
    "uneven": [
        *("conv_transpose", "--input", "4x6", "--kernel", "3x2", "--channels", "4,6"),
        *("--groups", "2", "--stride", "2,3", "--padding", "1:0,0:1"),
    ],
    "dilated": [
        *("conv_transpose", "--input", "5", "--kernel", "3", "--channels", "2,3"),
        *(
            "--stride",
            "2",
            "--dilation",
            "3",
            "--padding",
            "2",
            "--output-padding",
            "2",
        ),
    ],
    "folded": [
        *("conv_transpose", "--input", "5x4", "--kernel", "3", "--channels", "2,3"),
        *("--padding", "1", "--padding-mode", "reflect"),
    ],
    "cropped": ["conv_transpose", "--input", "6", "--kernel", "2", "--padding", "2"],
    "volume": [
        *("conv_transpose", "--input", "2x3x4", "--kernel", "2", "--stride", "2"),
        *("--channels", "3,2"),
    ],
}
LIBRARIES = {
    "PyTorch": "torch",
    "lax": "jax",
    "Flax nnx": "flax",
    "Keras": "keras",
    "Equinox": "equinox",
    "Haiku": "haiku",
}
WITHOUT = {
    "Flax nnx": {"uneven", "folded", "cropped"},
    "Keras": {"uneven", "folded"},
    "Equinox": {"folded", "cropped", "dilated"},
    "Haiku": {"uneven", "folded", "cropped", "dilated"},
}


def read(name: str) -> tuple[Any, argparse.Namespace, tuple[Any, Any]]:
    """The call, its arguments, and the shapes of x and kernel."""
    arguments = parser().parse_args(["explain", *CALLS[name]])
    transposed = CALLS[name][0] == "conv_transpose"
    shapes = explain._shapes(arguments, transposed)
    setup = explain._setup(arguments, shapes, transposed)
    return explain._call(setup, arguments), arguments, shapes


def computed(name: str, x: Any, kernel: np.ndarray) -> jax.Array:
    call, arguments, _ = read(name)
    function = jaxconv.conv_transpose if call.transposed else jaxconv.conv
    named = explain._named(arguments, call.transposed)
    return function(x, kernel, **named)


@pytest.mark.parametrize("library", ["jaxconv", *LIBRARIES])
@pytest.mark.parametrize("name", CALLS)
def test_snippets_run_as_they_are_and_give_the_same_numbers(
    name: str, library: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pasted into an empty program, on the operands that the program makes."""
    module = LIBRARIES.get(library, "jaxconv")
    call, _, shapes = read(name)
    code = snippets(call)[library]
    assert code.startswith("#") == (name in WITHOUT.get(library, ()))
    if code.startswith("#"):
        return
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    draw = np.random.default_rng(0)
    x, kernel = (draw.standard_normal(shape, np.float32) for shape in shapes)
    scope: dict[str, Any] = {}
    # As a user's program has them; the tests' own settings are stricter.
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        with jax.numpy_rank_promotion("allow"):
            exec(compile(code, f"{library} {name}", "exec"), scope)
            assert code.endswith(f"print(y.shape)  # {tuple(scope['y'].shape)}")
            assert str(scope["y"].shape) in capsys.readouterr().out
            expected = np.asarray(computed(name, x, kernel))
            found = np.asarray(scope["y"])
    assert found.shape == expected.shape
    terms = np.prod(shapes[1])
    np.testing.assert_allclose(found, expected, atol=1e-6 * terms**0.5 * 4)


@pytest.mark.parametrize("name", CALLS)
def test_the_numbers_of_explain_are_right(
    name: str, capsys: pytest.CaptureFixture[str], rng: np.random.Generator
) -> None:
    assert main(["explain", *CALLS[name]]) == 0
    printed = capsys.readouterr().out
    sections, _, code = printed.partition("\n# In ")
    assert max(map(len, sections.splitlines())) <= 88
    text = unwrapped(sections) + "\n# In " + code
    call, arguments, (shape, kernel) = read(name)
    x, w = (rng.standard_normal(s).astype(np.float32) for s in (shape, kernel))
    y = computed(name, x, w)
    assert f"x {shape} with kernel {kernel} gives {y.shape}, all in float32." in text
    for axis, size in enumerate(y.shape[2:]):
        (line,) = (
            s
            for s in text.splitlines()
            if s.endswith(f" = {size}")
            and s.startswith(f"  axis {axis}: ")
            and "elements" not in s
        )
        filled = line.partition(": ")[2].removesuffix(f" = {size}")
        assert eval(filled, {"floor": np.floor}) == size
    forward = {
        k: v
        for k, v in explain._named(arguments, call.transposed).items()
        if "output" not in k
    }
    jacobian = jax.jacobian(lambda x: computed(name, x, w))(x)
    C = np.asarray(jacobian).reshape(y.size, x.size)
    filled = f"{np.count_nonzero(C):,} of its {C.size:,} entries"
    assert f"is {C.shape[0]:,} x {C.shape[1]:,}; {filled} can differ from zero" in text
    if not call.filled and arguments.padding != "SAME":
        extra = {"output_padding": arguments.output_padding} if call.transposed else {}
        kept = {k: v for k, v in forward.items() if k != "padding_mode"}
        cost = jaxconv.cost(shape, kernel, transposed=call.transposed, **kept, **extra)
        assert f"has {cost.parameters:,} parameters" in text
        assert f"takes {cost.multiply_adds:,} multiply-adds" in text
        assert f"which {cost.multiply_adds_valid:,} are not with zeros" in text
        assert f"x, kernel and result take {cost.bytes:,} bytes." in text
    assert "  On cpu by the lowering '" in text
    assert "  Because: " in text
    for library in ("jaxconv", *LIBRARIES):
        pasted = text.partition(f"\n# In {library}\n\n")[2].partition("\n# In ")[0]
        assert pasted.strip() == snippets(call)[library]


def unwrapped(text: str) -> str:
    """Sentences of several lines in one."""
    return re.sub(r"\n {4}(?=\S)", " ", text)


def test_explain_fills_in_the_four_steps(capsys: pytest.CaptureFixture[str]) -> None:
    """Border 1 before and 2 after: output_padding adds its zeros at the end."""
    assert main(["explain", *CALLS["odd"]]) == 0
    text = unwrapped(capsys.readouterr().out)
    said = "axis 0: with 1 between them 4 inputs take 7 elements, with 1 in front and "
    assert f"{said}2 behind: 7 + 1 + 2 - 3 + 1 = 8 outputs" in text
    assert "away from the border an output is the sum of 1 or 2 inputs" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["conv", "--input", "3", "--kernel", "9"], "kernel=(9,): spans 9"),
        (["conv", *WINDOW, "--channels", "3,4", "--groups", "2"], "channels=(3, 4)"),
        (["conv", *WINDOW, "--groups", "0"], "groups=0"),
        (["conv_transpose", *WINDOW, "--padding", "same"], "padding='same'"),
        (["conv_transpose", *WINDOW, "--padding", "9"], "padding=9: leaves a result"),
        (["deconv", *WINDOW], "'deconv'"),
        (["conv", *WINDOW, "--in-channels", "3"], "jaxconv explain conv --help"),
        (
            "conv_transpose --input 2x3x4x5 --kernel 3x7x9x9 --padding 9".split(),
            "--input 4x5 --kernel 9x9 --channels 3,7",
        ),
    ],
)
def test_explain_refuses_in_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert said in err
