"""An HTTP proxy in front of an object store on loopback that makes some ranged reads fail.

With `every_request`, that share of all requests fails; a write is then carried out although its
response is never complete.

    500 and 503   an error response (503 with S3's SlowDown)
    reset         the connection is reset before a response
    truncate      half the body, then the connection ends
    stall         nothing for a while, then the connection ends

A seeded generator selects the reads, in the order of their arrival. All faults are counted.
"""

from __future__ import annotations

import http.client
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit

FAULTS = ("500", "503", "reset", "truncate", "stall")

_SLOW_DOWN = (
    b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)


class FaultProxy:
    """A context manager; `url` is its address."""

    def __init__(
        self,
        upstream: str,
        *,
        rate: float,
        seed: int = 0,
        faults: Sequence[str] = FAULTS,
        stall_seconds: float = 20.0,
        every_request: bool = False,
    ) -> None:
        self.counts: Counter[str] = Counter()
        """Number of ranged reads by fault; `ok` for those forwarded."""
        self.ranges: list[tuple[str, int, int]] = []
        """Ranged reads in order of arrival: fault, first byte, end."""
        self.stall_seconds = stall_seconds
        self.every_request = every_request
        self.closing = threading.Event()
        self.upstream = urlsplit(upstream)
        self.rate = rate
        """Share of the reads that fail; may be changed at any time."""
        self._faults, self._random = tuple(faults), random.Random(seed)
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        # Clients may close connections.
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self._server.proxy = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def draw(self) -> str:
        """The fault of the next ranged read."""
        with self._lock:
            bad = self._random.random() < self.rate
            kind = self._random.choice(self._faults) if bad else "ok"
            self.counts[kind] += 1
            return kind

    @property
    def num_faults(self) -> int:
        """Number of ranged reads with a fault."""
        return self.counts.total() - self.counts["ok"]

    def __enter__(self) -> FaultProxy:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    #: Otherwise the body of a response waits 40 ms for the client to acknowledge its header.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        proxy: FaultProxy = self.server.proxy  # type: ignore[attr-defined]
        kind = proxy.draw() if proxy.every_request or "Range" in self.headers else "ok"
        if "Range" in self.headers:
            first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
            proxy.ranges.append((kind, int(first), int(last) + 1))
        if kind == "stall":
            proxy.closing.wait(proxy.stall_seconds)
            self.close_connection = True
        elif kind == "reset":
            # Closing a socket with a linger time of zero sends a reset.
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True
        elif kind in ("500", "503"):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._answer(int(kind), [("Content-Type", "application/xml")], _SLOW_DOWN)
        else:
            self._forward(truncate=kind == "truncate")

    def do_HEAD(self) -> None:
        proxy: FaultProxy = self.server.proxy  # type: ignore[attr-defined]
        if proxy.every_request:
            self.do_GET()
        else:
            self._forward(truncate=False)

    do_PUT = do_POST = do_DELETE = do_HEAD  # noqa: N815 - names that http.server looks for

    def _forward(self, *, truncate: bool) -> None:
        proxy: FaultProxy = self.server.proxy  # type: ignore[attr-defined]
        assert proxy.upstream.hostname is not None
        upstream = http.client.HTTPConnection(proxy.upstream.hostname, proxy.upstream.port)
        try:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            upstream.request(self.command, self.path, body, dict(self.headers))
            answer = upstream.getresponse()
            data = answer.read()
        finally:
            upstream.close()
        skipped = ("connection", "transfer-encoding", "content-length")
        headers = [
            (name, text) for name, text in answer.getheaders() if name.lower() not in skipped
        ]
        length = answer.getheader("Content-Length") or str(len(data))
        self._answer(answer.status, headers, data, length=length, truncate=truncate)

    def _answer(
        self,
        status: int,
        headers: list[tuple[str, str]],
        data: bytes,
        *,
        length: str = "",
        truncate: bool = False,
    ) -> None:
        self.send_response(status)
        for name, text in headers:
            self.send_header(name, text)
        self.send_header("Content-Length", length or str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if truncate else data)
        self.close_connection = self.close_connection or truncate

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""
