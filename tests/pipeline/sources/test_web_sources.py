"""Movies on web servers: signed addresses, redirects, and servers that are too slow."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from pipeline.errors import MovieError, SourceDeniedError, SourceError
from pipeline.limits import Limits
from pipeline.movie.rows import Cost, bare_row
from pipeline.sources import Movie, identity
from pipeline.sources.corpus import find_movies
from pipeline.sources.identity import fingerprint
from pipeline.sources.movie_id import keep_ids
from pipeline.sources.read_ahead import Blocks
from pipeline.sources.staged import staged_copy
from shards_spec.errors import AccessDeniedError, InputError, StorageError
from shards_spec.recipe import Recipe
from shards_spec.redaction import redacted
from shards_spec.storage.web import connection

DATA = bytes(range(256)) * 2000
QUERY = "X-Amz-Signature=ab%2Fc/d+e==&X-Amz-Credential=AK/2026/s3/aws4_request&x=1/"


@dataclass
class Site:
    """A web server, and what it was asked."""

    url: str
    answer: Callable[[Any], None]
    """Makes a response with a request handler."""
    paths: list[str] = field(default_factory=list)


@pytest.fixture
def site() -> Iterator[Site]:
    """A server that has `DATA` at every path."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            site.paths.append(self.path)
            site.answer(self)

        do_HEAD = do_GET  # noqa: N815 - a name that http.server looks for

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        site = Site(f"http://127.0.0.1:{server.server_port}", whole)
        yield site
        server.shutdown()


def whole(handler: Any) -> None:
    """The requested part of `DATA`."""
    found = handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
    start, end = int(found[0]), min(int(found[2] or len(DATA)) + 1, len(DATA))
    handler.send_response(206 if "Range" in handler.headers else 200)
    handler.send_header("Content-Length", str(end - start))
    handler.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(DATA)}")
    handler.end_headers()
    if handler.command == "GET":
        handler.wfile.write(DATA[start:end])


def signed_only(handler: Any) -> None:
    """The same for GET with exactly the signed query."""
    if handler.command != "GET" or not handler.path.endswith(f"?{QUERY}"):
        handler.send_response(403)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
    else:
        whole(handler)


def away(location: str) -> Callable[[Any], None]:
    """A redirect."""

    def answer(handler: Any) -> None:
        handler.send_response(302)
        handler.send_header("Location", location)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


@pytest.fixture(autouse=True)
def _own_staging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "staging").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "staging"))


def by_range(movie: Movie, limits: Limits) -> bytes:
    """All of a movie, read by range."""
    blocks = Blocks(movie, limits)
    try:
        data = bytearray()
        while len(data) < blocks.size:
            data += blocks.read(len(data), blocks.size)
        return bytes(data)
    finally:
        blocks.close()


def by_copy(movie: Movie, limits: Limits) -> bytes:
    """The same from a copy."""
    with staged_copy(movie, 1.0, limits) as path:
        return path.read_bytes()


READS = [by_range, by_copy]


@pytest.mark.parametrize("name", ["a.mp4", "a b.mp4", "50% off.mp4", "sub/é.mp4", "what%3F.mp4"])
def test_a_signed_address_is_read(site: Site, name: str) -> None:
    site.answer = signed_only
    (movie,) = find_movies(f"{site.url}/{name}?{QUERY}")
    assert movie.num_bytes == len(DATA)
    for read in READS:
        assert read(movie, Limits()) == DATA
    expected = name.replace("50% ", "50%25 ").replace("%3F", "?")
    assert {unquote(urlsplit(path).path) for path in site.paths} == {f"/{unquote(expected)}"}


@pytest.mark.parametrize("path", ["a//b.mp4", "a///b.mp4", "a/./b.mp4", "a/../b.mp4", "a/b.mp4"])
def test_a_path_is_sent_as_it_is(site: Site, path: str) -> None:
    (movie,) = find_movies(f"{site.url}/{path}")
    for read in READS:
        assert read(movie, Limits()) == DATA
    assert set(site.paths) == {f"/{path}"}


def test_a_new_signature_names_the_same_movie_and_is_never_stored(site: Site) -> None:
    old, new = (
        find_movies(f"{site.url}/films/a.mp4;jsessionid=A{number}?X-Amz-Signature=A{number}")[0]
        for number in (111, 222)
    )
    assert (old.movie_id, old.path, fingerprint(old)) == (new.movie_id, new.path, fingerprint(new))
    assert old.movie_id == "a"
    row = bare_row(old, fingerprint(old), Recipe(), "failed", Cost(1, 0.0, 0.0))
    assert "A111" not in row.to_json()
    (kept,) = keep_ids([new], {row.source_uri: "chosen"})
    assert kept.movie_id == "chosen"


def test_secrets_are_in_no_message(site: Site, tmp_path: Path) -> None:
    movie = find_movies(f"{site.url}/a.mp4;jsessionid=hunter2?X-Amz-Signature=sesame77/b")[0]
    for answer in (signed_only, away("http://other.example/x?token=sesame77")):
        site.answer = answer
        for read in READS:
            with pytest.raises(MovieError) as caught:
                read(movie, Limits())
            row = bare_row(movie, "f", Recipe(), "failed", Cost(1, 0.0, 0.0))
            text = redacted(str(caught.value)) + row.to_json()
            assert "sesame77" not in text
            assert "hunter2" not in text


def test_movies_that_differ_in_their_query_keep_ids_of_their_own(site: Site) -> None:
    movies = [find_movies(f"{site.url}/{n}/a.mp4?id={n}")[0] for n in (1, 2)]
    twins = [find_movies(f"{site.url}/get/a.mp4?id={n}")[0] for n in (1, 2)]
    known = {f"{site.url}/get/a.mp4?***": "x"}
    assert [m.movie_id for m in keep_ids(twins, known)] == [m.movie_id for m in twins]
    assert fingerprint(movies[0]) == fingerprint(movies[1])


def test_a_manifest_on_a_web_server_names_parts_of_addresses(site: Site) -> None:
    uris = ("50%25 off.mp4", f"{site.url}/b.mp4?{QUERY}", f"sub/what%3F.mp4?{QUERY}")
    rows = ["uri,movie_id", *(f"{uri},{name}" for uri, name in zip(uris, "abc", strict=True))]
    text = "\n".join(rows).encode()

    def answer(handler: Any) -> None:
        if urlsplit(handler.path).path != "/f/corpus.csv":
            whole(handler)
            return
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        if handler.command == "GET":
            handler.wfile.write(text)

    site.answer = answer
    movies = find_movies(f"{site.url}/f/corpus.csv?sig=a/b")
    assert [movie.movie_id for movie in movies] == ["a", "b", "c"]
    assert [movie.path for movie in movies] == ["50% off.mp4", "b.mp4", "sub/what?.mp4"]
    assert {"/f/50%25%20off.mp4", f"/b.mp4?{QUERY}", f"/f/sub/what%3F.mp4?{QUERY}"} <= set(
        site.paths
    )


@pytest.mark.parametrize("read", READS)
def test_a_redirect_to_another_host_is_refused_for_every_read(
    site: Site, read: Callable[[Movie, Limits], bytes]
) -> None:
    (movie,) = find_movies(f"{site.url}/a.mp4")
    secret: list[str] = []

    def answer(handler: Any) -> None:
        if handler.headers["Host"].startswith("localhost"):
            secret.append(handler.path)
        away(f"{site.url.replace('127.0.0.1', 'localhost')}/latest/meta-data")(handler)

    site.answer = answer
    with pytest.raises(SourceDeniedError, match="another host"):
        read(movie, Limits())
    with pytest.raises(SourceDeniedError, match="another host"):
        fingerprint(movie)
    with pytest.raises(SourceDeniedError, match="another host"):
        identity.require_unchanged(movie)
    for corpus in ("corpus.csv", "b.mp4"):
        with pytest.raises(AccessDeniedError, match="another host"):
            find_movies(f"{site.url}/{corpus}")
    assert secret == []


SLOW = Limits(no_progress_seconds=0.5, min_source_kib_per_second=1.0)


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("num_bytes", [0, 1])
def test_a_server_that_sends_too_little_is_given_up(
    site: Site, read: Callable[[Movie, Limits], bytes], num_bytes: int, monkeypatch: Any
) -> None:
    (movie,) = find_movies(f"{site.url}/a.mp4")
    monkeypatch.setattr(connection, "SLOW_WINDOW_SECONDS", 1.0)
    monkeypatch.setattr("pipeline.sources.fetch._RETRY_SECONDS", 0.01)
    is_over = threading.Event()

    def drip(handler: Any) -> None:
        if handler.command == "HEAD":
            whole(handler)
            return
        handler.send_response(206)
        handler.send_header("Content-Length", str(len(DATA)))
        handler.send_header("Content-Range", f"bytes 0-{len(DATA) - 1}/{len(DATA)}")
        handler.end_headers()
        while not is_over.wait(0.05):
            handler.wfile.write(b"x" * num_bytes)

    site.answer = drip
    with pytest.raises(SourceError, match=r"bytes arrived|sent only"):
        read(movie, SLOW)
    is_over.set()


@pytest.mark.parametrize("read", READS)
def test_a_slow_but_steady_server_is_read_to_the_end(
    site: Site, read: Callable[[Movie, Limits], bytes]
) -> None:
    (movie,) = find_movies(f"{site.url}/a.mp4")

    def steady(handler: Any) -> None:
        if handler.command == "GET":
            time.sleep(0.2)
        whole(handler)

    site.answer = steady
    assert read(movie, Limits(no_progress_seconds=30.0)) == DATA


def test_a_manifest_from_a_slow_server_is_given_up(site: Site, monkeypatch: Any) -> None:
    monkeypatch.setattr(connection, "SLOW_WINDOW_SECONDS", 0.3)
    is_over = threading.Event()

    def drip(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        while not is_over.wait(0.02):
            handler.wfile.write(b"x")

    site.answer = drip
    with pytest.raises((StorageError, InputError), match="sent only"):
        find_movies(f"{site.url}/corpus.csv")
    is_over.set()
