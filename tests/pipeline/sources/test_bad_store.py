"""An unreliable bucket: sources, shards, commits and leases equal those of a reliable bucket."""

from __future__ import annotations

import fcntl
import http.server
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline.__main__ import main
from pipeline.errors import DiskFullError, SourceChangedError, SourceError
from pipeline.movie import steps, write_movie
from pipeline.movie.rows import Cost
from pipeline.movie.spool import AUDIO_PART, open_spool
from pipeline.sources import Movie, identity, staged
from pipeline.sources.corpus import find_movies
from shards_spec.dataset.validation.validator import validate
from shards_spec.errors import StorageError
from shards_spec.recipe import Recipe
from shards_spec.storage.storage import Storage
from tests.support.datasets.outcome import shard_digests
from tests.support.films.media import Film, make_film
from tests.support.films.opened import opened, source_of
from tests.support.films.oracle import decoded_audio
from tests.support.stores.fault_proxy import FaultProxy

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")

SMALL = ["--short-side", "32", "--num-frames", "8", "--seed", "3"]
GIB = 1 << 30


@pytest.fixture
def staging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder for copies of remote sources."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / f"reelshards-stage-{os.getuid()}"


def remote_movies(bucket: str, sizes: dict[str, int]) -> dict[str, Movie]:
    """Movies in a bucket, with the given sizes."""
    for name, size in sizes.items():
        Storage(bucket).put(f"{name}.mp4", name.encode() * (size // len(name)))
    return {movie.movie_id: movie for movie in find_movies(bucket)}


def letters(staging: Path) -> set[bytes]:
    """The first letters of the copies that exist."""
    return {path.read_bytes()[:1] for path in staging.glob("*/movie")}


def test_a_source_is_downloaded_once_for_many_tasks(
    s3_bucket: str, staging: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    movie = remote_movies(s3_bucket, {"a": 1000})["a"]
    fetched: list[str] = []
    stream_range = Storage.stream_range

    def slow(self: Storage, key: str, *args: Any, **options: Any) -> Iterator[memoryview]:
        fetched.append(key)
        time.sleep(0.3)
        yield from stream_range(self, key, *args, **options)

    monkeypatch.setattr(Storage, "stream_range", slow)

    def use(_: int) -> bytes:
        with staged.staged_copy(movie, 1.0) as path:
            return path.read_bytes()

    with ThreadPoolExecutor(5) as pool:
        assert set(pool.map(use, range(5))) == {b"a" * 1000}
    assert fetched == ["a.mp4"]


def test_copies_are_limited_and_used_copies_are_kept(
    s3_bucket: str, staging: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    movies = remote_movies(s3_bucket, dict.fromkeys("abcd", 1000))
    room = 2500 / GIB
    for name in "ab":
        with staged.staged_copy(movies[name], room):
            pass
    with staged.staged_copy(movies["a"], room) as kept:
        with staged.staged_copy(movies["c"], room):
            # `b` was the only unused one.
            assert letters(staging) == {b"a", b"c"}
            monkeypatch.setattr(staged, "_WAIT_FOR_ROOM_SECONDS", 0.1)
            with pytest.raises(DiskFullError, match="--stage-gib"):
                staged.staged_copy(movies["d"], room).__enter__()
        staged.delete_copy(movies["a"])
        assert kept.exists()
    staged.delete_copy(movies["a"])
    staged.delete_copy(movies["c"])
    assert letters(staging) == set()


def test_a_copy_whose_folder_was_deleted_meanwhile_is_fetched_again(
    s3_bucket: str, staging: Path
) -> None:
    movie = remote_movies(s3_bucket, {"a": 1000})["a"]
    folder = staged.stage_folder(movie)
    folder.mkdir(parents=True)
    lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)

    def use() -> bytes:
        with staged.staged_copy(movie, 1.0) as path:
            return path.read_bytes()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(use)
        time.sleep(0.2)
        (folder / "lock").unlink()
        os.close(lock)
        assert waiting.result(timeout=20) == b"a" * 1000


def test_a_source_that_changes_is_noticed(s3_bucket: str, staging: Path) -> None:
    movie = remote_movies(s3_bucket, {"a": 1000})["a"]
    identity.require_unchanged(movie)
    Storage(s3_bucket).put("a.mp4", b"b" * 1000)
    with pytest.raises(SourceChangedError):
        identity.require_unchanged(movie)
    with pytest.raises(SourceChangedError):
        staged.staged_copy(movie, 1.0).__enter__()
    assert identity.looked_up(movie).etag != movie.etag
    gone = replace(movie, uri=movie.uri.replace("a.mp4", "gone.mp4"))
    with pytest.raises(SourceError):
        staged.staged_copy(gone, 1.0).__enter__()
    assert letters(staging) == set()


def write_undisturbed(film: Path, out: Storage) -> None:
    """Write a movie's shards directly by the pipeline's steps, without Ray, to a reliable store."""
    (movie,) = find_movies(str(film))
    recipe = Recipe(short_side=32, num_frames=8, seed=3)
    plan = steps.prepare(movie, opened(movie), recipe, 300.0)
    sound, data = decoded_audio(plan)
    segments = []
    with open_spool() as spool:
        spool.add(AUDIO_PART, [data])
        for part in plan.segments:
            segment, data = steps.run_segment(plan, part, source_of(plan))
            segments.append(segment)
            spool.add(segment.number, [data])
        write_movie(plan, out, Cost(1, 0.0, 0.0), sound, segments, spool)


def test_a_truncated_listing_is_requested_again(
    s3_bucket: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Storage(s3_bucket).put("a", b"x")
    faults = {"rate": 0.5, "seed": 1, "faults": ("truncate",), "every_request": True}
    with FaultProxy(s3_endpoint, **faults) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        storage = Storage(s3_bucket)
        for _ in range(5):
            assert [info.key for info in storage.list()] == ["a"]
        assert proxy.num_faults >= 2
        proxy.rate = 1.0
        with pytest.raises(StorageError, match="could not list"):
            list(storage.with_retries(2).list())


@pytest.mark.usefixtures("local_ray")
def test_a_run_stops_when_no_node_has_space_for_a_source(
    s3_bucket: str, capfd: pytest.CaptureFixture[str], staging: Path
) -> None:
    """A full disk is not the movies' fault: none is quarantined."""
    remote_movies(s3_bucket, {f"film-{number}": 100_000 for number in range(6)})
    # Not enough space for any of them.
    words = ["--sources", "staged", "--stage-gib", "0.00001"]
    words += ["--max-attempts", "1", "--stop-after", "3"]
    assert main(["preprocess", s3_bucket, "--out", f"{s3_bucket}/out", *SMALL, *words]) == 2
    said = capfd.readouterr().err
    assert "'disk_full'" in said
    assert "--stage-gib" in said
    assert not list(Storage(f"{s3_bucket}/out").list("commits"))


class RangeHandler(http.server.SimpleHTTPRequestHandler):
    """A plain web server for files, with ETags like real servers."""

    def end_headers(self) -> None:
        self.send_header("ETag", '"film"')
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.mark.usefixtures("local_ray")
def test_movies_from_a_web_server(tmp_path: Path) -> None:
    """A manifest on the server lists them; the shards equal those of the movie as a file."""
    films, whole = tmp_path / "films", Storage(str(tmp_path / "whole"), create=True)
    films.mkdir()
    film = make_film(films / "one film.mp4", Film(seconds=5, width=96, height=64))
    write_undisturbed(film, whole)
    (films / "corpus.csv").write_text("uri,movie_id\none%20film.mp4,one-film\n")
    handler = partial(RangeHandler, directory=str(films))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        corpus = f"http://127.0.0.1:{server.server_port}/corpus.csv"
        assert main(["preprocess", corpus, "--out", str(tmp_path / "out"), *SMALL]) == 0
        server.shutdown()
    out = Storage(str(tmp_path / "out"))
    assert shard_digests(out) == shard_digests(whole)
    assert validate(out).ok


@pytest.mark.parametrize(
    ("sources", "stall_seconds", "seed", "bound_seconds"),
    [
        pytest.param("staged", 2.0, 1, 280.0, id="short stalls", marks=pytest.mark.slow),
        pytest.param("staged", 30.0, 22, 400.0, id="long stalls", marks=pytest.mark.slow),
        pytest.param("ranged", 30.0, 15, 400.0, id="by range, long", marks=pytest.mark.slow),
    ],
)
def test_a_run_on_an_unreliable_store(
    sources: str,
    stall_seconds: float,
    seed: int,
    bound_seconds: float,
    s3_bucket: str,
    s3_endpoint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """5 % of all requests fail: errors, resets, truncated responses, stalls; time is limited."""
    films, whole = Storage(f"{s3_bucket}/films"), Storage(str(tmp_path / "whole"), create=True)
    for number in range(4):
        path = make_film(tmp_path / f"{number}.mp4", Film(seconds=5 + number, width=96, height=64))
        films.put(path.name, path)
        write_undisturbed(path, whole)
    command = ["preprocess", f"{s3_bucket}/films", *SMALL, "--segment-seconds", "2"]
    command += ["--sources", sources]
    proxy = FaultProxy(
        s3_endpoint, rate=0.05, seed=seed, every_request=True, stall_seconds=stall_seconds
    )
    with proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        started = time.monotonic()
        assert main([*command, "--out", f"{s3_bucket}/out", "--retry-seconds", "0.1"]) == 0
        assert time.monotonic() - started < bound_seconds
        assert proxy.num_faults >= 2
        assert proxy.counts["stall"] >= 1, proxy.counts
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    out = Storage(f"{s3_bucket}/out")
    assert shard_digests(out) == shard_digests(whole)
    assert validate(out).ok
    assert not list(out.list("run.lock"))
