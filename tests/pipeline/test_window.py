"""Films read by range: the same bytes as from a file, and never a film that is cut short."""

from __future__ import annotations

import hashlib
import http.client
import http.server
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from fault_proxy import FaultProxy
from media import Film, ffmpeg, make_film
from outcome import digests
from runs import preprocess

from pipeline import access, blocks, limits, source, window
from pipeline import movie as steps
from pipeline.config import RunConfig
from pipeline.corpus import Movie, find_movies
from pipeline.errors import (
    MediaError,
    NoDecoderError,
    SourceChangedError,
    SourceError,
    TimedOutError,
)
from pipeline.process import Run
from pipeline.sync import check_sync
from pipeline.tools import ffmpeg_path
from shards_spec.recipe import Recipe
from shards_spec.storage import Storage

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")

#: Of all frames of a film of these tests, as `yuv420p`.
FRAMES_BYTES = 13 * 25 * 192 * 112 * 3 // 2
RECIPE = Recipe(short_side=32, num_frames=8, seed=3)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Films of a few seconds are of many blocks then; most are forgotten and fetched again."""
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1 << 15)
    monkeypatch.setattr(blocks, "NUM_HELD", 5)
    monkeypatch.setattr(blocks, "NUM_AHEAD", 2)
    monkeypatch.setattr(blocks, "_RETRY_SECONDS", 0.05)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One film in the containers that keep their index in different places, or have none."""
    folder = tmp_path_factory.mktemp("films")
    mp4 = make_film(folder / "end.mp4", Film(seconds=13, gop=25))
    made = {"end.mp4": mp4}
    for name, options in {
        "start.mp4": ("-c", "copy", "-movflags", "+faststart"),
        "parts.mp4": ("-c", "copy", "-movflags", "+frag_keyframe+empty_moov"),
        "film.mkv": ("-c", "copy"),
        "film.ts": ("-c", "copy"),
        "film.avi": ("-c:v", "mpeg4", "-g", "25", "-c:a", "libmp3lame"),
    }.items():
        ffmpeg("-i", mp4, *options, folder / name)
        made[name] = folder / name
    return made


def steps_of(movie: Movie, seconds: float, *, by_range: bool) -> tuple[Any, ...]:
    """Everything that the steps make of a movie before it is written."""
    mark = source.fingerprint(movie)
    with access.held(movie, mark, by_range=by_range, stage_gib=1.0):
        plan = steps.prepare(movie, mark, RECIPE, seconds)
        segments = [steps.run_segment(plan, part) for part in plan.segments]
        sound, data = steps.run_audio(plan)
    return (
        plan.probe,
        plan.crop,
        [hashlib.sha256(data).hexdigest() for _, data in segments],
        [(s.pts_ns.tolist(), s.cut_steps, s.change_sum.tolist()) for s, _ in segments],
        replace(sound, cpu_seconds=0.0),
        hashlib.sha256(data).hexdigest(),
    )


@pytest.mark.parametrize("seconds", [3.0, pytest.param(60.0, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "name", ["end.mp4", "start.mp4", "parts.mp4", "film.mkv", "film.ts", "film.avi"]
)
def test_ranged_staged_and_local_films_give_the_same(
    name: str,
    seconds: float,
    films: dict[str, Path],
    s3_bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    Storage(s3_bucket).put(name, films[name])
    (remote,), (local,) = find_movies(s3_bucket), find_movies(str(films[name]))
    whole = steps_of(local, seconds, by_range=False)
    assert steps_of(remote, seconds, by_range=True) == whole
    assert not list(tmp_path.iterdir())
    assert steps_of(remote, seconds, by_range=False) == whole


class WebHandler(http.server.BaseHTTPRequestHandler):
    """A web server of one film, with ranges."""

    protocol_version = "HTTP/1.1"
    data = b""
    tag = 'W/"weak"'
    delay_seconds = 0.0
    num_bytes = 0

    def do_GET(self) -> None:
        kind = type(self)
        found = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        start, end = int(found[0]), min(int(found[2] or len(kind.data)) + 1, len(kind.data))
        if "Range" in self.headers:
            time.sleep(kind.delay_seconds)
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Length", str(end - start))
        self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(kind.data)}")
        self.send_header("ETag", kind.tag)
        self.send_header("Last-Modified", self.date_time_string(0))
        self.end_headers()
        if self.command == "GET":
            kind.num_bytes += end - start
            self.wfile.write(kind.data[start:end])

    do_HEAD = do_GET  # noqa: N815 - a name that http.server looks for

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def web_film(path: Path, **settings: Any) -> Iterator[tuple[Movie, type[WebHandler]]]:
    """A film on a web server."""
    handler: Any = type("Handler", (WebHandler,), {"data": path.read_bytes(), **settings})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        (movie,) = find_movies(f"http://127.0.0.1:{server.server_port}/{path.name}")
        yield movie, handler
        server.shutdown()


def test_a_film_on_a_web_server(films: dict[str, Path]) -> None:
    (local,) = find_movies(str(films["end.mp4"]))
    with web_film(films["end.mp4"]) as (movie, _):
        assert movie.etag
        assert steps_of(movie, 5.0, by_range=True) == steps_of(local, 5.0, by_range=False)


@pytest.mark.slow
def test_a_segment_reads_its_part_of_the_film(tmp_path: Path) -> None:
    path = make_film(tmp_path / "long.mkv", Film(seconds=60, gop=25, width=96, height=64))
    with web_film(path) as (movie, handler):
        mark = source.fingerprint(movie)
        with access.held(movie, mark, by_range=True):
            plan = steps.prepare(movie, mark, RECIPE, 5.0)
        assert len(plan.segments) == 12
        handler.num_bytes = 0
        with access.held(movie, mark, by_range=True):
            steps.run_segment(plan, plan.segments[6])
        assert handler.num_bytes < movie.num_bytes * 2 / 3


@pytest.fixture
def ts_movie(films: dict[str, Path], s3_bucket: str) -> Movie:
    """In a container that may end anywhere and still be a whole film to ffmpeg."""
    Storage(s3_bucket).put("film.ts", films["film.ts"])
    (movie,) = find_movies(s3_bucket)
    return movie


def read_all(url: str, movie: Movie) -> int:
    """What a step does: read frames to their end, then ask whether all went well. Their bytes."""
    command = [ffmpeg_path(), "-i", url, "-f", "rawvideo", "-"]
    num_bytes = 0
    with Run(command, what=movie.name, wall_seconds=60) as run:
        while data := run.read_some(1 << 16):
            num_bytes += len(data)
        run.finish(tolerate_errors=True)
    return num_bytes


def test_a_read_that_fails_is_no_end_of_the_film(
    ts_movie: Movie, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultProxy(s3_endpoint, rate=0.0, faults=("truncate",)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        mark = source.fingerprint(ts_movie)
        with window.opened(ts_movie, mark) as found:
            plan = steps.prepare(ts_movie, mark, RECIPE, 5.0)
            assert found.failure is None
        with window.opened(ts_movie, mark) as found:
            # The store gives the film's first half, then nothing more.
            read = found.blocks.read
            half = ts_movie.num_bytes // 2

            def until_half(start: int, end: int) -> memoryview:
                proxy._rate = 1.0 if start >= half else 0.0
                return read(start, end)

            monkeypatch.setattr(found.blocks, "read", until_half)
            found.blocks._storage = found.blocks._storage.with_retries(0)
            with pytest.raises(SourceError, match=r"film\.ts"):
                read_all(found.url, ts_movie)
            with pytest.raises(SourceError):
                steps.run_segment(plan, plan.segments[-1])
            with pytest.raises(SourceError):
                steps.run_audio(plan)
            with pytest.raises(SourceError):
                steps.prepare(ts_movie, mark, RECIPE, 5.0)


def test_an_answer_that_breaks_off_goes_on_where_it_ended(
    ts_movie: Movie, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultProxy(s3_endpoint, rate=0.3, seed=2, faults=("truncate",)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        with window.opened(ts_movie, source.fingerprint(ts_movie)) as found:
            assert read_all(found.url, ts_movie) == FRAMES_BYTES
        assert proxy.num_faults > 5
        starts = [start % blocks.BLOCK_BYTES for _, start, _ in proxy.ranges]
        assert any(starts)


def test_a_film_that_is_replaced_while_it_is_read(
    ts_movie: Movie, s3_bucket: str, films: dict[str, Path]
) -> None:
    with window.opened(ts_movie, source.fingerprint(ts_movie)) as found:
        found.blocks.read(0, 10)
        # As many bytes as before: only the tag tells.
        other = bytearray(films["film.ts"].read_bytes())
        other[-100:] = bytes(100)
        Storage(s3_bucket).put("film.ts", other)
        with pytest.raises(SourceChangedError):
            read_all(found.url, ts_movie)
    with pytest.raises(SourceChangedError):
        window.opened(ts_movie, source.fingerprint(ts_movie)).__enter__()


def test_a_slow_store_is_no_idle_ffmpeg(films: dict[str, Path]) -> None:
    """Every block takes longer than an ffmpeg may give nothing; then one that really idles."""
    bounds = limits.Limits(no_progress_seconds=1.0)
    with (
        limits.applied(bounds),
        web_film(films["film.ts"], delay_seconds=1.3) as (movie, handler),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(blocks, "BLOCK_BYTES", 1 << 17)
        with window.opened(movie, source.fingerprint(movie)) as found:
            assert read_all(found.url, movie) == FRAMES_BYTES
            assert found.waited_seconds > 1.3
        handler.delay_seconds = 0.0
        with window.opened(movie, source.fingerprint(movie)) as found:
            # At the film's own pace into nothing.
            command = [ffmpeg_path(), "-re", "-i", found.url, "-f", "null", "-"]
            with (
                Run(command, what="a", wall_seconds=60) as run,
                pytest.raises(TimedOutError, match="no output"),
            ):
                run.read_some(1)


def test_a_store_that_gives_nothing_is_given_up(
    films: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with web_film(films["film.ts"]) as (movie, handler):
        with window.opened(movie, source.fingerprint(movie)) as found:
            handler.tag, handler.data = '"other"', b""
            found.blocks._storage = found.blocks._storage.with_retries(0)
            with pytest.raises(MediaError, match=r"film\.ts") as caught:
                read_all(found.url, movie)
        assert caught.value.kind == "transient"


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


def test_which_films_are_read_by_range(tmp_path: Path) -> None:
    remote = Movie(movie_id="a", uri="s3://b/a.mp4", group="a", num_bytes=3 << 30)
    local = replace(remote, uri="file:///a.mp4")
    ranged, staged = RunConfig(sources="ranged"), RunConfig(sources="staged")
    auto, small = RunConfig(), RunConfig(stage_gib=2.0)
    assert not any(access.is_by_range(local, c, 9) for c in (auto, small, ranged, staged))
    assert access.is_by_range(remote, ranged, 1)
    assert not access.is_by_range(remote, staged, 9)
    assert not access.is_by_range(remote, auto, 3)
    assert access.is_by_range(remote, auto, 4)
    assert access.is_by_range(remote, small, 1)


@pytest.mark.slow
def test_a_run_that_reads_by_range(
    films: dict[str, Path], s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = tmp_path / "films"
    folder.mkdir()
    for name in ("end.mp4", "film.mkv"):
        os.link(films[name], folder / name)
        Storage(s3_bucket).put(name, films[name])
    options = ["--segment-seconds", "4"]
    assert preprocess(folder, tmp_path / "whole", *options) == 0
    assert preprocess(s3_bucket, tmp_path / "out", *options, "--sources", "ranged") == 0
    assert shard_digests(tmp_path / "out") == shard_digests(tmp_path / "whole")


def shard_digests(out: Path) -> dict[str, str]:
    """Without the indices, which name where films come from."""
    return {name: text for name, text in digests(out).items() if name.endswith(".tar")}


def test_sound_and_picture_of_a_film_in_a_bucket(ts_movie: Movie, films: dict[str, Path]) -> None:
    here, there = check_sync(str(films["film.ts"]), "", -1), check_sync(ts_movie.uri, "", -1)
    assert here.probe == there.probe
    assert here.sound == there.sound
