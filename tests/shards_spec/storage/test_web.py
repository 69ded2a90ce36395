"""Web servers: what is sent, and servers that are slow or break off."""

from __future__ import annotations

import threading
import time
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
from tests.support.stores.web_server import DATA, Handler, parts


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
