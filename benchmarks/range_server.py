"""A read-only object store on loopback: S3 and HTTP `GET` with ranges, straight from files.

    python -m benchmarks.range_server FOLDER        prints its URL; the first folder is the bucket

Signatures are not looked at. Answers go out with `sendfile`, one thread a connection, so on the
cores that it shares with the loaders it costs far less than a full S3 server would.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The server in a process of its own; gives its URL."""
    command = [sys.executable, "-m", "benchmarks.range_server", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder = Path()

    def do_GET(self) -> None:
        self._serve(with_body=True)

    def do_HEAD(self) -> None:
        self._serve(with_body=False)

    def _serve(self, *, with_body: bool) -> None:
        path = self.folder / unquote(urlsplit(self.path).path).lstrip("/")
        if not path.is_file():
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            start, stop = self._range(status.st_size)
            self.send_response(206 if "Range" in self.headers else 200)
            self.send_header("Content-Length", str(stop - start))
            self.send_header("ETag", f'"{status.st_size}-{status.st_mtime_ns}"')
            self.send_header("Last-Modified", self.date_time_string(int(status.st_mtime)))
            self.send_header("Accept-Ranges", "bytes")
            if "Range" in self.headers:
                whole = f"bytes {start}-{stop - 1}/{status.st_size}"
                self.send_header("Content-Range", whole)
            self.end_headers()
            self.wfile.flush()
            while with_body and start < stop:
                start += os.sendfile(self.connection.fileno(), file.fileno(), start, stop - start)

    def _range(self, size: int) -> tuple[int, int]:
        """The half-open range that is asked for."""
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        if not first:
            return max(0, size - int(last)), size
        return int(first), min(size, int(last) + 1) if last else size

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that left early are no news."""


def main() -> None:
    """Serve until killed."""
    _Handler.folder = Path(sys.argv[1])
    server = _Server(("127.0.0.1", 0), _Handler)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
