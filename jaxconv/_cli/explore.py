"""`python -m jaxconv explore`: the explorer page, served locally or as one file."""

from __future__ import annotations

import webbrowser
from pathlib import Path

from jaxconv._cli.errors import UserError
from jaxconv._explorer.page import page
from jaxconv._explorer.server import Server


def run(out: Path | None, port: int, show: bool) -> int:
    if out is not None:
        _write(out)
        return 0
    with _server(port) as server:
        try:
            print(f"The explorer is at {server.address} (Ctrl-C ends it)", flush=True)
            if show:
                webbrowser.open(server.address)
            server.serve_forever()
        except KeyboardInterrupt:  # the usual end, so not an error
            print()
    return 0


def _write(out: Path) -> None:
    try:
        out.write_text(page(), encoding="utf-8")
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        remedy = "write a file in a folder that exists and can be written to"
        raise UserError(f"--out {out}: {why}; {remedy}") from None
    print(f"Wrote {out}: open it in a browser")


def _server(port: int) -> Server:
    remedy = "write a free port from 1 to 65535, or leave --port out"
    if not 0 <= port <= 65535:
        raise UserError(f"--port {port}: is no port; {remedy}")
    try:
        return Server(page(), port)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise UserError(f"--port {port}: {why}; {remedy}") from None
