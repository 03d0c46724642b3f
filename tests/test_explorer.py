"""The explorer: its arithmetic, formulas and code, its server and its command."""

from __future__ import annotations

import contextlib
import functools
import http.client
import io
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import explorer_grid as grids
import jaxconv
from explorer_grid import Setting, setting
from jaxconv.__main__ import main
from jaxconv._explorer.page import SCRIPTS, page, read
from jaxconv._explorer.server import Server

NODE = grids.node()
needs_node = pytest.mark.skipif(NODE is None, reason="no Node runs the page's script")
SETTINGS = [
    setting("conv", 7, 3, 2, 1, 1, 0),
    setting("conv", 9, 2, 3, 4, 2, 0),
    setting("conv", (6, 5), (3, 2), (1, 2), (2, 0), (2, 1), (0, 0)),
    setting("conv_transpose", 4, 3, 2, 1, 1, 1),
    setting("conv_transpose", 5, 1, 3, 1, 4, 2),  # a border below zero
    setting("conv_transpose", 3, 2, 1, 2, 3, 2),  # output_padding over the stride
    setting("conv_transpose", (3, 4), (3, 2), (2, 3), (1, 0), (1, 2), (1, 2)),
    setting("conv_transpose", (3, 2), (2, 3), (2, 2), (1, 2), (1, 1), (0, 0)),
    {**setting("conv", 7, 3, 2, 1, 1, 0), "padding_end": [3]},
    {
        **setting("conv", (6, 5), (3, 2), (1, 2), (2, 0), (2, 1), (0, 0)),
        "padding_end": [0, 1],
    },
    {**setting("conv_transpose", 4, 3, 2, 0, 1, 1), "padding_end": [1]},
    {
        **setting("conv_transpose", (3, 4), (3, 2), (2, 3), (1, 0), (1, 2), (0, 2)),
        "padding_end": [2, 0],
    },
]


@pytest.fixture(scope="module")
def settings() -> list[Setting]:
    return grids.grid()


@pytest.fixture(scope="module")
def reports(settings: list[Setting]) -> list[dict[str, Any]]:
    assert NODE is not None
    return grids.in_node(NODE, settings)


@pytest.fixture(scope="module")
def few() -> list[dict[str, Any]]:
    assert NODE is not None
    return grids.in_node(NODE, SETTINGS)


# Arithmetic, formulas, code -----------------------------------------------------------


@needs_node
def test_the_script_agrees_with_the_library_on_a_grid(
    settings: list[Setting], reports: list[dict[str, Any]]
) -> None:
    assert len(settings) == len(reports) > 5000
    assert 1000 < sum("error" in report for report in reports) < 4000
    pairs = zip(settings, reports, strict=True)
    wrong = [line for pair in pairs for line in grids.differences(*pair)]
    assert not wrong, f"{len(wrong)} differences, the first: {wrong[0]}"


@needs_node
@pytest.mark.parametrize("index", range(len(SETTINGS)))
def test_the_script_agrees_with_the_operations(
    few: list[dict[str, Any]], index: int
) -> None:
    given, report = SETTINGS[index], few[index]
    _, options = grids.arguments(given)
    if given["dims"] == 1:
        options = {n: v if isinstance(v, tuple) else (v,) for n, v in options.items()}
    x, kernel = (
        jnp.asarray(np.arange(np.prod(s)) % 9.0 + 1).reshape(1, 1, *s)
        for s in (given["input"], given["kernel"])
    )
    y = getattr(jaxconv, given["op"])(x, kernel, **options)
    assert list(y.shape[2:]) == report["result"]
    options.pop("output_padding", None)
    size = report["geometry"]["input"]
    c = np.asarray(jaxconv.conv_matrix(kernel, (1, *size), **options))
    if given["output_padding"] == [2] and given["stride"] == [1]:
        c = c[: given["input"][0]]  # conv has room for more windows than were undone
    assert np.count_nonzero(c) == report["work"]["valid"]
    for seen in report["views"].values():
        np.testing.assert_array_equal(seen["values"], y.ravel())
        drawn = np.zeros_like(c)
        for p, t, q in seen["reads"]:
            drawn[p, q] += t % 9 + 1
        np.testing.assert_array_equal(drawn, c)


CONDITIONS = {  # of Dumoulin and Visin's relationships, on one axis
    1: lambda k, s, d, p, a: s == d == 1 and p == 0,
    2: lambda k, s, d, p, a: s == d == 1,
    3: lambda k, s, d, p, a: s == d == 1 and k % 2 == 1 and p == k // 2,
    4: lambda k, s, d, p, a: s == d == 1 and p == k - 1,
    5: lambda k, s, d, p, a: d == 1 and p == 0,
    6: lambda k, s, d, p, a: d == 1,
    8: lambda k, s, d, p, a: s == d == 1 and p == a == 0,
    9: lambda k, s, d, p, a: s == d == 1 and a == 0,
    10: lambda k, s, d, p, a: s == d == 1 and k % 2 == 1 and p == k // 2,
    11: lambda k, s, d, p, a: s == d == 1 and p == k - 1,
    12: lambda k, s, d, p, a: d == 1 and p == a == 0,
    13: lambda k, s, d, p, a: d == 1 and a == 0,
    14: lambda k, s, d, p, a: True,
    15: lambda k, s, d, p, a: True,
}


MODULES = {
    "Flax": "flax.nnx", "Keras": "keras", "Equinox": "equinox", "Haiku": "haiku",
}  # fmt: skip


def evaluate(text: str) -> int:
    """A formula with its numbers filled in."""
    python = text.replace("\N{MINUS SIGN}", "-").replace("·", "*").replace("mod", "%")
    python = re.sub(r"⌊(.*) / (\d+)⌋", r"(\1 // \2)", python)
    assert re.fullmatch(r"[-+*/%() 0-9]+", python), text
    return eval(python)


@needs_node
def test_formulas_hold_with_their_numbers(
    settings: list[Setting], reports: list[dict[str, Any]]
) -> None:
    seen = set()
    chosen = np.random.default_rng(5).permutation(len(settings))[:1500]
    for given, report in ((settings[n], reports[n]) for n in chosen):
        if "error" in report:
            continue
        sizes, *rest = report["formulas"]
        for formula in (sizes, *rest):
            for line in formula["lines"]:
                left, _, right = line.rpartition(" = ")
                assert evaluate(left) == evaluate(right), (given, line)
        ends = [evaluate(line.rpartition(" = ")[2]) for line in sizes["lines"]]
        assert ends * (len(report["result"]) // len(ends)) == report["result"]
        numbers = [int(n) for n in re.findall(r"\d+", sizes["source"])]
        seen.update(numbers)
        names = ("kernel", "stride", "dilation", "padding", "output_padding")
        for axis in zip(*(given[name] for name in names), strict=True):
            known = any(CONDITIONS[number](*axis) for number in numbers)
            assert known or "padding_end" in given, given
    assert seen == set(CONDITIONS)


@needs_node
@pytest.mark.parametrize("library", ["jaxconv", "PyTorch", "lax", *MODULES])
def test_code_to_copy_runs_and_gives_the_values_drawn(
    few: list[dict[str, Any]], library: str
) -> None:
    module = MODULES.get(library, "torch" if library == "PyTorch" else "jax")
    if library == "Keras" and os.environ.get("KERAS_BACKEND") != "jax":
        pytest.skip("needs KERAS_BACKEND=jax")
    pytest.importorskip(module, reason=f"{library} is not installed")
    run = 0
    for report in few:
        if report["codes"][library].startswith("# "):  # a library that lacks it
            continue
        run += 1
        scope: dict[str, Any] = {}
        out = io.StringIO()
        plain = jax.enable_x64(False), jax.numpy_dtype_promotion("standard")
        with plain[0], plain[1], contextlib.redirect_stdout(out):
            exec(report["codes"][library], scope)
        y = np.asarray(scope["y"])
        values = next(iter(report["views"].values()))["values"]
        np.testing.assert_allclose(y.ravel(), values, rtol=1e-6)
        said = report["codes"][library].rpartition("# ")[2]
        shape = out.getvalue().strip().removeprefix("torch.Size(").strip("[])(")
        assert f"({shape})" == said
    assert run == len(few) or (library in ("Equinox", "Haiku") and run > len(few) // 3)


@needs_node
def test_channels_and_groups() -> None:
    """The code that is shown runs with the shapes and counts that are said."""
    assert NODE is not None
    wanted = [
        (SETTINGS[2], [4, 6, 2]),
        (SETTINGS[6], [6, 9, 3]),
        (SETTINGS[3], [5, 5, 5]),
    ]
    asked = [{**given, "channels": channels} for given, channels in wanted]
    for given, report in zip(asked, grids.in_node(NODE, asked), strict=True):
        scope: dict[str, Any] = {}
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(report["channels"]["code"], scope)
        assert out.getvalue().strip() in report["channels"]["code"]
        assert scope["kernel"].size == report["channels"]["weights"]
        fn = functools.partial(getattr(jaxconv, given["op"]), kernel=scope["kernel"])
        image = jnp.ones((given["channels"][0], *scope["kernel"].shape[2:]))
        reads = jax.jacobian(functools.partial(fn, groups=given["channels"][2]))(image)
        space = tuple(range(1, reads.ndim // 2)), tuple(range(-reads.ndim // 2 + 1, 0))
        found = np.asarray(reads).any((*space[0], *space[1]))
        np.testing.assert_array_equal(found, report["channels"]["meets"])
    (report,) = grids.in_node(NODE, [{**SETTINGS[2], "channels": [4, 6, 4]}])
    assert report["channels"] == {
        "problem": "the channels must be multiples of the groups"
    }


@needs_node
def test_an_animation_is_a_gif_that_others_read() -> None:
    """Few colours come out as they went in, of many the nearest of the commonest."""
    image = pytest.importorskip("PIL.Image", reason="Pillow reads the file")
    assert NODE is not None
    rng = np.random.default_rng(3)
    few = rng.integers(0, 1 << 24, 200)[rng.integers(0, 200, (3, 61, 90))]
    many = rng.integers(0, 1 << 24, (2, 40, 50))
    for frames, off in ((few, 0), (np.repeat(few[:1], 2, 0) * 0 + 5, 0), (many, 110)):
        opened = image.open(io.BytesIO(grids.gif(NODE, frames, 300)))
        assert opened.n_frames == len(frames) or len(np.unique(frames)) == 1
        for number, frame in enumerate(frames[: opened.n_frames]):
            opened.seek(number)
            got = np.asarray(opened.convert("RGB")).astype(int)
            wanted = np.stack([frame >> 16, frame >> 8 & 255, frame & 255], -1)
            assert np.abs(got - wanted).max() <= off
            assert opened.info["duration"] in (300, 600)


FILLED = [
    {**setting("conv", 5, 3, 2, 2, 1, 0), "mode": "reflect"},
    {
        **setting("conv", (4, 3), (3, 2), (1, 2), (2, 1), (1, 1), (0, 0)),
        "mode": "circular",
    },
    {
        **setting("conv", (3, 4), (2, 3), (1, 1), (4, 2), (2, 1), (0, 0)),
        "mode": "replicate",
    },
    {**setting("conv", 1, 1, 1, 2, 1, 0), "mode": "replicate"},
]


@needs_node
@pytest.mark.parametrize(
    "library", ["jaxconv", "PyTorch", "lax", "Flax", "Equinox", "Haiku"]
)
def test_padding_with_elements(library: str) -> None:
    """What is drawn, what the code to copy gives, and the operation itself."""
    module = MODULES.get(library, "torch" if library == "PyTorch" else "jax")
    if module:
        pytest.importorskip(module, reason=f"{library} is not installed")
    for given, report in zip(FILLED, grids.in_node(NODE, FILLED), strict=True):
        options = {name: tuple(given[name]) for name in grids.SHARED}
        x, kernel = (
            jnp.asarray(np.arange(np.prod(s)) % 9.0 + 1).reshape(1, 1, *s)
            for s in (given["input"], given["kernel"])
        )
        y = jaxconv.conv(x, kernel, padding_mode=given["mode"], **options)
        np.testing.assert_array_equal(report["views"]["window"]["values"], y.ravel())
        scope: dict[str, Any] = {}
        plain = jax.enable_x64(False), jax.numpy_dtype_promotion("standard")
        with plain[0], plain[1], contextlib.redirect_stdout(io.StringIO()):
            exec(report["codes"][library], scope)
        np.testing.assert_allclose(np.ravel(scope["y"]), y.ravel(), rtol=1e-6)


@needs_node
def test_padding_with_more_elements_than_there_are() -> None:
    for mode, pads in (("reflect", (1, 4)), ("circular", (1, 5))):
        given = setting("conv", (3, 4), (2, 2), (1, 1), pads, (1, 1), (0, 0))
        (report,) = grids.in_node(NODE, [{**given, "mode": mode}])
        x, kernel = np.ones((1, 3, 4)), np.ones((1, 1, 2, 2))
        with pytest.raises(ValueError, match="can fill at most") as error:
            jaxconv.conv(x, kernel, padding=pads, padding_mode=mode)
        assert report["error"] == str(error.value)


# The page -----------------------------------------------------------------------------


def test_the_page_holds_every_part_and_links_to_nothing() -> None:
    document = page()
    for name in (*SCRIPTS, "style.css"):
        assert read(name) in document
        assert "</script" not in read(name)
    assert "{{" not in document
    links = re.findall(r"https?://[^\s\"'<>)]+", document)
    assert set(links) == {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert re.findall(r"\b(?:src|href)=\"(.*?)\"", document) == ["data:,"]
    assert not re.search(r"innerHTML|insertAdjacent|document\.write|\beval\b", document)
    assert not re.search(r"\bfetch\b|XMLHttp|WebSocket|@import|url\(", document)


# The server ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server("<p>the page</p>") as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def ask(
    server: Server, path: str = "/", method: str = "GET", **headers: str
) -> tuple[int, str, dict[str, str]]:
    client = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    own = {"Host": f"127.0.0.1:{server.server_port}"}
    with contextlib.closing(client):
        client.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in {**own, **headers}.items():
            if value:
                client.putheader(name, value)
        client.endheaders()
        answer = client.getresponse()
        return answer.status, answer.read().decode(), dict(answer.getheaders())


def test_the_server_answers_its_own_page_with_the_page(server: Server) -> None:
    port = server.server_port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}"):
        for origin in ("", f"http://127.0.0.1:{port}", f"http://localhost:{port}"):
            status, body, headers = ask(server, Host=host, Origin=origin)
            assert (status, body) == (200, "<p>the page</p>")
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "frame-ancestors 'none'"
    assert headers["Server"].strip() == "jaxconv"
    assert not any(name.startswith("Access-Control") for name in headers)


def test_the_server_listens_on_the_loopback_address_only(server: Server) -> None:
    assert server.socket.getsockname()[0] == "127.0.0.1"
    with pytest.raises(ConnectionRefusedError):  # loopback too, yet another address
        socket.create_connection(("127.0.0.2", server.server_port), 5).close()


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:{port}"},
        {"Host": "127.0.0.1"},
        {"Host": "127.0.0.1:1"},
        {"Host": "127.0.0.1.evil.example:{port}"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://127.0.0.1:{port}.evil.example"},
        {"Origin": "null"},
    ],
    ids=str,
)
def test_the_server_refuses_other_names_and_origins(
    server: Server, headers: dict[str, str]
) -> None:
    filled = {k: v.format(port=server.server_port) for k, v in headers.items()}
    status, body, _ = ask(server, **filled)
    assert status == 403
    assert "Refused" in body


def test_the_server_refuses_two_hosts(server: Server) -> None:
    host = f"127.0.0.1:{server.server_port}"
    with socket.create_connection(("127.0.0.1", server.server_port), 10) as client:
        lines = ("GET / HTTP/1.1", f"Host: {host}", "Host: evil.example", "", "")
        client.sendall("\r\n".join(lines).encode())
        assert client.recv(100).split()[1] == b"403"


PATHS = [
    "/../../../../etc/passwd",
    "/..%2f..%2f..%2f..%2fetc%2fpasswd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "//etc/passwd",
    "/page.html",
    "/server.py",
    "/?page",
    "/.",
    "etc/passwd",
    "file:///etc/passwd",
    "http://evil.example/",
]


@pytest.mark.parametrize("path", PATHS)
def test_the_server_finds_nothing_at_any_path(server: Server, path: str) -> None:
    status, body, _ = ask(server, path)
    assert status == 404
    assert body == "Not found: the explorer is at /.\n"


@pytest.mark.parametrize(
    "method", ["HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
)
def test_the_server_only_lets_get(server: Server, method: str) -> None:
    status, body, headers = ask(server, method=method)
    assert (status, headers["Allow"]) == (405, "GET")
    assert "the page" not in body


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "MOVE"])
def test_the_server_knows_no_other_methods(server: Server, method: str) -> None:
    assert ask(server, method=method)[0] == 501


# The command --------------------------------------------------------------------------


def test_explore_writes_one_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "explorer.html"
    assert main(["explore", "--out", str(out)]) == 0
    assert out.read_text(encoding="utf-8") == page()
    assert list(tmp_path.iterdir()) == [out]
    assert str(out) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "{tmp}/none/a.html"], r"--out .*/none/a.html: no such file"),
        (["--out", "{tmp}"], r"--out .*: is a directory"),
        (["--port", "{busy}"], r"--port \d+: address already in use; write a free"),
        (["--port", "70000"], r"--port 70000: is no port; write a free port"),
        (["--port", "-1"], r"--port -1: is no port; write a free port from 1"),
        (["--port", "x"], r"--port: invalid int value"),
        (["--port", "8000", "--out", "a"], r"not allowed with argument"),
    ],
)
def test_explore_says_what_is_wrong_in_one_line(
    server: Server,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    busy = server.server_port
    given = [argument.format(tmp=tmp_path, busy=busy) for argument in arguments]
    assert main(["explore", *given]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert re.search(said, lines[0])


def test_explore_serves_until_interrupted() -> None:
    root = Path(__file__).parents[1]
    # A background job's children ignore the interrupt unless they are told otherwise.
    program = (
        "import runpy, signal, sys; sys.argv[1:] = ['explore']; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "
        "runpy.run_module('jaxconv', run_name='__main__')"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    with running:
        try:
            assert running.stdout is not None
            line = running.stdout.readline()
            port = int(re.search(r"http://127\.0\.0\.1:(\d+)/", line)[1])
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            with contextlib.closing(client):
                client.request("GET", "/")
                assert client.getresponse().read().decode() == page()
            running.send_signal(signal.SIGINT)
            _, errors = running.communicate(timeout=20)
            assert (running.returncode, errors) == (0, "")
        finally:
            running.kill()
