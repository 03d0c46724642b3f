"""Scenes: what they show is what the library computes, and it can be read."""

from __future__ import annotations

import doctest
import itertools
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxconv
import oracle
from jaxconv import viz
from jaxconv.viz import _deform, _overlap, _theme, _zero_insertion, gallery
from jaxconv.viz._frames import captions, head, over, under
from jaxconv.viz._marks import LEAST_TEXT, WIDTH, Box, Cell, Dot, Text, words_in
from jaxconv.viz._operands import convolve, scatter
from jaxconv.viz._scene import Scene
from jaxconv.viz._setting import Setting, read_setting

NONE = {
    "stride": 1,
    "padding": 0,
    "dilation": 1,
    "padding_mode": "zeros",
}
# Sizes of input and kernel, and options.
CONVS: tuple[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]], ...] = (
    ((7,), (3,), {"stride": 2, "padding": ((2, 1),), "dilation": 2}),
    ((5, 6), (3, 2), {"stride": (2, 1), "padding": ((0, 1), (2, 0))}),
    ((6, 4), (2, 3), {"padding": 1, "padding_mode": "circular"}),
    ((5,), (4,), {"padding": ((3, 2),), "padding_mode": "reflect", "stride": 3}),
    ((4, 5), (3, 1), {"padding": (2, 0), "padding_mode": "replicate"}),
    ((6,), (2,), {"padding": "causal", "dilation": 3}),
)
TRANSPOSES: tuple[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]], ...] = (
    ((3,), (3,), {"stride": 2, "padding": 1, "output_padding": 1}),
    ((3, 2), (2, 4), {"stride": (3, 2), "padding": ((0, 1), (2, 1))}),
    ((4, 3), (3, 2), {"stride": 2, "dilation": (1, 3), "output_padding": (1, 2)}),
    ((6,), (3,), {"padding": 3}),
    ((4,), (5,), {"stride": 4, "output_size": (13,), "padding": 3}),
)
FOLDED = ((4, 3), (3, 2), {"padding": 1, "padding_mode": "circular"})


def setting_of(transposed: bool, size: Any, kernel: Any, options: Any) -> Setting:
    given = {**NONE, **options}
    if transposed:
        given = {"output_padding": 0, "output_size": None, **given}
    return read_setting(transposed, size, kernel, **given)


def numbers(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.integers(-4, 10, shape)


def cells(marks: Any, *roles: str) -> list[Cell]:
    return [m for m in marks if isinstance(m, Cell) and m.role in roles]


def texts(scene: Scene) -> list[str]:
    """What the output's cells say at the end, row by row."""
    marks = (*scene.base, *scene.frames[-1].marks)
    found: dict[tuple[float, float], str] = {}
    for cell in cells(marks, "output", "output-done", "output-lit"):
        found[cell.y, cell.x] = cell.text
    return [found[place] for place in sorted(found)]


# Geometry -----------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "kernel", "options"), CONVS)
def test_windows_lie_where_the_nested_loops_read(size, kernel, options) -> None:
    setting = setting_of(False, size, kernel, options)
    g = setting.geometry
    window = oracle.Window(g.input, g.kernel, g.output, g.stride, g.dilation, g.low)
    expected = {(p, t): q for p, t, q in oracle.reads(window, setting.mode)}
    found = {
        (position, read.tap): read.source
        for position in setting.positions
        for read in setting.reads(position)
        if read.source is not None
    }
    assert found == expected


@pytest.mark.parametrize(("size", "kernel", "options"), CONVS)
def test_numbers_in_conv_are_those_of_conv(size, kernel, options, rng) -> None:
    x, w = numbers(rng, size), numbers(rng, kernel)
    expected = np.asarray(jaxconv.conv(x[None], w[None, None], **options))[0]
    setting = setting_of(False, size, kernel, options)
    y = convolve(setting, np.atleast_2d(x), np.atleast_2d(w))
    np.testing.assert_array_equal(y.reshape(expected.shape), expected)
    scene = viz.conv(x, w, **options)
    assert len(scene.frames) == expected.size
    assert texts(scene) == [f"{v:g}" for v in expected.ravel()]


@pytest.mark.parametrize("view", ["scatter", "zero_insertion"])
@pytest.mark.parametrize(("size", "kernel", "options"), TRANSPOSES)
def test_both_views_show_conv_transpose(size, kernel, options, view, rng) -> None:
    x, w = numbers(rng, size), numbers(rng, kernel)
    expected = np.asarray(jaxconv.conv_transpose(x[None], w[None, None], **options))[0]
    scene = viz.conv_transpose(x, w, view=view, **options)
    assert texts(scene) == [f"{v:g}" for v in expected.ravel()]
    assert len(scene.frames) == (x.size if view == "scatter" else expected.size)


def test_padding_modes_scatter_as_the_adjoint(rng) -> None:
    size, kernel, options = FOLDED
    x, w = numbers(rng, size), numbers(rng, kernel)
    expected = np.asarray(jaxconv.conv_transpose(x[None], w[None, None], **options))[0]
    np.testing.assert_array_equal(scatter(setting_of(True, *FOLDED), x, w), expected)
    assert texts(viz.conv_transpose(x, w, **options)) == [
        f"{v:g}" for v in expected.ravel()
    ]


@pytest.mark.parametrize(("size", "kernel", "options"), TRANSPOSES)
def test_the_stretched_input_convolved_is_the_transposed(
    size, kernel, options, rng
) -> None:
    """Read the zero-insertion picture as the convolution that it claims to be."""
    x, w = numbers(rng, size), numbers(rng, kernel)
    setting = setting_of(True, size, kernel, options)
    expected = np.asarray(jaxconv.conv_transpose(x[None], w[None, None], **options))[0]
    weights = np.atleast_2d(w)
    found = np.zeros(setting.geometry.input)
    for target in setting.elements:
        for place, tap in _zero_insertion._flipped(setting, target):
            if _zero_insertion.stretched_role(setting, place) == "input":
                element = _zero_insertion._element(setting, place)
                found[target] += np.atleast_2d(x)[element] * weights[tap]
            else:
                assert _zero_insertion.stretched_role(setting, place) != "cropped"
    np.testing.assert_array_equal(found.reshape(expected.shape), expected)


@pytest.mark.parametrize(("size", "kernel", "options"), [CONVS[0], CONVS[1], CONVS[2]])
def test_matrix_is_conv_matrix(size, kernel, options, rng) -> None:
    x, w = numbers(rng, size), numbers(rng, kernel)
    C = np.asarray(jaxconv.conv_matrix(w[None, None], (1, *size), **options))
    scene = viz.matrix(x, w, **options)
    assert len(scene.frames) == len(C)
    shown = cells(scene.base, "kernel", "zero")
    assert len(shown) == C.size
    if shown[0].size >= 17:
        assert [cell.text for cell in shown] == [f"{v:g}" for v in C.ravel()]
    nonzero = [cell.role == "kernel" for cell in shown]
    assert (np.reshape(nonzero, C.shape) | (C == 0)).all()
    assert texts(scene) == [f"{v:g}" for v in C @ x.ravel()]


def test_the_transposed_matrix_is_the_transpose() -> None:
    plain, turned = (
        viz.matrix((3, 3), (2, 2)),
        viz.matrix((2, 2), (2, 2), transposed=True),
    )
    C, T = (
        np.array([cell.text for cell in cells(s.base, "kernel", "zero")])
        for s in (plain, turned)
    )
    assert C[:9].tolist() == ["11", "12", "", "21", "22", "", "", "", ""]
    np.testing.assert_array_equal(C.reshape(4, 9).T, T.reshape(9, 4))


def test_overlap_counts_windows() -> None:
    for k, s, lo in ((3, 2, 0), (4, 2, 1), (5, 3, 1)):
        setting = setting_of(True, (9, 8), (k, k), {"stride": s, "padding": lo})
        ones = jnp.ones((1, 9, 8)), jnp.ones((1, 1, k, k))
        counts = np.asarray(jaxconv.conv_transpose(*ones, stride=s, padding=lo))[0]
        np.testing.assert_array_equal(_overlap.counted(setting), counts)
        inner = np.unique(counts[k:-k, k:-k])
        assert _overlap.inner_counts(setting) == inner.astype(int).tolist()
    scene = viz.overlap((4, 4), (3, 3), stride=2)
    assert [c.text for c in cells(scene.frames[0].marks, *_theme.LIGHT)][:5] == list(
        "11212"
    )
    assert "checkerboard" in scene.frames[0].caption
    assert "checkerboard" not in viz.overlap((3, 3), 4, stride=2).frames[0].caption


def test_channels_read_their_group_only() -> None:
    kernel = jnp.ones((6, 2, 1))
    x = jnp.ones((4, 1))
    jacobian = jax.jacobian(lambda x: jaxconv.conv(x, kernel, groups=2))(x)
    reads = np.asarray(jacobian).reshape(6, 4) != 0
    scene = viz.channels(4, 6, groups=2, kernel=1)
    for out, frame in enumerate(scene.frames):
        numbered = [cell for cell in cells(frame.marks, "input-lit") if cell.text]
        lit = {int(cell.text) for cell in numbered}
        maps = [c for c in cells(frame.marks, "input", "input-lit") if not c.text]
        assert [c.role for c in maps[::-1]] == [  # the first map is drawn last
            "input-lit" if channel in lit else "input" for channel in range(4)
        ]
        assert len(cells(frame.marks, "kernel-lit")) == len(lit)
        assert lit == set(np.flatnonzero(reads[out]).tolist())
    assert "(6, 2, 1): 12 weights, without groups 24" in scene.subtitle
    turned = viz.channels(4, 6, groups=2, transposed=True)
    assert "(4, 3, 3, 3)" in turned.subtitle


def test_deformable_samples_where_the_offsets_say(rng) -> None:
    photo, offset = rng.random((9, 8)), rng.normal(size=(12, 5, 3))
    options = {"stride": (2, 2), "padding": (1, 0), "dilation": (1, 2)}
    scene = viz.deform(photo, offset, (3, 2), positions=[(2, 1)], **options)
    setting = setting_of(False, (9, 8), (3, 2), options)
    moves = _deform._moves(offset, setting)
    found = [moved for _, moved in _deform.sampled(setting, moves, (2, 1))]
    expected = [
        (
            2 * 2 + a - 1 + offset[2 * (2 * a + b), 2, 1],
            1 * 2 + 2 * b + offset[2 * (2 * a + b) + 1, 2, 1],
        )
        for a in range(3)
        for b in range(2)
    ]
    np.testing.assert_allclose(found, expected)
    (photo_mark,) = scene.base
    points = [m for m in scene.frames[0].marks if isinstance(m, Dot) and m.radius == 4]
    drawn = [
        (
            (p.y - photo_mark.y) / photo_mark.height * 9 - 0.5,
            (p.x - photo_mark.x) / photo_mark.width * 8 - 0.5,
        )
        for p in points
    ]
    np.testing.assert_allclose(drawn, expected)


@pytest.mark.parametrize("size", [40, 73])
def test_receptive_fields_are_as_large_as_the_gradient_reaches(rng, size: int) -> None:
    """Of the larger photo only the middle is shown."""
    layers = [{"kernel": 5, "stride": 2, "padding": 1}, {"kernel": 3, "dilation": 2}]
    pixels = rng.random((size, size))
    scene = viz.receptive(pixels, layers)
    (photo,) = scene.base
    cut = (size - photo.columns) // 2
    kept = pixels[cut : size - cut, cut : size - cut]
    assert photo.columns == (40 if size == 40 else 39)
    grey = np.frombuffer(photo.pixels, np.uint8).reshape(kept.shape)
    np.testing.assert_allclose(grey, 255 * kept, atol=0.5)

    def net(x: jax.Array) -> jax.Array:
        y = jaxconv.conv(x, jnp.ones((1, 1, 5)), stride=2, padding=1)
        return jaxconv.conv(y, jnp.ones((1, 1, 3)), dilation=2)

    reads = np.asarray(jax.jacobian(net)(jnp.ones((1, size))))[0, :, 0]
    box = next(m for m in scene.frames[1].marks if isinstance(m, Box))
    start = cut + round((box.x - photo.x) / photo.width * photo.columns)
    stop = start + round(box.width / photo.width * photo.columns)
    seen = [tuple(np.flatnonzero(row)[[0, -1]]) for row in reads]
    assert (start, stop - 1) in seen
    assert "13×13 pixels, 2 apart" in scene.frames[1].caption


def test_dilated_kernels_have_the_same_weights() -> None:
    scene = viz.dilations((3, 2), (1, 3))
    for frame in scene.frames:
        assert len(cells(frame.marks, "kernel-lit")) == 6
    assert scene.frames[1].caption == "dilation 3: 6 weights see 7×4"


# The worked claims --------------------------------------------------------------------


def entry(name: str) -> Scene:
    photo = np.linspace(0, 1, gallery.SIDE**2).reshape(gallery.SIDE, -1)
    (found,) = (e for e in gallery.entries() if e.name == name)
    return found.scene(photo)


def test_n0_06_is_drawn_with_its_numbers() -> None:
    assert texts(entry("claim-0-06")) == ["2", "3", "1", "3"]
    assert texts(entry("claim-0-06-matrix")) == ["2", "3", "1", "3"]
    back = "0 2 5 3 0 3 7 3 2 4 5 3 1 3 1 3".split()
    assert texts(entry("claim-0-09")) == back


def test_n2_08_is_drawn_in_its_letters() -> None:
    expected = "aK11 aK12+bK11 bK12 aK21+cK11 aK22+bK21+cK12+dK11 bK22+dK12"
    assert texts(entry("claim-2-08")) == [
        *expected.split(),
        "cK21",
        "cK22+dK21",
        "dK22",
    ]


def test_n3_04_is_drawn_with_its_numbers() -> None:
    expected = "0 0 1 2 0 5 11 11 6 23 29 23 12 32 37 24".split()
    assert texts(entry("claim-3-04")) == expected * 2  # in both views


def test_the_kernel_of_the_equal_convolution_is_turned() -> None:
    """Left to right and down the window shows w[1, 1], w[1, 0], w[0, 1], w[0, 0]."""
    x, w = np.arange(9).reshape(3, 3), np.arange(4).reshape(2, 2)
    scene = viz.conv_transpose(x, w, view="zero_insertion")
    lit = cells(scene.frames[5].marks, "input-lit", "zero-lit", "padding-lit")
    assert [cell.note for cell in lit] == ["×3", "×2", "×1", "×0"]
    assert scene.frames[5].caption == "output[1, 1] = 0·3 + 1·2 + 3·1 + 4·0 = 5"


# Known mistakes of widely copied pictures ---------------------------------------------


def test_output_padding_adds_its_zeros_at_the_end() -> None:
    """The odd transposed case: one row of border above, two below; never reversed."""
    for name, below in (("relationship-13", 1), ("relationship-14", 2)):
        base = cells(entry(name).base, "input", "zero", "padding")
        rows = sorted({cell.y for cell in base})
        columns = sorted({cell.x for cell in base})
        inside = [cell for cell in base if cell.role != "padding"]
        assert rows.index(min(cell.y for cell in inside)) == 1
        assert columns.index(min(cell.x for cell in inside)) == 1
        assert len(rows) - 1 - rows.index(max(cell.y for cell in inside)) == below
        assert len(columns) - 1 - columns.index(max(c.x for c in inside)) == below


TRANSPOSED = [e for e in gallery.entries() if e.function == "conv_transpose"]


@pytest.mark.parametrize("name", [e.name for e in TRANSPOSED])
def test_transposed_pictures_do_not_swap_input_and_output(name: str) -> None:
    """Input cells are x's, output cells the result's, under labels that say so."""
    (found,) = (e for e in TRANSPOSED if e.name == name)
    scene = entry(name)
    x, kernel = (np.shape(a) or (a,) for a in found.arguments)
    if isinstance(found.arguments[0], tuple):
        x, kernel = found.arguments
    options = {k: v for k, v in found.options.items() if k in NONE or "output" in k}
    result = jaxconv.conv_transpose(
        np.ones((1, *x)), np.ones((1, 1, *kernel)), **options
    )
    views = 2 if found.options.get("view") == "both" else 1
    kept = (
        cells(scene.base, "input", "cropped")
        if name == "cropped-border"
        else (cells(scene.base, "input"))
    )
    channels = sum(found.options.get("channels", (0,))[:1])
    assert len(kept) == views * int(np.prod(x)) + channels
    channels = sum(found.options.get("channels", (0,))[-1:])
    assert len(cells(scene.base, "output")) == views * result.size + channels
    labels = [m.text for m in scene.base if isinstance(m, Text)]
    sizes = ["×".join(map(str, size)) for size in (x, kernel, result.shape[1:])]
    assert labels[0].startswith(f"input {sizes[0]}")
    assert labels[1].split()[-1] == sizes[1]
    assert labels[2] == f"output {sizes[2]}"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_inputs_are_blue_and_outputs_orange_everywhere(theme: str) -> None:
    for role, hue in (("input", "blue"), ("output", "orange")):
        for state in ("", "-lit", "-done")[: 3 if role == "output" else 2]:
            red, _, blue = rgb(_theme.STYLES[theme][role + state].fill)
            assert (blue > red + 20) if hue == "blue" else (red > blue + 10)


def test_paddings_of_a_transposed_conv_are_those_of_the_matching_conv() -> None:
    """p=2 of the conv is p'=1 of zeros around: the picture tells them apart."""
    scene = entry("relationship-09")
    assert "padding 2" in scene.subtitle
    rows = sorted({cell.y for cell in cells(scene.base, "padding", "input")})
    inside = {cell.y for cell in cells(scene.base, "input")}
    assert [y in inside for y in rows] == [False, *[True] * 6, False]


# Legibility ---------------------------------------------------------------------------


def scenes() -> list[tuple[str, Scene]]:
    return [(e.name, entry(e.name)) for e in gallery.entries()]


def test_every_text_of_the_gallery_fits_and_can_be_read() -> None:
    font = pytest.importorskip("PIL.ImageFont", reason="measures text with pillow")
    matplotlib = pytest.importorskip("matplotlib", reason="has the font")
    path = f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf"
    sized = {n: font.truetype(path, 10 * n) for n in (12, 15)}
    for name, scene in scenes():
        said = itertools.chain(*(captions(scene, f) for f in scene.frames))
        marks = [*head(scene), *scene.base, *said]
        marks += itertools.chain(*(frame.marks for frame in scene.frames))
        for mark in {m for m in marks if isinstance(m, Text)}:
            assert mark.size >= 12
            end = mark.x + sized[round(mark.size)].getlength(mark.text) / 10
            assert end <= WIDTH - 2, (name, mark.text)
        for cell in {m for m in marks if isinstance(m, Cell) and m.text}:
            words = words_in(cell)
            assert words, (name, cell)
            for _, _, word, size, _ in words:
                assert size >= LEAST_TEXT
                assert sized[12].getlength(word) / 120 * size <= cell.size, (name, cell)
            assert cell.x >= 0
            assert cell.x + cell.size <= WIDTH


def test_lines_between_grids_cross_no_number() -> None:
    """They lie behind the cells, and in a row of grids below every label."""
    x, w = np.arange(16).reshape(4, 4), np.arange(9).reshape(3, 3)
    for scene in (viz.conv(x, w), viz.conv_transpose(x, w, stride=2)):
        labels = [mark.y for mark in scene.base if isinstance(mark, Text)]
        for frame in scene.frames:
            assert len(under(frame)) == 2
            assert len(under(frame)) + len(over(frame)) == len(frame.marks)
            for line in under(frame):
                assert min(line.y1, line.y2) >= max(labels)


def test_labels_of_layers_stand_beside_the_photo(rng: np.random.Generator) -> None:
    layers = [{"kernel": 3, "stride": 1 + n % 2} for n in range(9)]
    scene = viz.receptive(rng.random((64, 64)), layers)
    (photo,) = scene.base
    tags = cells(scene.frames[-1].marks, *(f"layer-{n}" for n in range(6)))
    assert sorted(int(tag.text) for tag in tags) == list(range(1, 10))
    assert all(tag.x > photo.x + photo.width for tag in tags)
    heights = [tag.y for tag in sorted(tags, key=lambda tag: int(tag.text))]
    gaps = -np.diff(heights)
    assert np.all(gaps >= tags[0].size * 0.75)


def test_large_matrices_show_their_bands() -> None:
    """Every weight lies in one of the marks, and nothing else does."""
    scene = viz.matrix((9, 11), (3, 2), stride=2)
    dense = np.asarray(
        jaxconv.conv_matrix(jnp.ones((1, 1, 3, 2)), (1, 9, 11), stride=2)
    )
    (whole,) = [m for m in scene.base if isinstance(m, Box) and m.role == "zero"]
    scale = whole.width / dense.shape[1]
    found = np.zeros(dense.shape, int)
    for mark in scene.base:
        if isinstance(mark, Box) and mark.role == "kernel-fine":
            row = round((mark.y - whole.y) / scale)
            first = round((mark.x - whole.x) / scale)
            found[row, first : first + round(mark.width / scale)] += 1
    np.testing.assert_array_equal(found, dense != 0)


def test_sums_of_nine_terms_are_written_out(rng: np.random.Generator) -> None:
    x, w = rng.integers(0, 9, (4, 5)), rng.integers(-3, 9, (3, 3))
    for frame in viz.conv(x, w).frames:
        name, written, total = frame.caption.split(" = ")
        assert written.count("·") == 9
        assert name.startswith("output[")
        assert eval(written.replace("·", "*")) == int(total)


def rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], float)


def linear(colour: str) -> np.ndarray:
    part = rgb(colour) / 255
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def luminance(colour: str) -> float:
    return float(linear(colour) @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_is_written_stands_out(theme: str) -> None:
    """WCAG 2: 4.5 to 1 for text."""
    for role, style in _theme.STYLES[theme].items():
        if style.fill == "none" or role in ("text", "title", "point", "regular"):
            continue
        light, dark = sorted(map(luminance, (style.fill, style.ink)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, role


# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
SIGHT = {
    "usual": np.eye(3),
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def lab(seen: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of linear RGB."""
    to_xyz = [
        [0.4124, 0.3576, 0.1805],
        [0.2126, 0.7152, 0.0722],
        [0.0193, 0.1192, 0.9505],
    ]
    xyz = np.array(to_xyz) @ np.clip(seen, 0, 1) / [0.9505, 1, 1.089]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_roles_can_be_told_apart_by_the_colour_blind(theme: str, sight: str) -> None:
    """A difference of 2.3 is just seen; these need 10, in every state."""
    styles = _theme.STYLES[theme]
    pairs = [*itertools.combinations(("input", "output", "kernel"), 2)]
    pairs += [("output", "cropped"), ("input", "padding"), ("input", "zero")]
    for state, pair in itertools.product(("", "-lit"), pairs):
        one, other = (
            lab(np.array(SIGHT[sight]) @ linear(styles[role + state].fill))
            for role in pair
        )
        assert np.linalg.norm(one - other) >= 10, (pair, state)
    for role in ("input", "output", "kernel"):
        idle, lit = (
            lab(np.array(SIGHT[sight]) @ linear(styles[r].fill))
            for r in (role, f"{role}-lit")
        )
        assert np.linalg.norm(idle - lit) >= 20


# Errors and imports -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: viz.conv((3, 3, 3), 2), "input=.*sizes on one or two axes"),
        (lambda: viz.conv(np.ones(3), 2), "kernel=2: is a size, but the other"),
        (lambda: viz.conv(300, 3), "columns=300: are more than can be seen"),
        (lambda: viz.matrix((40, 40), 3), "makes a matrix of 2310400 entries"),
        (
            lambda: viz.conv(5, 3).save("a.gif", moving=True),
            "moving=True: is for .svg, and the path ends in .gif",
        ),
        (lambda: viz.conv(5, 3, groups=2), "groups=2: splits channels, and none"),
        (
            lambda: viz.conv(5, 3, groups=2, channels=(3, 4)),
            "inputs=3: cannot be split",
        ),
        (lambda: viz.conv(5, 6), "kernel=.*spans 6"),
        (lambda: viz.conv_transpose(3, 3, view="both ways"), "view='both ways'"),
        (
            lambda: viz.conv_transpose(
                4, 3, padding=1, padding_mode="circular", view="both"
            ),
            "view='both': .* Write view=\"scatter\"",
        ),
        (
            lambda: viz.conv_transpose(
                np.array(["a"]), np.array(["K"]), view="zero_insertion"
            ),
            "the operands are letters",
        ),
        (lambda: viz.matrix(5, 3, output_padding=1), "output_padding=1: belongs to"),
        (lambda: viz.dilations((3, 3, 3)), "kernel=.*window"),
        (lambda: viz.channels(4, 999), "channels=999: are more"),
        (lambda: viz.deform(np.ones((9, 9)), np.ones((18, 7, 8)), 3), "offset.shape="),
        (
            lambda: viz.deform(
                np.ones((9, 9)), np.ones((18, 7, 7)), 3, positions=[(7, 0)]
            ),
            r"positions=\(7, 0\): is not a position",
        ),
        (lambda: viz.receptive(np.ones((3, 9, 9)), [{"kernel": 3}]), "photo.shape="),
        (lambda: viz.receptive(np.ones((9, 9)), []), "layers=.*is empty"),
        (lambda: viz.conv(5, 3).save("a.bmp"), "suffix='.bmp'"),
        (lambda: viz.conv(5, 3).save("a.gif", theme="auto"), "theme='auto'"),
        (lambda: viz.conv(5, 3).svg(theme="blue"), "theme='blue'"),
    ],
)
def test_errors_name_the_argument(call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


PUBLIC = [name for name, value in vars(viz).items() if callable(value)]


@pytest.mark.parametrize("name", PUBLIC)
def test_docstrings_hold(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    function = getattr(viz, name)
    if isinstance(function, type):
        assert function.__doc__
        return
    parts = ("Args:", "Returns:", "Raises:", "Example:", "Elsewhere:", "Source:")
    places = [function.__doc__.index(part) for part in parts]
    assert places == sorted(places)
    (test,) = doctest.DocTestFinder(recurse=False).find(function, name, globs={})
    result = doctest.DocTestRunner().run(test)
    assert result.attempted >= 2
    assert result.failed == 0, capsys.readouterr().out


def test_scenes_and_svg_need_neither_matplotlib_nor_pillow() -> None:
    lines = (
        "import sys",
        "for name in ('matplotlib', 'PIL'): sys.modules[name] = None",
        "from jaxconv import viz",
        "scene = viz.conv(5, 3)",
        "assert scene.svg() and scene._repr_html_()",
        "try: scene.save('a.gif')",
        "except ImportError as error: print(error)",
    )
    command = [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "which is not installed" in done.stdout
    assert done.stdout.endswith("pip install 'jaxconv[viz]'\n")
