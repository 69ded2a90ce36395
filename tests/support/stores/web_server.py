"""A web server whose every response a test writes itself."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable

DATA = bytes(range(256)) * 40


class Server(http.server.ThreadingHTTPServer):
    """A web server whose responses are made by a function of the handler."""

    daemon_threads = True

    def __init__(self, answer: Callable[[Handler], None]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.paths: list[str] = []
        """Method and path of all requests."""
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        """Address of the root."""
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients may close connections."""


class Handler(http.server.BaseHTTPRequestHandler):
    """Hands every request to the server's function."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        self.server.paths.append(f"{self.command} {self.path}")
        self.server.answer(self)

    do_HEAD = do_GET  # noqa: N815 - a name that http.server looks for

    def reply(self, status: int, data: bytes = b"", **headers: str) -> None:
        """A complete response; `_` in a header name becomes `-`."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def reply_part(self, data: bytes = DATA, **headers: str) -> None:
        """The part of `data` that the request asks for."""
        if "Range" not in self.headers:
            self.reply(200, data, **headers)
            return
        first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        part = data[int(first) : int(last) + 1]
        if not part:
            self.reply(416)
            return
        where = f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}"
        self.reply(206, part, Content_Range=where, **headers)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


def parts(handler: Handler) -> None:
    """A server with ranges."""
    handler.reply_part()
