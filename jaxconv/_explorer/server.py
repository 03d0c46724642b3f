"""Serves the explorer's page to this machine, and nothing else to anyone.

It listens on the loopback address only.  A page of another site, open in the same
browser, can still send requests there: by name, which the Host header gives away, or
from its script, which the Origin header does.  Both are refused.  No path is ever
looked up on the disk: there is one page, at ``/``.
"""

from __future__ import annotations

import os
import socketserver
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LOOPBACK = "127.0.0.1"


class Server(ThreadingHTTPServer):
    """Answers ``GET /`` on a port of the loopback address with one page."""

    daemon_threads = True
    allow_reuse_address = os.name == "posix"  # elsewhere it would let others listen too

    def __init__(self, page: str, port: int = 0) -> None:
        self.page = page.encode()
        super().__init__((LOOPBACK, port), Handler)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's looks its name up
        self.server_name, self.server_port = LOOPBACK, self.server_address[1]

    @property
    def address(self) -> str:
        return f"http://{LOOPBACK}:{self.server_port}/"

    @property
    def hosts(self) -> tuple[str, ...]:
        """What a browser on this machine may call it."""
        names = (LOOPBACK, "localhost")
        bare = names if self.server_port == 80 else ()
        return (*(f"{name}:{self.server_port}" for name in names), *bare)


class Handler(BaseHTTPRequestHandler):
    server: Server  # type: ignore[assignment]
    server_version = "jaxconv"
    sys_version = ""
    timeout = 10  # seconds that a silent connection is kept

    def do_GET(self) -> None:
        if not self._from_here():
            self._answer(403, "Refused: not from this machine's own browser page.\n")
        elif self.path != "/":
            self._answer(404, "Not found: the explorer is at /.\n")
        else:
            self._answer(200, self.server.page, "text/html")

    def _only_get(self) -> None:
        self.close_connection = True  # a body may follow, which nobody reads
        self._answer(405, "Refused: there is nothing but GET here.\n")

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _only_get

    def _from_here(self) -> bool:
        hosts = self.headers.get_all("Host", [])
        origins = self.headers.get_all("Origin", [])
        known = self.server.hosts
        return (
            len(hosts) == 1
            and hosts[0].lower() in known
            and all(
                origin.lower() in map("http://{}".format, known) for origin in origins
            )
        )

    def _answer(self, status: int, body: str | bytes, kind: str = "text/plain") -> None:
        content = body if isinstance(body, bytes) else body.encode()
        self.send_response(status)
        headers = {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(content)),
            "Cache-Control": "no-store",
            "Content-Security-Policy": "frame-ancestors 'none'",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        if status == 405:
            headers["Allow"] = "GET"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal shows the address and stays quiet."""
