"""What scenes are saved as, and the gallery that is committed."""

from __future__ import annotations

import base64
import dataclasses
import html
import re
import xml.etree.ElementTree as ET
import zlib
from pathlib import Path

import numpy as np
import pytest

from jaxconv import viz
from jaxconv.viz import _png, _raster, gallery
from jaxconv.viz._frames import MOST_FRAMES, head_height, sampled
from jaxconv.viz._marks import WIDTH, Cell
from jaxconv.viz._theme import STYLES

Image = pytest.importorskip("PIL.Image", reason="GIF and PNG need pillow")
pytest.importorskip("matplotlib", reason="GIF and PNG need its font")

FOLDER = Path(__file__).parent.parent / "docs" / "gallery"
SVG = "{http://www.w3.org/2000/svg}"
ENTRIES = {entry.name: entry for entry in gallery.entries()}


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    from jaxconv._cli import gallery as command
    from jaxconv._cli import images

    return command.square(images.load(None).pixels)


# The gallery --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ENTRIES)
def test_the_committed_picture_is_the_one_that_is_built(
    name: str, photo: np.ndarray
) -> None:
    path = FOLDER / f"{name}.svg"
    built, committed = ENTRIES[name].svg(photo), path.read_text("utf-8")
    assert len(committed.encode()) < 80_000
    ET.fromstring(committed)
    pictures = [re.findall(r"base64,([^\"]+)", text) for text in (built, committed)]
    for one, other in zip(*pictures, strict=True):  # JPEG decoders may differ a little
        a, b = (np.frombuffer(base64.b64decode(p), np.uint8) for p in (one, other))
        assert a.shape == b.shape
        inner = slice(64, -24)  # without header and checksums
        difference = np.abs(a[inner].astype(int) - b[inner].astype(int))
        assert np.quantile(np.minimum(difference, 256 - difference), 0.99) <= 2
        built = built.replace(one, other)
    assert built == committed


def test_the_folder_has_what_the_table_has_and_the_page_shows_it_all() -> None:
    assert {p.stem for p in FOLDER.glob("*.svg")} == set(ENTRIES)
    page = (FOLDER / "index.md").read_text("utf-8")
    assert page == gallery.index()
    shown = re.findall(r'src="([\w-]+)\.svg"', page)
    assert sorted(shown) == sorted(ENTRIES)  # each once


def test_every_relationship_of_the_paper_is_there_with_its_sizes() -> None:
    """Sizes (i, o) of the paper's figures; of transposed ones (i', o')."""
    sizes = {
        **{1: (4, 2), 2: (5, 6), 3: (5, 5), 4: (5, 7), 5: (5, 2), 6: (5, 3)},
        **{7: (5, 3), 8: (2, 4), 9: (6, 5), 10: (5, 5), 11: (7, 5), 12: (2, 5)},
        **{13: (3, 5), 14: (3, 6), 15: (7, 3)},
    }
    for number, (i, o) in sizes.items():
        scene = ENTRIES[f"relationship-{number:02}"].scene(np.zeros((1, 1)))
        assert f"{i}×{i} to {o}×{o}" in scene.title
    assert "6×6 to 3×3" in ENTRIES["relationship-06-odd"].scene(np.zeros((1, 1))).title


def test_the_notes_have_four_convs_and_their_transposes() -> None:
    eight = gallery.SECTIONS[0].entries
    assert [e.function for e in eight] == ["conv"] * 4 + ["conv_transpose"] * 4
    for one, back in zip(eight[:4], eight[4:], strict=True):
        forth = one.scene(np.zeros((1, 1))).title.removeprefix("conv: ").split(" to ")
        title = back.scene(np.zeros((1, 1))).title
        assert title.startswith(f"conv_transpose: {forth[1]} to {forth[0]}")
        kept = {k: v for k, v in back.options.items() if k != "view"}
        assert kept == one.options


def test_calls_on_the_page_make_the_pictures(photo: np.ndarray) -> None:
    page = (FOLDER / "index.md").read_text("utf-8")
    calls = map(html.unescape, re.findall(r"<code>(.*?)</code></td>", page))
    scope = {"viz": viz, "np": np, "photo": photo, "offset": gallery.offset()}
    shown = re.findall(r'src="([\w-]+)\.svg"', page)
    for name, call in zip(shown, calls, strict=True):
        assert eval(call, scope) == ENTRIES[name].scene(photo)


# SVG and HTML -------------------------------------------------------------------------


def test_svg_is_the_same_every_time_and_says_what_it_shows() -> None:
    first, second = (viz.conv((5, 5), 3, padding=1).svg() for _ in range(2))
    assert first == second
    root = ET.fromstring(first)
    assert root.find(f"{SVG}title").text == "conv: 5×5 to 5×5; kernel 3×3, padding 1"
    assert root.get("viewBox").split()[:3] == ["0", "0", "400"]
    assert "http" not in first.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("theme", ["auto", "light", "dark"])
def test_themes_have_their_colours(theme: str) -> None:
    text = viz.conv(5, 3).svg(theme=theme)
    light, dark = (f".page{{fill:{STYLES[t]['page'].fill}" for t in ("light", "dark"))
    assert (light in text) == (theme != "dark")
    assert (dark in text) == (theme != "light")
    assert ("prefers-color-scheme:dark" in text) == (theme == "auto")
    if theme == "auto":
        assert text.index(light) < text.index("@media") < text.index(dark)


def test_every_class_in_an_svg_has_a_rule(photo: np.ndarray) -> None:
    for entry in ENTRIES.values():
        text = entry.svg(photo)
        used = set(re.findall(r'class="([\w-]+)"', text))
        assert used <= set(re.findall(r"^\.([\w-]+)\{", text, re.MULTILINE))


def test_html_plays_by_itself() -> None:
    scene = viz.conv_transpose(3, 3, stride=2)
    text = scene._repr_html_()
    assert text == scene.html()
    assert text.count("data-frame=") == 3 + 0 * len(scene.frames)
    assert text.count("display:none") == 4  # two frames, and the lines behind cells
    for word in ("back", "play", "on"):
        assert f'data-do="{word}"' in text
    assert 'type="range" min="0" max="2"' in text
    assert not re.search(r"(src|href)=", text)
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    rules = re.findall(r"^\S*\.[\w-]+ ?\.?[\w-]*\{", text, re.MULTILINE)
    assert rules
    assert all(rule.startswith(".jaxconv-") for rule in rules)


def at(text: str, index: int, count: int) -> list[str]:
    """A moving SVG as it stands at a frame: what is hidden then left out."""
    root = ET.fromstring(text)
    for parent in root.iter():
        for group in list(parent):
            name = group.get("class", "")
            if found := re.fullmatch(r"s(\d+)-(\d+)", name):
                start, stop = map(int, found.groups())
                assert f"@keyframes {name}{{" in text
                assert (f".{name}{{visibility:hidden}}" in text) == (stop != count)
                if not start <= index < stop:
                    parent.remove(group)
    return sorted(
        f"{part.tag}{sorted(part.attrib.items())}{part.text}"
        for part in root.iter()
        if part.get("class") not in (None, "page") and part.tag != f"{SVG}g"
    )


@pytest.mark.parametrize("name", ["plain", "stacks", "sums"])
def test_a_moving_svg_shows_every_frame_in_its_time(name: str) -> None:
    """At each moment as many marks as the frame has, the cells with its numbers."""
    scene = {
        "plain": viz.conv((4, 5), (3, 2), stride=(1, 2)),
        "stacks": viz.channels(6, 4, groups=2),
        "sums": viz.conv_transpose(np.arange(4).reshape(2, 2), np.ones((2, 3), int)),
    }[name]
    text, count = scene.svg(moving=True), len(scene.frames)
    for index in range(count):
        still = dataclasses.replace(scene, still=(index,)).svg()
        assert at(text, index, count) == at(still, index, count)
    assert "prefers-reduced-motion:no-preference" in text


def test_long_animations_are_sampled() -> None:
    scene = sampled(viz.conv((15, 14), 3))
    whole = viz.conv((15, 14), 3)
    assert len(whole.frames) == 13 * 12
    assert len(scene.frames) == MOST_FRAMES
    assert scene.frames[0] == whole.frames[0]
    assert scene.frames[-1] == whole.frames[-1]


# GIF and PNG --------------------------------------------------------------------------


def test_gif_has_every_frame_and_shows_the_cells_colours(tmp_path: Path) -> None:
    scene = viz.conv_transpose((2, 2), (3, 3), stride=2)
    for theme in ("light", "dark"):
        path = scene.save(tmp_path / "a.gif", theme=theme)
        with Image.open(path) as image:
            assert image.n_frames == len(scene.frames) == 4
            assert image.width == WIDTH * _raster.SCALE
            assert image.info["loop"] == 0
            image.seek(3)
            assert image.info["duration"] == _raster.PAUSE
            pixels = np.asarray(image.convert("RGB"))
        lit = [m for m in scene.frames[3].marks if isinstance(m, Cell)]
        top = head_height(scene)
        for cell in lit[:1] + lit[-1:]:  # the input, and an output
            y = round((top + cell.y + cell.size / 2) * _raster.SCALE)
            x = round((cell.x + cell.size / 2) * _raster.SCALE)
            fill = STYLES[theme][cell.role].fill
            assert "#{:02x}{:02x}{:02x}".format(*pixels[y, x]) == fill


def test_gif_of_a_photo_keeps_the_colour_of_the_points(
    tmp_path: Path, photo: np.ndarray
) -> None:
    scene = ENTRIES["deformable"].scene(photo)
    (dot, *_) = (m for m in scene.frames[0].marks if m.role == "point")
    with Image.open(scene.save(tmp_path / "a.gif")) as image:
        places = (dot.x, head_height(scene) + dot.y)
        x, y = (round(place * _raster.SCALE) for place in places)
        found = image.convert("RGB").getpixel((x, y))
    assert "#{:02x}{:02x}{:02x}".format(*found) == STYLES["light"]["point"].fill


def test_png_shows_what_the_svg_shows(tmp_path: Path) -> None:
    scene = viz.conv((4, 4), 3)
    with Image.open(scene.save(tmp_path / "a.png")) as image:
        height = ET.fromstring(scene.svg()).get("height")
        assert abs(image.height - _raster.SCALE * float(height)) <= 1
        assert np.asarray(image.convert("L")).std() > 25


def test_save_returns_the_path_and_takes_text(tmp_path: Path) -> None:
    path = viz.conv(5, 3).save(str(tmp_path / "a.SVG"))
    assert path.read_text("utf-8").startswith("<svg")
    assert "<script>" in viz.conv(5, 3).save(tmp_path / "b.html").read_text("utf-8")


def test_grey_pictures_come_back_as_they_were(rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (301, 257), dtype=np.uint8)
    data = _png.grey(301, 257, pixels.tobytes())
    import io

    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_array_equal(np.asarray(image), pixels)
    start = data.index(b"IDAT") + 4
    assert len(zlib.decompress(data[start : data.index(b"IEND") - 8])) == 301 * 258
