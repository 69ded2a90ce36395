"""A server of one site on loopback, for the person who started it.

Other users of the machine, and pages of other sites in the same browser, can connect too. So the
address has a secret in its path, requests must name a loopback host (a name that was rebound to
127.0.0.1 does not), and nothing but GET and HEAD is answered. Pages may load nothing from elsewhere
and may not be framed.
"""

from __future__ import annotations

import hmac
import re
import secrets
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from shards_spec.dataset.browser.media import File
from shards_spec.dataset.browser.pages import problem_page
from shards_spec.dataset.browser.pages.shell import POLICY
from shards_spec.dataset.browser.site import Site
from shards_spec.errors import InputError, ReelshardsError
from shards_spec.redaction import plain

#: Names of this machine for itself; with a forwarded port, the port differs.
_LOOPBACK_HOST = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?", re.IGNORECASE)

_RANGE = re.compile(r"bytes=(\d{1,12})-(\d{0,12})")

_HEADERS = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "private, max-age=60",
}


class BrowserServer(ThreadingHTTPServer):
    """Serves a site at `url` until `shutdown`; a context manager."""

    daemon_threads = True
    #: Requests that wait for a thread of their own.
    request_queue_size = 32

    def __init__(self, site: Site, port: int = 0) -> None:
        """Listen on a port of 127.0.0.1, by default any free one. Raises `InputError`."""
        self.site = site
        self.token = secrets.token_urlsafe(18)
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except (OSError, OverflowError) as error:
            raise InputError(f"cannot listen on port {port} of 127.0.0.1: {error}") from error

    @property
    def url(self) -> str:
        """Address of the first page, with the secret."""
        return f"http://127.0.0.1:{self.server_address[1]}/{self.token}/index.html"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report errors, but not browsers that close a connection."""
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):
            sys.stderr.write(plain(f"error while answering a request: {error!r}") + "\n")


class _Handler(BaseHTTPRequestHandler):
    server: BrowserServer
    server_version, sys_version = "reelshards", ""
    protocol_version = "HTTP/1.1"
    #: A connection that sends nothing for this long is closed, seconds.
    timeout = 30

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged: their paths have the secret."""

    def _answer(self) -> None:
        path = self._allowed_path()
        if path is None:
            return
        site = self.server.site
        try:
            self._send(HTTPStatus.OK, site.file(path))
        except InputError as error:
            self._problem(HTTPStatus.NOT_FOUND, path, "Not found", str(error))
        except ReelshardsError as error:
            self._problem(HTTPStatus.BAD_GATEWAY, path, "Cannot be shown", str(error))

    def _allowed_path(self) -> str | None:
        """Path within the site; None if the request was refused."""
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or not _LOOPBACK_HOST.fullmatch(hosts[0].strip()):
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST)
            return None
        path = unquote(urlsplit(self.path).path, errors="replace")
        token, _, rest = path.removeprefix("/").partition("/")
        if not hmac.compare_digest(token.encode(), self.server.token.encode()):
            self._refuse(HTTPStatus.FORBIDDEN)
            return None
        return rest or "index.html"

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer malformed requests and other methods, without echoing them."""
        self._refuse(HTTPStatus(code))

    def _refuse(self, status: HTTPStatus) -> None:
        self.close_connection = True
        self._send(status, File(f"{status.phrase}\n".encode(), "text/plain; charset=utf-8"))

    def _problem(self, status: HTTPStatus, path: str, title: str, message: str) -> None:
        # Relative links of the page start from where the browser is, which may be any depth.
        place = self.server.site.place.at(path)
        body = problem_page(place, title, message)
        self._send(status, File(body, "text/html; charset=utf-8"))

    def _send(self, status: HTTPStatus, file: File) -> None:
        data, total = file.data, len(file.data)
        part = self._range(total) if status is HTTPStatus.OK else None
        self.send_response(HTTPStatus.PARTIAL_CONTENT if part else status)
        if part:
            data = data[part[0] : part[1]]
            self.send_header("Content-Range", f"bytes {part[0]}-{part[1] - 1}/{total}")
        self.send_header("Content-Type", file.media_type)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Accept-Ranges", "bytes")
        if self.close_connection:
            self.send_header("Connection", "close")
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _range(self, total: int) -> tuple[int, int] | None:
        """The requested part [start, end) of a file; None for all of it."""
        found = _RANGE.fullmatch(self.headers.get("Range", ""))
        if found is None:
            return None
        start = int(found[1])
        end = min(total, int(found[2]) + 1) if found[2] else total
        return (start, end) if start < end else None
