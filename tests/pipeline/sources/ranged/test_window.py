"""The window through which ffmpeg reads a film by range: what it gives, to whom, at what cost."""

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
from pipeline.movie import steps
from pipeline.sources import access
from pipeline.sources import identity as source
from pipeline.sources import ranged as window
from pipeline.sources import read_ahead as blocks
from pipeline.sources.corpus import Movie
from tests.support.stores.ranged import FRAMES_BYTES, RECIPE, read_all, web_film

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")


def test_a_proxy_is_not_asked(ts_movie: Movie, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing listens there.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("no_proxy", raising=False)
    with window.opened(ts_movie, source.fingerprint(ts_movie)) as found:
        assert read_all(found.url, ts_movie) == FRAMES_BYTES


def test_an_ffmpeg_without_network_is_no_fault_of_the_film(
    ts_movie: Movie, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ffprobe"
    # What a build says that was configured with --disable-network.
    program.write_text("#!/bin/sh\necho 'Error opening input: Protocol not found' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("FFPROBE_BINARY", str(program))
    mark = source.fingerprint(ts_movie)
    with (
        access.held(ts_movie, mark, by_range=True),
        pytest.raises(NoDecoderError, match="--sources staged"),
    ):
        steps.prepare(ts_movie, mark, RECIPE, 5.0)


def asked(url: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    """Status and body of an answer."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def test_a_window_gives_its_film_and_nothing_else(ts_movie: Movie, films: dict[str, Path]) -> None:
    data = films["film.ts"].read_bytes()
    size = len(data)
    with window.opened(ts_movie, source.fingerprint(ts_movie)) as found:
        base = found.url.rpartition("/")[0]
        assert asked(found.url, Range="bytes=5-20000") == (206, data[5:20001])
        assert asked(found.url, Range=f"bytes={size - 3}-") == (206, data[-3:])
        assert asked(found.url, Range=f"bytes={size - 3}-{size + 9}") == (206, data[-3:])
        assert asked(found.url, "HEAD") == (206, b"")
        assert asked(found.url, Range=f"bytes={size}-")[0] == 416
        for wrong in ("bytes=-5", "bytes=0-1,3-4", "bytes=a-", f"bytes={'9' * 30}-"):
            assert asked(found.url, Range=wrong) == (400, b"")
        for path in ("", "/", f"{found.path}/..", f"{found.path}?x", found.path[:-1], "//host/"):
            assert asked(base + path) == (404, b""), path
        assert asked(found.url, "POST")[0] == 501
        url = found.url
    assert window.at(url) is None
    with pytest.raises(ConnectionRefusedError):
        asked(url)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become another user")
def test_others_on_the_machine_get_nothing(ts_movie: Movie) -> None:
    code = (
        "import os, socket, sys; os.setuid(int(sys.argv[3]));"
        "s = socket.create_connection(('127.0.0.1', int(sys.argv[1])));"
        "s.sendall(b'GET ' + sys.argv[2].encode() + b' HTTP/1.0\\r\\n\\r\\n'); print(s.recv(12))"
    )
    with window.opened(ts_movie, source.fingerprint(ts_movie)) as found:
        command = [sys.executable, "-I", "-c", code, str(urlsplit(found.url).port), found.path]
        run = partial(subprocess.run, capture_output=True, text=True, timeout=20, check=False)
        assert "HTTP/1.1 206" in run([*command, "0"]).stdout
        other = run([*command, "65534"])
        assert "HTTP" not in other.stdout
        assert "PermissionError" not in other.stderr


def test_memory_is_of_a_few_blocks(films: dict[str, Path]) -> None:
    with (
        web_film(films["film.ts"]) as (movie, _),
        window.opened(movie, source.fingerprint(movie)) as found,
    ):
        read_all(found.url, movie)
        assert movie.num_bytes > 2 * blocks.NUM_HELD * blocks.BLOCK_BYTES
        assert len(found.blocks._held) <= blocks.NUM_HELD + blocks.NUM_AHEAD
        # So short a film is read once to see what it is, and once for its frames.
        assert movie.num_bytes <= found.blocks.fetched_bytes < 3 * movie.num_bytes
