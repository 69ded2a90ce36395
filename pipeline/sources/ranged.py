"""A remote movie read by byte range: ffmpeg reads it from an HTTP server in this process.

    ffmpeg --GET, Range--> 127.0.0.1:<port>/<secret> --ranged reads--> store

The server listens on loopback only and serves nothing but this movie, under a random path, and on
Linux only to processes of the same user, see `other_users`: other users can read the path in the
list of processes. For such an input, ffmpeg may use the protocols `http` and `tcp`, and no proxy.

ffmpeg may mistake a broken connection for the end of the movie. So its exit status is not trusted:
a failed read is kept in `failure`, which `FfmpegProcess` checks in any case.
"""

from __future__ import annotations

import contextlib
import hmac
import re
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pipeline.errors import MovieError, SourceError
from pipeline.limits import Limits
from pipeline.other_users import is_same_user, require_peers_known
from pipeline.sources import identity
from pipeline.sources.movie import Movie
from pipeline.sources.read_ahead import Blocks
from pipeline.sources.readable import Readable

_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})")
#: Data in a connection's buffer has been fetched, though it may never be read.
_SEND_BUFFER_BYTES = 1 << 18


class RangedSource(Readable):
    """One open movie; see `ranged_source`."""

    protocols = "http,tcp"

    def __init__(self, movie: Movie, source_fingerprint: str, limits: Limits) -> None:
        self.movie = movie
        self.blocks = Blocks(movie, limits)
        self.path = f"/{secrets.token_urlsafe(24)}"
        self._failure: MovieError | None = None
        self._server = _Server(self)
        url = f"http://127.0.0.1:{self._server.server_port}{self.path}"
        super().__init__(url, source_fingerprint, limits)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()

    @property
    def failure(self) -> MovieError | None:
        """The first failed read, after which nothing that ffmpeg returned can be trusted."""
        return self._failure

    @property
    def waited_seconds(self) -> float:
        """How long ffmpeg has waited for the store so far."""
        return self.blocks.waited_seconds

    def pieces(self, start: int, end: int) -> Iterator[memoryview]:
        """Bytes [start, end) of the movie; ends early if a read fails, see `failure`."""
        while start < end and self._failure is None:
            try:
                piece = self.blocks.read(start, end)
            except MovieError as error:
                self._failure = error
            except Exception as error:  # noqa: BLE001 - ffmpeg would take any interruption for the end
                self._failure = SourceError(f"{self.movie.name}: {type(error).__name__}: {error}")
            else:
                start += len(piece)
                yield piece

    def read(self, start: int, end: int) -> bytes:
        """Bytes [start, end) of the movie; fewer only at its end.

        Raises `MovieError` if they cannot be read.
        """
        data = b"".join(self.pieces(start, min(end, self.blocks.size)))
        if self._failure is not None:
            raise self._failure
        return data

    @contextlib.contextmanager
    def opened(self) -> Iterator[Callable[[int, int], bytes]]:
        """A function like `read`, for many small reads."""
        yield self.read

    def close(self) -> None:
        """Stop serving."""
        self.blocks.close()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextlib.contextmanager
def ranged_source(movie: Movie, source_fingerprint: str, limits: Limits) -> Iterator[RangedSource]:
    """Serve a remote movie at a loopback address that ffmpeg can read, in bounded memory.

    Raises `MovieError` when the source is unavailable or has changed.
    """
    identity.require_unchanged(movie)
    require_peers_known(movie.name)
    source = RangedSource(movie, source_fingerprint, limits)
    try:
        yield source
    finally:
        source.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 16

    def __init__(self, source: RangedSource) -> None:
        self.source = source
        super().__init__(("127.0.0.1", 0), _Handler)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether to answer."""
        return is_same_user(client_address, (str(self.server_address[0]), self.server_port))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore: ffmpeg closes the connection in the middle of an answer when it seeks."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        super().setup()

    def do_GET(self) -> None:
        self._serve(with_body=True)

    def do_HEAD(self) -> None:
        self._serve(with_body=False)

    def _serve(self, *, with_body: bool) -> None:
        self.close_connection = True
        source = self.server.source
        size = source.blocks.size
        requested = _RANGE.fullmatch(self.headers.get("Range", "bytes=0-"))
        if not hmac.compare_digest(self.path.encode(), source.path.encode()):
            self._answer(404, 0)
        elif size == 0:
            self._answer(200, 0)
        elif requested is None:
            self._answer(400, 0)
        elif (start := int(requested.group(1))) >= size:
            self._answer(416, 0, f"bytes */{size}")
        else:
            end = min(size, int(requested.group(2)) + 1) if requested.group(2) else size
            self._answer(206, max(0, end - start), f"bytes {start}-{end - 1}/{size}")
            for piece in source.pieces(start, end) if with_body else ():
                self.wfile.write(piece)

    def _answer(self, status: int, length: int, content_range: str = "") -> None:
        self.send_response_only(status)
        self.send_header("Content-Length", str(length))
        self.send_header("Accept-Ranges", "bytes")
        if content_range:
            self.send_header("Content-Range", content_range)
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""
