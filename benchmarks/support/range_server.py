"""A read-only object store on loopback: S3 and HTTP `GET` with ranges, straight from files.

    python -m benchmarks.support.range_server FOLDER [MIB_PER_SECOND [LATENCY_SECONDS]]
                                prints its URL; the first folder is the bucket

A rate limits all responses together; each starts after the latency. `/sent` returns how many bytes
of objects were sent. Signatures are not looked at. Answers go out with `sendfile`, one thread a
connection, so on the cores that it shares with the loaders it costs far less than a full S3 server
would.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: With a rate, what goes out at a time.
_PIECE_BYTES = 1 << 17


@contextmanager
def serving(
    folder: Path,
    mib_per_second: float = 0.0,
    cores: Sequence[int] = (),
    latency_seconds: float = 0.0,
) -> Iterator[str]:
    """The server in a process of its own, on these cores (none: all); gives its URL."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.support.range_server",
        str(folder),
        str(mib_per_second),
        str(latency_seconds),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        if cores:
            os.sched_setaffinity(process.pid, cores)
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


class _Link:
    """What all answers share: how fast bytes go out, and how many did."""

    def __init__(self, bytes_per_second: float) -> None:
        self.sent = 0
        self._rate = bytes_per_second
        self._free_at = 0.0
        self._lock = threading.Lock()

    @property
    def is_paced(self) -> bool:
        """Whether there is a rate."""
        return self._rate > 0

    def wait(self, num_bytes: int) -> None:
        """Until so many bytes may go out."""
        if self._rate:
            with self._lock:
                begin = max(time.monotonic(), self._free_at)
                self._free_at = begin + num_bytes / self._rate
            time.sleep(max(0.0, begin - time.monotonic()))

    def note(self, num_bytes: int) -> None:
        """So many went out."""
        with self._lock:
            self.sent += num_bytes


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Otherwise the body of an answer waits 40 ms until its header has been acknowledged.
    disable_nagle_algorithm = True
    folder = Path()
    link = _Link(0.0)
    latency_seconds = 0.0

    def do_GET(self) -> None:
        self._serve(with_body=True)

    def do_HEAD(self) -> None:
        self._serve(with_body=False)

    def _serve(self, *, with_body: bool) -> None:
        if self.path == "/sent":
            self._tell(str(self.link.sent).encode())
            return
        time.sleep(self.latency_seconds)
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
                length = min(stop - start, _PIECE_BYTES) if self.link.is_paced else stop - start
                self.link.wait(length)
                sent = os.sendfile(self.connection.fileno(), file.fileno(), start, length)
                self.link.note(sent)
                start += sent

    def _tell(self, text: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

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
        """Clients may disconnect early."""


def main() -> None:
    """Serve until killed."""
    _Handler.folder = Path(sys.argv[1])
    _Handler.link = _Link(float(sys.argv[2]) * (1 << 20) if len(sys.argv) > 2 else 0.0)
    _Handler.latency_seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
    server = _Server(("127.0.0.1", 0), _Handler)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
