"""The server from which ffmpeg reads a remote movie: what it serves, to whom, at what cost."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pipeline.errors import NoDecoderError
from pipeline.limits import Limits
from pipeline.movie import steps
from pipeline.sources import Movie, Readable
from pipeline.sources import read_ahead as blocks
from pipeline.sources.access import open_source
from pipeline.sources.identity import fingerprint
from pipeline.sources.ranged import ranged_source
from tests.support.stores.ranged import FRAMES_BYTES, RECIPE, read_all, web_movie

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")


def test_a_proxy_is_not_used(ts_movie: Movie, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing listens on that port.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("no_proxy", raising=False)
    with ranged_source(ts_movie, fingerprint(ts_movie), Limits()) as source:
        assert read_all(source, ts_movie) == FRAMES_BYTES


def test_missing_network_support_of_ffmpeg_is_not_the_movies_fault(
    ts_movie: Movie, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ffprobe"
    # The message of a build that was configured with --disable-network.
    program.write_text("#!/bin/sh\necho 'Error opening input: Protocol not found' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("FFPROBE_BINARY", str(program))
    mark = fingerprint(ts_movie)
    with (
        open_source(ts_movie, mark) as source,
        pytest.raises(NoDecoderError, match="--sources staged"),
    ):
        steps.prepare(ts_movie, source, RECIPE, 5.0)


def test_bytes_are_read_alike_from_a_local_and_a_remote_movie(
    ts_movie: Movie, films: dict[str, Path]
) -> None:
    data = films["film.ts"].read_bytes()
    local = Readable(f"file:{films['film.ts']}", "", Limits())
    with ranged_source(ts_movie, fingerprint(ts_movie), Limits()) as remote:
        for source in (local, remote):
            assert source.read(0, 5) == data[:5]
            assert source.read(1000, 300_000) == data[1000:300_000]
            assert source.read(len(data) - 3, len(data) + 99) == data[-3:]
            assert source.read(len(data) + 1, len(data) + 99) == b""


def response_of(url: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    """Status and body of a response."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def test_only_the_movie_is_served(ts_movie: Movie, films: dict[str, Path]) -> None:
    data = films["film.ts"].read_bytes()
    size = len(data)
    with ranged_source(ts_movie, fingerprint(ts_movie), Limits()) as source:
        base = source.url.rpartition("/")[0]
        assert response_of(source.url, Range="bytes=5-20000") == (206, data[5:20001])
        assert response_of(source.url, Range=f"bytes={size - 3}-") == (206, data[-3:])
        assert response_of(source.url, Range=f"bytes={size - 3}-{size + 9}") == (206, data[-3:])
        assert response_of(source.url, "HEAD") == (206, b"")
        assert response_of(source.url, Range=f"bytes={size}-")[0] == 416
        for wrong in ("bytes=-5", "bytes=0-1,3-4", "bytes=a-", f"bytes={'9' * 30}-"):
            assert response_of(source.url, Range=wrong) == (400, b"")
        for path in ("", "/", f"{source.path}/..", f"{source.path}?x", source.path[:-1], "//host/"):
            assert response_of(base + path) == (404, b""), path
        assert response_of(source.url, "POST")[0] == 501
        url = source.url
    with pytest.raises(ConnectionRefusedError):
        response_of(url)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become another user")
def test_other_users_are_denied(ts_movie: Movie) -> None:
    code = (
        "import os, socket, sys; os.setuid(int(sys.argv[3]));"
        "s = socket.create_connection(('127.0.0.1', int(sys.argv[1])));"
        "s.sendall(b'GET ' + sys.argv[2].encode() + b' HTTP/1.0\\r\\n\\r\\n'); print(s.recv(12))"
    )
    with ranged_source(ts_movie, fingerprint(ts_movie), Limits()) as source:
        command = [sys.executable, "-I", "-c", code, str(urlsplit(source.url).port), source.path]
        run = partial(subprocess.run, capture_output=True, text=True, timeout=20, check=False)
        assert "HTTP/1.1 206" in run([*command, "0"]).stdout
        other = run([*command, "65534"])
        assert "HTTP" not in other.stdout
        assert "PermissionError" not in other.stderr


def test_memory_is_limited_to_a_few_blocks(films: dict[str, Path]) -> None:
    with (
        web_movie(films["film.ts"]) as (movie, _),
        ranged_source(movie, fingerprint(movie), Limits()) as source,
    ):
        read_all(source, movie)
        assert movie.num_bytes > 2 * blocks.NUM_CACHED * blocks.BLOCK_BYTES
        assert len(source.blocks._cached) <= blocks.NUM_CACHED + blocks.NUM_AHEAD
        # Such a short movie is read once to identify it, and once for its frames.
        assert movie.num_bytes <= source.blocks.fetched_bytes < 3 * movie.num_bytes
