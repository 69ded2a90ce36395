"""Web servers: what is sent, how redirects end, and servers that are slow or break off."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shards_spec.errors import (
    AccessDeniedError,
    ObjectChangedError,
    ObjectNotFoundError,
    StorageError,
)
from shards_spec.storage import ObjectInfo, Storage
from shards_spec.storage.web import connection

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
        """A complete response; `_` in names of headers stands for `-`."""
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


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[Handler], None]], Server]]:
    """Starts servers."""
    servers: list[Server] = []

    def start(answer: Callable[[Handler], None]) -> Server:
        servers.append(Server(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def parts(handler: Handler) -> None:
    """A server with ranges."""
    handler.reply_part()


def test_all_reads_return_the_bytes(serve, tmp_path: Path):
    server = serve(parts)
    storage = Storage(f"{server.url}/films")
    assert storage.get("a.bin") == DATA
    assert bytes(storage.get_range("a.bin", 5, 300)) == DATA[5:305]
    assert b"".join(storage.stream_range("a.bin", 100, 9000)) == DATA[100:9100]
    target = bytearray(700)
    assert list(storage.read_into("a.bin", 3, memoryview(target)))[-1] == 700
    assert target == DATA[3:703]
    storage.download("a.bin", tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert storage.head("a.bin").size == len(DATA)
    with pytest.raises(StorageError, match="shorter"):
        storage.get_range("a.bin", len(DATA), 10)


@pytest.mark.parametrize(
    ("key", "sent"),
    [
        ("a.mp4?X-Amz-Signature=a%2Fb/c&x=1", "/f/a.mp4?X-Amz-Signature=a%2Fb/c&x=1"),
        ("a%20b.mp4", "/f/a%20b.mp4"),
        ("a b.mp4", "/f/a%20b.mp4"),
        ("50% off.mp4", "/f/50%25%20off.mp4"),
        ("naïve.mp4#t=3", "/f/na%C3%AFve.mp4"),
        ("x.mp4;jsessionid=1A?sig=b+c==", "/f/x.mp4;jsessionid=1A?sig=b+c=="),
    ],
)
def test_addresses_are_sent_as_they_are(serve, key: str, sent: str):
    server = serve(parts)
    assert Storage(f"{server.url}/f").head(key).size == len(DATA)
    assert server.paths[-1].split(" ", 1)[1] == sent


def test_a_signed_address_is_looked_up_without_head(serve):
    def answer(handler: Handler) -> None:
        # A signature is valid for one method.
        handler.reply(403) if handler.command == "HEAD" else handler.reply_part()

    server = serve(answer)
    for key in ("a.mp4", "a.mp4?sig=1"):
        assert Storage(server.url).head(key).size == len(DATA)


def test_a_response_to_head_without_a_size_is_not_the_last_word(serve):
    def answer(handler: Handler) -> None:
        if handler.command == "HEAD":
            handler.send_response(200)
            handler.end_headers()
        else:
            handler.reply_part()

    assert Storage(serve(answer).url).head("a.mp4").size == len(DATA)


def test_a_server_without_ranges_is_said_to_have_none(serve):
    storage = Storage(serve(lambda handler: handler.reply(200, DATA)).url)
    assert bytes(storage.get_range("a", 0, 9)) == DATA[:9]
    with pytest.raises(StorageError, match="does not support ranges"):
        storage.get_range("a", 9, 9)


def test_a_redirect_on_the_same_host_is_followed(serve):
    def answer(handler: Handler) -> None:
        if handler.path.startswith("/new"):
            handler.reply_part()
        else:
            handler.reply(302, Location=f"/new{handler.path}")

    storage = Storage(serve(answer).url)
    assert storage.head("a").size == len(DATA)
    assert storage.get("a") == DATA
    assert bytes(storage.get_range("a", 7, 70)) == DATA[7:77]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.1", "0"])
def test_a_redirect_to_another_server_is_refused(serve, status, host, tmp_path):
    secret = serve(lambda handler: handler.reply(200, b"secret"))
    away = f"http://{host}:{secret.server_port}/latest/meta-data"
    server = serve(lambda handler: handler.reply(status, Location=away))
    storage = Storage(server.url)
    for read in (
        lambda: storage.head("a.mp4"),
        lambda: storage.get("a.mp4"),
        lambda: storage.get_range("a.mp4", 0, 6),
        lambda: b"".join(storage.stream_range("a.mp4?x=1", 0, 6)),
        lambda: storage.download("a.mp4", tmp_path / "a"),
        lambda: storage.exists("a.mp4"),
    ):
        with pytest.raises(AccessDeniedError, match="leads to another host"):
            read()
    assert secret.paths == []


def test_redirects_to_other_hosts_can_be_allowed(serve, monkeypatch):
    other = serve(parts)
    headers: list[str | None] = []

    def noted(handler: Handler) -> None:
        headers.append(handler.headers["Authorization"])
        handler.reply_part()

    other.answer = noted
    away = f"http://localhost:{other.server_port}/a"
    server = serve(lambda handler: handler.reply(302, Location=away))
    storage = Storage(server.url.replace("http://", "http://me:word@"))
    # All public hosts: this one is not.
    monkeypatch.setenv("REELSHARDS_REDIRECT_HOSTS", "*")
    with pytest.raises(AccessDeniedError, match="not a public address"):
        storage.get("a")
    monkeypatch.setenv("REELSHARDS_REDIRECT_HOSTS", "cdn.example.org, local*")
    assert storage.get("a") == DATA
    # The login is for the first host only.
    assert headers == [None]


def test_redirects_that_never_end_are_an_error(serve):
    server = serve(lambda handler: handler.reply(302, Location=f"{handler.path}x"))
    with pytest.raises(StorageError, match="more than 5 redirects"):
        Storage(server.url).get("a")
    assert len(server.paths) == 6


@pytest.mark.parametrize(
    ("current", "target", "problem"),
    [
        ("https://h/a", "http://h/a", "from https to http"),
        ("http://h/a", "https://h/b", ""),
        ("http://h:80/a", "http://H/b", ""),
        ("http://h/a", "http://h:8080/b", "another host"),
        ("http://h/a", "http://h.evil.org/b", "another host"),
        ("http://h/a", "http://h@evil.org/b", "another host"),
        ("http://h/a", "http://169.254.169.254/latest", "another host"),
        ("http://h/a", "file:///etc/passwd", "not a web address"),
        ("http://h/a", "gopher://h/x", "not a web address"),
    ],
)
def test_where_a_redirect_may_lead(current: str, target: str, problem: str) -> None:
    start = connection.WebAddress.of(current)
    if problem:
        with pytest.raises(connection.RedirectRefusedError, match=problem):
            connection.redirected(start, start, target)
    else:
        assert connection.redirected(start, start, target).host == "h"


@pytest.mark.parametrize(
    "number", ["169.254.169.254", "169.254.170.2", "fe80::1", "fd00:ec2::254", "::ffff:169.254.1.1"]
)
def test_a_name_never_leads_to_a_metadata_service(number: str, monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(0, 0, 0, "", (number, 80))])
    with pytest.raises(AccessDeniedError, match="not a public address"):
        Storage("http://innocent.example", max_retries=0).get("a")


@pytest.mark.parametrize("answer", ["nothing", "headers", "body"])
def test_a_server_that_sends_a_byte_now_and_then_is_given_up(serve, answer, monkeypatch, tmp_path):
    monkeypatch.setattr(connection, "SLOW_WINDOW_SECONDS", 0.4)
    is_over = threading.Event()

    def drip(handler: Handler) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(DATA)}\r\n"
        if answer == "body":
            handler.wfile.write(f"{head}\r\n".encode())
        text = {"nothing": b"", "headers": f"{head}X: {'y' * 9999}".encode(), "body": DATA}[answer]
        for number in range(len(text)):
            if is_over.wait(0.03):
                return
            handler.wfile.write(text[number : number + 1])
        is_over.wait()

    server = serve(drip)
    storage = Storage(server.url)
    reads = [
        lambda: storage.get("a"),
        lambda: storage.download("a", tmp_path / "a"),
        lambda: storage.get_range("a", 0, 5000),
    ]
    if answer != "body":
        reads.append(lambda: storage.head("a"))
    for read in reads:
        with pytest.raises(StorageError, match="sent only"):
            read()
    is_over.set()


def test_a_slow_reader_is_not_a_slow_server(serve, monkeypatch):
    """Time that passes between reads does not count: here, more than any limit."""
    passed = 0.0

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return time.monotonic() + passed

    monkeypatch.setattr(connection, "time", Clock)
    data = DATA * 50
    received = bytearray()
    server = serve(lambda handler: handler.reply_part(data))
    for piece in Storage(server.url).stream_range("a", 0, len(data)):
        received += piece
        passed += 1000.0
    assert received == data
    assert passed > 1000.0


def test_failed_requests_are_repeated_and_broken_bodies_are_named(serve):
    left = [500, 429, 503]

    def answer(handler: Handler) -> None:
        if left:
            handler.reply(left.pop())
        elif handler.path == "/short":
            handler.send_response(200)
            handler.send_header("Content-Length", "99")
            handler.end_headers()
            handler.wfile.write(b"x")
            handler.close_connection = True
        else:
            handler.reply_part()

    storage = Storage(serve(answer).url, max_retries=4)
    assert storage.get("a") == DATA
    with pytest.raises(StorageError, match="98 bytes early"):
        storage.get("short")


def test_what_a_server_says_about_an_object(serve):
    when = "Thu, 01 Jan 1970 00:01:00 GMT"
    server = serve(lambda handler: handler.reply_part(ETag='"e"', Last_Modified=when))
    storage = Storage(server.url)
    assert storage.head("a") == ObjectInfo("a", len(DATA), '"e"', 60)
    same = ObjectInfo("a", len(DATA), '"e"', 60)
    assert list(storage.stream_range("a", 0, 3, expected=same)) == [DATA[:3]]
    later = ObjectInfo("a", len(DATA), '"e"', 61)
    with pytest.raises(ObjectChangedError):
        list(storage.stream_range("a", 0, 3, expected=later))


@pytest.mark.parametrize("status", [401, 403, 404, 410, 204, 418])
def test_refusals_have_an_error_of_their_kind(serve, status: int):
    kinds = {401: AccessDeniedError, 403: AccessDeniedError, 404: ObjectNotFoundError}
    kind = kinds.get(status, ObjectNotFoundError if status == 410 else StorageError)
    storage = Storage(serve(lambda handler: handler.reply(status)).url)
    for read in (storage.get, storage.head):
        with pytest.raises(kind):
            read("a")
