"""The explorer in a real browser: arithmetic, drawing, keyboard, width, safety."""

from __future__ import annotations

import io
import itertools
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import explorer_grid as grids
import jaxconv
from jaxconv._explorer.page import page as document
from jaxconv._explorer.server import Server

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright, which drives the browser, is missing"
)
CHROMIUM = grids.chromium()
if CHROMIUM is None:
    pytest.skip("no Chromium or Chrome is installed", allow_module_level=True)

Page = Any
LINE = "op=conv&dims=1&input=5&kernel=3&stride=2&padding=1&dilation=1"
CONV = "op=conv&dims=1&input=6&kernel=3&stride=2&padding=1&dilation=1"
SCATTER = (
    "op=conv_transpose&dims=2&view=scatter&input=3,2&kernel=3,2&stride=2&padding=1,0"
    "&dilation=1&output_padding=1,0"
)
ZEROS = SCATTER.replace("scatter", "zeros")
CROPPED = (
    "op=conv_transpose&dims=1&view=zeros&input=4&kernel=2&stride=3&padding=2"
    "&dilation=1&output_padding=2"
)
BROKEN = "op=conv&dims=1&input=3&kernel=7&stride=1&padding=1&dilation=1"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with Server(document()) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.address
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        # No sandbox: root, which tests in a container run as, cannot have one.
        running = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield running
        running.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Page]:
    """A fresh page with a short line; whatever it logs or throws is an error."""
    complaints: list[str] = []
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    opened = context.new_page()
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(f"{address}#{LINE}")
    yield opened
    context.close()
    assert complaints == []


def show(page: Page, hash: str) -> None:
    page.evaluate("hash => { location.hash = hash; }", hash)
    until(page, "location.hash === writeHash(state)")


def until(page: Page, holds: str) -> None:
    """Waits for an expression, from here: the page's policy forbids eval inside."""
    for _ in range(250):
        if page.evaluate(holds):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"it never came to {holds}")


def address_of(page: Page) -> str:
    return page.evaluate("location.href")  # page.url lags behind


def text(page: Page, selector: str) -> str:
    return page.locator(selector).inner_text()


# Arithmetic and drawing ---------------------------------------------------------------


def test_the_page_agrees_with_the_library_on_a_grid(page: Page) -> None:
    settings, report = grids.grid()[::2], grids.REPORT.read_text()
    run = f"{report}\nreturn JSON.stringify(JSON.parse(text).map(explorerReport));"
    answer = page.evaluate(f"text => {{ {run} }}", json.dumps(settings))
    reports = json.loads(answer)
    assert len(reports) == len(settings) > 2500
    pairs = zip(settings, reports, strict=True)
    wrong = [line for pair in pairs for line in grids.differences(*pair)]
    assert not wrong, f"{len(wrong)} differences, the first: {wrong[0]}"


DRAWN = """() => {
  const texts = (selector) => [...document.querySelectorAll(selector)]
    .map((cell) => cell.textContent);
  const entries = (selector) => [...document.querySelectorAll(selector)]
    .map((e) => [+e.dataset.row, +e.dataset.column, +e.textContent]);
  return {
    taps: texts("#stage .tap"), now: texts("#stage .now"),
    weights: texts("#stage .weight"),
    band: ["x", "y"].map((key) => +document.querySelector(".band").getAttribute(key)),
    result: texts("#stage .result"), said: find("step-text").textContent,
    entries: entries("#matrix .entry"), lit: entries("#matrix .entry.lit"),
  };
}"""


@pytest.mark.parametrize("hash", [CONV, SCATTER, ZEROS, CROPPED])
def test_every_step_draws_the_row_of_the_matrix(page: Page, hash: str) -> None:
    show(page, hash)
    given = page.evaluate("settingOf(state)")
    wanted = grids.expected(given)
    conv, scatter = given["op"] == "conv", "view=scatter" in hash
    x = [n % 9 + 1 for n in range(int(np.prod(given["input"])))]
    matrix = np.zeros([len(wanted["values"]), len(x)])
    for p, t, q in wanted["reads"]:
        matrix[(p, q) if conv else (q, p)] = t % 9 + 1
    steps = len(x) if scatter else len(wanted["values"])
    for step in range(steps):
        drawn = page.evaluate(DRAWN)
        found = np.zeros_like(matrix)
        for row, column, weight in drawn["entries"]:
            found[row, column] = weight
        np.testing.assert_array_equal(found, matrix)
        line = matrix[:, step] if scatter else matrix[step]
        lit = {(c if not scatter else r): w for r, c, w in drawn["lit"]}
        assert lit == {n: w for n, w in enumerate(line) if w}
        cell = page.evaluate("CELL")
        corner = [step * cell, 0] if scatter else [0, step * cell]
        assert drawn["band"] == corner
        if scatter:
            assert drawn["now"] == [str(x[step])]
            partial = matrix[:, : step + 1] @ x[: step + 1]
            reached = [str(int(n)) for n in partial[line != 0]]
            assert list(filter(None, drawn["taps"])) == reached
        else:
            assert drawn["now"] == [str(wanted["values"][step])]
            assert drawn["said"].endswith(f"= {wanted['values'][step]}")
            taps, weights = (map(int, drawn[key]) for key in ("taps", "weights"))
            products = [a * b for a, b in zip(taps, weights, strict=True)]
            assert sum(products) == wanted["values"][step]
        assert len(drawn["taps"]) == np.prod(given["kernel"])
        page.click("#next")
    page.click("#previous")
    if scatter:
        assert page.evaluate(DRAWN)["result"] == list(map(str, wanted["values"]))
    assert steps == page.evaluate("drawn.steps") > 2


# Settings, errors, address ------------------------------------------------------------


def test_controls_change_the_setting_and_the_address(page: Page) -> None:
    page.get_by_label("kernel", exact=True).fill("4")
    page.get_by_label("stride", exact=True).fill("3")
    assert "kernel=4" in address_of(page)
    assert text(page, "#summary") == "input 5 → result 2"
    page.get_by_text("transposed conv", exact=True).click()
    page.get_by_text("2-D", exact=True).click()
    page.get_by_label("rows and columns on their own").check()
    page.get_by_label("input, columns", exact=True).fill("7")
    page.get_by_label("output_padding, columns, slider").fill("1")
    for part in ("input=5,7", "output_padding=0,1", "dims=2", "op=conv_transpose"):
        assert part in address_of(page)
    size = jaxconv.conv_transpose_output_size(
        (5, 7), (4, 4), stride=3, padding=1, output_padding=(0, 1)
    )
    assert text(page, "#summary") == f"input 5 × 7 → result {size[0]} × {size[1]}"
    before = text(page, "#codes")
    page.reload()
    assert text(page, "#codes") == before
    page.get_by_label("rows and columns on their own").uncheck()
    assert text(page, "#summary") == "input 5 × 5 → result 14 × 14"


def test_a_broken_rule_is_said_as_the_library_says_it(page: Page) -> None:
    field = page.get_by_label("kernel", exact=True)
    field.fill("9")
    with pytest.raises(ValueError, match="spans 9") as error:
        jaxconv.conv_output_size(5, 9, stride=2, padding=1)
    assert text(page, "#broken") == str(error.value)
    assert field.get_attribute("aria-invalid") == "true"
    assert field.get_attribute("aria-describedby") == "broken"
    assert not page.locator("#animation").is_visible()
    field.fill("")
    assert text(page, "#broken") == "kernel_size='': is not an int. Write an int."
    page.get_by_text("Back to the last setting").click()
    assert field.input_value() == "3"
    assert not page.locator("#broken").is_visible()
    assert page.locator("#animation").is_visible()


@pytest.mark.parametrize(
    ("hash", "said"),
    [
        ("dims=1&stride=abc", "stride='abc': is not an int"),
        (
            "op=<img src=x onerror=window.hit=1>",
            "op='<img src=x onerror=window.hit=1>'",
        ),
        (
            "dims=1&input=<svg onload=window.hit=1>",
            "input_size='<svg onload=window.hit=1>'",
        ),
        ("dims=3", "dims=3: is not drawn here. Write 1 or 2."),
        ("dims=1&input=9999", "input_size=9999: is more than this page takes"),
        ("op=conv&dims=2&input=4,0", "input_size=(4, 0): 0 must be at least 1"),
    ],
)
def test_a_strange_address_is_an_error_and_never_markup(
    page: Page, address: str, hash: str, said: str
) -> None:
    page.goto("about:blank")
    page.goto(f"{address}#{hash}")
    assert text(page, "#broken").startswith(said)
    assert page.evaluate("window.hit") is None
    assert page.locator("img").count() == 0
    page.get_by_text("Back to the last setting").click()
    assert text(page, "#summary") == "input 3 × 3 → result 5 × 5"


def test_what_is_too_large_to_draw_still_has_sizes_and_code(page: Page) -> None:
    show(page, "op=conv&dims=2&input=224&kernel=7&stride=2&padding=3&dilation=1")
    assert text(page, "#summary") == "input 224 × 224 → result 112 × 112"
    assert text(page, "#stage").startswith("230 × 230 cells are too many to draw")
    assert "12544 × 50176" in text(page, "#matrix-text")
    assert "stride=2, padding=3" in text(page, "#codes")
    assert not page.locator("#play").is_visible()
    show(page, CONV)
    assert page.locator("#play").is_visible()


def test_values_can_be_typed(page: Page) -> None:
    """Over and over as far as there are cells, in the address and in the code too."""
    show(page, SCATTER)
    page.get_by_label("input values").fill("2, -1.5 0")
    page.get_by_label("kernel values").fill("1 0 -2 4")
    x = np.resize([2, -1.5, 0], (1, 3, 2))
    kernel = np.resize([1.0, 0, -2, 4], (1, 1, 3, 2))
    wanted = jaxconv.conv_transpose(
        x, kernel, stride=2, padding=(1, 0), output_padding=(1, 0)
    )
    found = page.evaluate("resultAfter(drawn, drawn.steps - 1)")
    np.testing.assert_allclose(found, np.ravel(wanted))
    assert "[2.0, -1.5, 0.0, 2.0, -1.5, 0.0]" in text(page, "#codes")
    page.reload()
    assert page.get_by_label("input values").input_value() == "2, -1.5 0"
    page.get_by_label("input values").fill("2, b")
    assert page.get_by_label("input values").get_attribute("aria-invalid") == "true"


def test_padding_modes_are_chosen_and_drawn(page: Page) -> None:
    page.get_by_label("padding mode").select_option("circular")
    assert "mode=circular" in address_of(page)
    wanted = jaxconv.conv(
        np.arange(1.0, 6).reshape(1, 5), np.arange(1.0, 4).reshape(1, 1, 3),
        stride=2, padding=1, padding_mode="circular",
    )  # fmt: skip
    found = page.evaluate("resultAfter(drawn, drawn.steps - 1)")
    np.testing.assert_array_equal(found, np.ravel(wanted))
    matrix = page.evaluate("matrix.entries()")
    dense = np.zeros((3, 5))
    for row, column, weight in matrix:
        dense[row, column] += weight
    np.testing.assert_array_equal(dense @ np.arange(1, 6), np.ravel(wanted))
    assert 'padding_mode="circular"' in text(page, "#codes")
    page.get_by_text("transposed conv", exact=True).click()
    assert not page.get_by_label("padding mode").is_visible()
    assert "mode" not in address_of(page)


def test_overlaps_are_counted(page: Page) -> None:
    show(page, SCATTER)
    ones = jaxconv.conv_transpose(
        np.ones((1, 3, 2)), np.ones((1, 1, 3, 2)),
        stride=2, padding=(1, 0), output_padding=(1, 0),
    )  # fmt: skip
    cells = page.evaluate(
        "[...document.querySelectorAll('#overlap .cell')].map((c) => c.textContent)"
    )
    assert [int(cell) for cell in cells] == np.ravel(ones).astype(int).tolist()
    assert "1, 2 (a checkerboard)" in text(page, "#overlap-text")
    show(page, CONV)
    assert not page.locator("#overlap-section").is_visible()


def test_it_opens_on_a_transposed_image_and_speaks_chinese(
    page: Page, address: str
) -> None:
    page.goto("about:blank")
    page.goto(address)
    assert text(page, "#summary") == "input 3 × 3 → result 5 × 5"
    before = text(page, "main")
    page.click("#language")
    assert text(page, "#summary") == "输入 3 × 3 → 结果 5 × 5"
    assert text(page, "h1") == "卷积探索器"
    assert page.evaluate("document.documentElement.lang") == "zh"
    left = page.evaluate("""() => [...document.querySelectorAll(
      "legend, label, h2, dt, button, figcaption, .hint, .note, #legend li")]
      .filter((e) => e.offsetParent && !/[\u4e00-\u9fff]/.test(e.textContent))
      .map((e) => e.textContent.trim()).filter((text) => /[a-z]{3}/.test(text))""")
    assert left == ["English"]
    page.click("#language")
    assert text(page, "main") == before


def test_the_picture_is_saved_as_it_looks(page: Page) -> None:
    show(page, ZEROS)
    with page.expect_download() as waiting:
        page.click("#save")
    saved = Path(waiting.value.path()).read_text(encoding="utf-8")
    assert waiting.value.suggested_filename == "conv_transpose-step-1.svg"
    cells = page.locator("#stage .cell").count()
    assert saved.count("<rect") == cells + 2  # the window's frame, and the ground
    fill = page.evaluate(
        "getComputedStyle(document.querySelector('#stage .weight rect')).fill"
    )
    assert f'fill="{fill}"' in saved
    assert "class=" not in saved


def test_all_steps_are_saved_as_an_animation(page: Page) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow reads the file")
    show(page, SCATTER)
    page.click("#next")
    with page.expect_download() as waiting:
        page.click("#save-gif")
    assert waiting.value.suggested_filename == "conv_transpose.gif"
    saved = Path(waiting.value.path()).read_bytes()
    opened = image.open(io.BytesIO(saved))
    frames = []
    for number in range(opened.n_frames):
        opened.seek(number)
        frames.append(np.asarray(opened.convert("RGB")))
    assert len(frames) == page.evaluate("drawn.steps")
    for before, after in itertools.pairwise(frames):
        assert 0 < (before != after).any(-1).mean() < 0.3
    until(page, "!find('save-gif').disabled")
    assert page.evaluate("step") == 1  # as before
    fill = page.evaluate(
        "getComputedStyle(document.querySelector('.weight rect')).fill"
    )
    green = [int(part) for part in re.findall(r"\d+", fill)]
    assert (frames[0] == green).all(-1).any()


def test_the_end_is_padded_otherwise(page: Page) -> None:
    page.get_by_label("other padding at the end").check()
    page.get_by_label("padding_end", exact=True).fill("3")
    assert "padding_end=3" in address_of(page)
    size = jaxconv.conv_output_size(5, 3, stride=2, padding=((1, 3),))
    assert text(page, "#summary") == f"input 5 → result {size}"
    assert "padding=((1, 3),)" in text(page, "#codes")
    assert "(p + q)" in text(page, "#formulas")
    page.get_by_label("other padding at the end").uncheck()
    assert "padding_end" not in address_of(page)
    assert text(page, "#summary") == "input 5 → result 3"


def test_groups_say_which_channels_meet(page: Page) -> None:
    page.locator("#channel-fields").get_by_label("groups", exact=True).fill("4")
    assert "multiples of the groups" in text(page, "#channels-text")
    page.locator("#channel-fields").get_by_label("channels out", exact=True).fill("8")
    assert page.locator("#channels .weight").count() == 8
    assert "groups=4" in text(page, "#channels-code")
    before = text(page, "#channels-text")
    assert "depthwise" in before
    page.reload()
    assert text(page, "#channels-text") == before


def test_a_phone_keeps_the_picture_in_sight(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    show(page, SCATTER)
    page.evaluate("find('x').scrollIntoView()")
    page.wait_for_timeout(50)
    stage = page.locator("#stage").bounding_box()
    assert stage is not None
    assert 0 <= stage["y"] < 160
    assert page.locator("#x").is_visible()


# Keyboard -----------------------------------------------------------------------------

FOCUSED = "document.activeElement.id || document.activeElement.ariaLabel"


def test_tab_goes_through_the_controls_in_order(page: Page) -> None:
    found = []
    for _ in range(38):
        page.keyboard.press("Tab")
        found.append(page.evaluate(f"{FOCUSED} || document.activeElement.tagName"))
    fields = ("input", "kernel", "stride", "padding", "dilation")
    sliders = [name for field in fields for name in (f"{field}, slider", field)]
    assert found.pop(0) == "language"
    radios = found[:2]
    assert radios == ["INPUT", "INPUT"]  # one of each group, as radios do
    player = ["play", "previous", "next", "speed", "save", "save-gif", "step"]
    words = ("channels in", "channels out", "groups")
    channels = [name for word in words for name in (f"{word}, slider", word)]
    copies = ["Copy the jaxconv code", "PRE", "Copy the PyTorch code", "PRE"]
    settings = [*sliders, "uneven", "mode", "x", "w", "copy-link"]
    wanted = [*settings, *player, *channels, "channels-code", *copies]
    assert found[2 : 2 + len(wanted)] == wanted


def test_keys_play_step_and_move_sliders(page: Page) -> None:
    step = lambda: int(page.locator("#step").input_value())  # noqa: E731
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert step() == 3
    page.keyboard.press("ArrowRight")  # around
    assert step() == 1
    page.keyboard.press("End")
    assert step() == 3
    page.keyboard.press("Home")
    page.keyboard.press(" ")
    assert text(page, "#play") == "Pause"
    page.keyboard.press(" ")
    assert text(page, "#play") == "Play"
    page.get_by_label("input, slider").focus()
    page.keyboard.press("ArrowRight")
    assert text(page, "#summary") == "input 6 → result 3"
    assert step() == 1
    page.keyboard.press(" ")  # no key of a slider: plays
    assert text(page, "#play") == "Pause"
    page.locator("#play").focus()
    page.keyboard.press(" ")  # presses the button, once
    assert text(page, "#play") == "Play"
    page.locator("#next").focus()
    page.keyboard.press(" ")
    assert (step(), text(page, "#play")) == (2, "Play")
    page.locator("#op input:checked").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("state.op") == "conv_transpose"


def test_playing_goes_around_until_it_is_paused(page: Page) -> None:
    page.locator("#speed").select_option("fast")
    page.click("#play")
    for step in (2, 3, 1):
        until(page, f"find('step').value === '{step}'")
    page.click("#play")
    stopped = text(page, "#step-text")
    page.wait_for_timeout(400)
    assert text(page, "#step-text") == stopped


# Width, colours, names ----------------------------------------------------------------

NARROW = """() => ({
  wide: document.documentElement.scrollWidth,
  outside: [...document.querySelectorAll("button, input, select, label")]
    .filter((e) => e.offsetParent && e.getBoundingClientRect().right > 360).length,
  small: [...document.querySelectorAll("#stage text")]
    .filter((t) => t.ownerSVGElement.clientWidth).map((t) => {
    const svg = t.ownerSVGElement;
    const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
    return t.getAttribute("font-size") * scale;
  }).filter((size) => size < 7.5).length,
})"""
CONTRAST = """() => {
  const light = (rgb) => rgb.map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0);
  const rgb = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const ratio = (a, b) => {
    const [low, high] = [light(rgb(a)), light(rgb(b))].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const panel = getComputedStyle(document.querySelector("section")).backgroundColor;
  const cells = [...document.querySelectorAll("#stage .cell, #matrix .entry")]
    .filter((cell) => cell.querySelector("text")).map((cell) => {
      const fill = getComputedStyle(cell.querySelector("rect")).fill;
      const ink = getComputedStyle(cell.querySelector("text")).fill;
      return ratio(ink, fill === "none" ? panel : fill);
    });
  const outlines = [...document.querySelectorAll("#stage .cell rect")]
    .map((rect) => ratio(getComputedStyle(rect).stroke, panel));
  const words = [...document.querySelectorAll("p, dt, dd div, small, figcaption, pre")]
    .filter((e) => e.offsetParent)
    .map((e) => ratio(getComputedStyle(e).color, panel));
  return [cells, outlines, words].map((all) => Math.min(...all));
}"""


@pytest.mark.parametrize("hash", [CONV, SCATTER, ZEROS, BROKEN])
def test_a_phone_shows_everything_legibly(page: Page, hash: str) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    show(page, hash)
    assert page.evaluate(NARROW) == {"wide": 360, "outside": 0, "small": 0}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_have_contrast(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    for hash in (CONV, SCATTER, ZEROS):
        show(page, hash)
        cells, outlines, words = page.evaluate(CONTRAST)
        assert cells >= 4.5
        assert outlines >= 3
        assert words >= 4.5


def test_every_control_and_picture_has_a_name(page: Page) -> None:
    show(page, SCATTER)
    unnamed = page.evaluate("""() =>
      [...document.querySelectorAll("input, select, button, svg:not([aria-hidden])")]
        .filter((e) => !(e.ariaLabel || e.labels?.length || e.textContent.trim()))
        .map((e) => e.outerHTML)""")
    assert unnamed == []


# Alone, and closed --------------------------------------------------------------------


def test_the_page_loads_nothing_else(browser: Any, address: str) -> None:
    context = browser.new_context()
    opened, asked = context.new_page(), []
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(address)
    for hash in (ZEROS, SCATTER, BROKEN, CONV):
        show(opened, hash)
    opened.click("#play")
    opened.wait_for_timeout(300)
    context.close()
    assert [url for url in asked if not url.startswith("data:")] == [address]


def test_the_file_works_without_a_server(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "explorer.html"
    path.write_text(document(), encoding="utf-8")
    context = browser.new_context(offline=True)
    opened = context.new_page()
    opened.goto(f"{path.as_uri()}#{SCATTER}")
    size = jaxconv.conv_transpose_output_size(
        (3, 2), (3, 2), stride=2, padding=(1, 0), output_padding=(1, 0)
    )
    wanted = f"input 3 × 2 → result {size[0]} × {size[1]}"
    assert text(opened, "#summary") == wanted
    opened.get_by_label("dilation", exact=True).fill("2")
    assert "dilation=2" in address_of(opened)
    context.close()


def test_the_policy_lets_nothing_foreign_run_or_load(
    browser: Any, address: str
) -> None:
    context = browser.new_context()
    opened = context.new_page()
    opened.goto(address)
    blocked = opened.evaluate("""async () => {
      const found = [];
      document.addEventListener("securitypolicyviolation",
        (event) => found.push(event.effectiveDirective));
      const script = document.createElement("script");
      script.textContent = "window.hit = 1";
      const image = document.createElement("img");
      image.src = "/somewhere.png";
      const style = document.createElement("style");
      style.textContent = "body { display: none }";
      document.body.append(script, image, style);
      await fetch("/").catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, 100));
      return [found.sort(), window.hit ?? null];
    }""")
    context.close()
    kinds = ["connect-src", "img-src", "script-src-elem", "style-src-elem"]
    assert blocked == [kinds, None]
