"""Which sources count as the same: two movies are never confused, and no change goes unseen."""

from __future__ import annotations

import http.server
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import RunConfig
from pipeline.errors import SourceChangedError, SourceError
from pipeline.movie.rows import Cost, bare_row
from pipeline.run.work_list import plan_run
from pipeline.sources import Movie, identity
from pipeline.sources.access import open_source
from pipeline.sources.corpus import find_movies
from pipeline.sources.identity import fingerprint
from pipeline.sources.staged import stage_folder, staged_copy
from shards_spec.dataset.index import write_commit
from shards_spec.recipe import Recipe
from shards_spec.storage import Storage

SIZE = 400_000


class _Files(http.server.SimpleHTTPRequestHandler):
    """Files as `python -m http.server` serves them: with a time, without ETags and ranges."""

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


class _Bare(_Files):
    """A server that says nothing but the size."""

    def send_header(self, keyword: str, value: str) -> None:
        if keyword != "Last-Modified":
            super().send_header(keyword, value)


class _Ranges(_Bare):
    """One that also understands ranges."""

    def do_GET(self) -> None:
        data = Path(self.translate_path(self.path)).read_bytes()
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        part = data[int(first) : int(last or len(data)) + 1]
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}")
        self.end_headers()
        self.wfile.write(part)


class _Tagged(_Ranges):
    """One whose ETags are made from size and time, as nginx makes them."""

    def end_headers(self) -> None:
        status = os.stat(self.translate_path(self.path))
        self.send_header("ETag", f'"{int(status.st_mtime):x}-{status.st_size:x}"')
        super().end_headers()


SERVERS = {"http.server": _Files, "bare": _Bare, "ranges": _Ranges, "tagged": _Tagged}


@contextmanager
def served(folder: Path, kind: type[_Files]) -> Iterator[str]:
    """The address of a web server for a folder."""
    handler = partial(kind, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        # Clients close connections when they have read enough.
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(autouse=True)
def _own_staging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "staging").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "staging"))


def write(path: Path, letter: str, when: int = 1_000_000_000) -> Path:
    """A file of one size and time whose content is its letter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(letter.encode() * SIZE)
    os.utime(path, (when, when))
    return path


def of_web(url: str, *names: str) -> list[Movie]:
    """The movies at an address."""
    return [find_movies(f"{url}/{name}")[0] for name in names]


@pytest.mark.parametrize("kind", SERVERS)
def test_movies_of_equal_size_are_not_confused(tmp_path: Path, kind: str) -> None:
    for letter in "ab":
        write(tmp_path / "web" / f"{letter}.mp4", letter)
    with served(tmp_path / "web", SERVERS[kind]) as url, ExitStack() as copies:
        first, second = of_web(url, "a.mp4", "b.mp4")
        assert fingerprint(first) != fingerprint(second)
        assert stage_folder(first) != stage_folder(second)
        # Both are in use at the same time.
        contents = [
            copies.enter_context(staged_copy(movie, 1.0)).read_bytes() for movie in (first, second)
        ]
        assert contents == [b"a" * SIZE, b"b" * SIZE]


@pytest.mark.parametrize("kind", SERVERS)
def test_copies_of_a_movie_have_one_fingerprint_and_copies_of_their_own(
    tmp_path: Path, kind: str
) -> None:
    write(tmp_path / "web" / "a.mp4", "a")
    write(tmp_path / "web" / "sub" / "b.mp4", "a", when=1_000_009_999)
    with served(tmp_path / "web", SERVERS[kind]) as url:
        first, second = of_web(url, "a.mp4", "sub/b.mp4")
        assert fingerprint(first) == fingerprint(second)
        assert stage_folder(first) != stage_folder(second)


def test_parts_of_a_movie_have_fingerprints_of_their_own(tmp_path: Path) -> None:
    (movie,) = find_movies(str(write(tmp_path / "a.mp4", "a")))
    assert fingerprint(movie) != fingerprint(replace(movie, start_seconds=5.0))


@pytest.mark.parametrize("kind", ["http.server", "tagged", "ranges"])
def test_a_change_of_equal_size_is_seen_on_the_web(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "web" / "a.mp4", "a")
    with served(tmp_path / "web", SERVERS[kind]) as url:
        (before,) = of_web(url, "a.mp4")
        seen = fingerprint(before)
        if kind == "ranges":
            # Without a time, only samples can tell.
            path.write_bytes(b"a" * (SIZE // 2) + b"z" * (SIZE // 2))
            (after,) = of_web(url, "a.mp4")
            assert fingerprint(after) != seen
            return
        path.write_bytes(b"a" * 100_000 + b"z" + b"a" * (SIZE - 100_001))
        os.utime(path, (1_000_000_001, 1_000_000_001))
        (after,) = of_web(url, "a.mp4")
        assert not identity.is_same_source(before, after)
        with pytest.raises(SourceChangedError, match="still being written"):
            identity.require_unchanged(before)
        with pytest.raises(SourceChangedError):
            staged_copy(before, 1.0).__enter__()


def preallocated(path: Path) -> None:
    """A download of which two parts arrived, in a file of the full size."""
    path.write_bytes(b"\0" * (8 << 20))
    with path.open("r+b") as file:
        file.write(b"m" * (3 << 19))
        file.seek(-(3 << 19), os.SEEK_END)
        file.write(b"m" * (3 << 19))
    # Long ago: whatever is written now has another time, however coarse the clock is.
    os.utime(path, (1_000_000_000, 1_000_000_000))


def completed(path: Path) -> None:
    """The rest of it."""
    with path.open("r+b") as file:
        file.seek(3 << 20)
        file.write(b"m" * 5000)


def planned(movie: Movie, storage: Storage) -> dict[str, str]:
    """Why the next run processes a movie that has a row with what is known of it now."""
    work = plan_run([movie], storage, Recipe(), RunConfig())
    assert len(work.keep) + len(work.process) == 1
    return work.reasons


def committed(movie: Movie, storage: Storage, **columns: Any) -> None:
    """A dataset with the row of a movie."""
    row = bare_row(movie, fingerprint(movie), Recipe(), "skipped", Cost(1, 0.0, 0.0))
    row = replace(row, error_class="too_short", error="x", **columns)
    write_commit(storage, row, [])


def test_a_download_that_is_complete_now_is_processed_again(tmp_path: Path) -> None:
    path, storage = tmp_path / "a.mp4", Storage(str(tmp_path / "out"), create=True)
    preallocated(path)
    (partial_movie,) = find_movies(str(path))
    committed(partial_movie, storage)
    assert planned(partial_movie, storage) == {}
    completed(path)
    (movie,) = find_movies(str(path))
    # The samples do not see it.
    assert fingerprint(movie) == fingerprint(partial_movie)
    assert planned(movie, storage) == {movie.movie_id: "the source was modified since"}


def grown(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"m")


def replaced(path: Path) -> None:
    other = path.with_suffix(".new")
    shutil.copyfile(path, other)
    other.replace(path)


def touched(path: Path) -> None:
    os.utime(path, (5, 5))


@pytest.mark.parametrize("change", [completed, grown, replaced, touched])
def test_a_file_that_is_written_while_it_is_read_is_noticed(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    path = tmp_path / "a.mp4"
    preallocated(path)
    (movie,) = find_movies(str(path))
    with open_source(movie, fingerprint(movie)):
        change(path)
    with pytest.raises(SourceChangedError, match=r"a\.mp4.*still being written"):
        identity.require_unchanged(movie)
    with pytest.raises(SourceChangedError), open_source(movie, fingerprint(movie)):
        pass


def test_rows_of_earlier_versions_are_kept(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "out"), create=True)
    write(tmp_path / "web" / "a.mp4", "a")
    (local,) = find_movies(str(tmp_path / "web"))
    committed(local, storage, source_modified_ns=0)
    assert planned(local, storage) == {}
    with served(tmp_path / "web", _Tagged) as url:
        (tagged,) = of_web(url, "a.mp4")
        committed(
            tagged,
            storage,
            source_modified_ns=0,
            source_fingerprint=identity.former_fingerprint(tagged),
        )
        assert planned(tagged, storage) == {}
    # A server without ETags: what was called the same may have been another movie.
    with served(tmp_path / "web", _Files) as url:
        (bare,) = of_web(url, "a.mp4")
        assert identity.former_fingerprint(bare) == ""


def test_a_new_upload_of_the_same_content_is_kept(s3_bucket: str, tmp_path: Path) -> None:
    out, bucket = Storage(str(tmp_path / "out"), create=True), Storage(s3_bucket)
    bucket.put("a.mp4", b"a" * 1000)
    (movie,) = find_movies(s3_bucket)
    assert movie.modified_ns > 0
    committed(movie, out, source_modified_ns=movie.modified_ns - 10**12)
    assert planned(movie, out) == {}
    bucket.put("a.mp4", b"b" * 1000)
    (other,) = find_movies(s3_bucket)
    assert planned(other, out) == {"a": "the source changed"}


def test_a_source_that_cannot_be_sampled_has_no_fingerprint(tmp_path: Path) -> None:
    write(tmp_path / "web" / "a.mp4", "a")
    with served(tmp_path / "web", _Files) as url:
        (movie,) = of_web(url, "a.mp4")
        (tmp_path / "web" / "a.mp4").unlink()
        with pytest.raises(SourceError, match=r"a\.mp4"):
            fingerprint(movie)
