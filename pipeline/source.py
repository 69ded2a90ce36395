"""From a movie's URI to a local file that ffmpeg can read, and the source's fingerprint.

Local movies are read in place. Remote ones are copied once per machine into a folder named by
their fingerprint, under a file lock: the first task that needs a copy fetches it, the others wait
for it, and as long as a task holds it nobody deletes it. Copies that nobody holds make room for new
ones, the longest unused first.

    <temporary folder>/reelshards-stage-<user>/<fingerprint>/lock    shared: in use; whole: fetching
                                                            /bytes   how much room it takes
                                                            /movie   appears whole or not at all
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from pipeline.corpus import Movie
from pipeline.errors import (
    DiskFullError,
    OutsideCorpusError,
    SourceChangedError,
    SourceDeniedError,
    SourceError,
    UnreadableError,
)
from shards_spec.errors import AccessDeniedError, StorageError
from shards_spec.storage import Storage

#: Bytes hashed at the start, the middle and the end of a local file.
_PROBE_BYTES = 1 << 20

_GIB = 1 << 30
#: How long a task waits for copies in use to be done with before it calls the disk full.
_WAIT_FOR_ROOM_SECONDS = 600.0


def fingerprint(movie: Movie) -> str:
    """16 hex digits of what is wanted of the source, and of its size and content samples or ETag.

    Raises `SourceError` when the source cannot be looked at.
    """
    wanted = f"{movie.language} {movie.audio_track} {movie.start_seconds} {movie.end_seconds}"
    digest = hashlib.sha256(wanted.encode())
    if not is_local(movie):
        digest.update(f"{movie.num_bytes} {movie.etag}".encode())
        return digest.hexdigest()[:16]
    path = local_file(movie)
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest.update(str(size).encode())
            for offset in sorted({0, max(0, size // 2), max(0, size - _PROBE_BYTES)}):
                file.seek(offset)
                digest.update(file.read(_PROBE_BYTES))
    except OSError as error:
        raise SourceError(f"{movie.name}: cannot read {movie.uri}: {error.strerror}") from error
    return digest.hexdigest()[:16]


def is_local(movie: Movie) -> bool:
    """Whether the source lies in a file system."""
    return urlsplit(movie.uri).scheme == "file"


def local_file(movie: Movie) -> Path:
    """Path of a local movie.

    Raises `OutsideCorpusError` for a link that leads out of the corpus, and for what is no regular
    file: a pipe or device gives bytes without end, or none for ever.
    """
    path = Path(os.fsdecode(unquote_to_bytes(urlsplit(movie.uri).path)))
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise UnreadableError(f"{movie.name}: the name is no valid UTF-8; rename it") from error
    real = Path(os.path.realpath(path))
    if movie.root and not real.is_relative_to(movie.root):
        raise OutsideCorpusError(
            f"{movie.name}: a link that leads out of the corpus; "
            "give --follow-links if that is meant"
        )
    if real.exists() and not real.is_file():
        raise OutsideCorpusError(f"{movie.name}: no regular file; remove it from the corpus")
    return path


def looked_up(movie: Movie) -> Movie:
    """The movie with its size and ETag as they are now; a local one as it is."""
    if is_local(movie):
        return movie
    storage, key = _place(movie)
    info = storage.head(key)
    return replace(movie, num_bytes=info.size, etag=info.etag)


def require_unchanged(movie: Movie) -> None:
    """Raise `SourceChangedError` when a remote source is not the one that the run began with.

    A local one is compared by its fingerprint, see `pipeline.movie`.
    """
    with _source_errors(movie):
        now = looked_up(movie)
    if (now.num_bytes, now.etag) != (movie.num_bytes, movie.etag):
        raise SourceChangedError(
            f"{movie.name}: the source changed since the run began; the next run takes it anew"
        )


def stage(movie: Movie, source_fingerprint: str) -> Path:
    """The local file of a movie; for a remote one inside of `held` only."""
    if is_local(movie):
        return local_file(movie)
    return stage_folder(source_fingerprint) / "movie"


@contextlib.contextmanager
def held(movie: Movie, source_fingerprint: str, stage_gib: float) -> Iterator[Path]:
    """Have the movie's bytes in a local file; a remote movie is fetched unless already here.

    Raises:
        MediaError: the source cannot be had, is another one by now, or there is no room for it.
        AccessDeniedError: there are no credentials at all.
    """
    if is_local(movie):
        yield local_file(movie)
        return
    folder = stage_folder(source_fingerprint)
    while True:
        with _locked(folder) as lock:
            path = folder / "movie"
            if not path.exists():
                _fetch(movie, folder, stage_gib)
            os.utime(path)
            # The change of the lock is not atomic: someone may have deleted the copy in between.
            fcntl.flock(lock, fcntl.LOCK_SH)
            if path.exists():
                yield path
                return


def unstage(source_fingerprint: str) -> None:
    """Delete this machine's copy of a remote movie, unless someone uses it."""
    _delete(stage_folder(source_fingerprint))


def stage_folder(source_fingerprint: str) -> Path:
    """Where this machine keeps its copy of a remote movie."""
    return _stage_root() / source_fingerprint


def _stage_root() -> Path:
    return Path(tempfile.gettempdir()) / f"reelshards-stage-{os.getuid()}"


def _place(movie: Movie) -> tuple[Storage, str]:
    parent, _, key = movie.uri.rpartition("/")
    return Storage(parent), key


def _fetch(movie: Movie, folder: Path, stage_gib: float) -> None:
    """Copy a remote movie into its folder, whose lock the caller holds."""
    _make_room(movie, folder, round(stage_gib * _GIB))
    storage, key = _place(movie)
    handle, temporary = tempfile.mkstemp(dir=folder)
    os.close(handle)
    try:
        require_unchanged(movie)
        with _source_errors(movie):
            storage.download(key, Path(temporary))
        if Path(temporary).stat().st_size != movie.num_bytes:
            raise SourceError(f"{movie.name}: the copy is incomplete")
        Path(temporary).replace(folder / "movie")
    finally:
        Path(temporary).unlink(missing_ok=True)


def _make_room(movie: Movie, folder: Path, limit: int) -> None:
    """Reserve room for a movie among the copies; delete unused ones, the longest unused first."""
    root = folder.parent
    wanted = movie.num_bytes
    deadline = time.monotonic() + _WAIT_FOR_ROOM_SECONDS
    while wanted <= limit:
        with (root / "room.lock").open("w") as room:
            fcntl.flock(room, fcntl.LOCK_EX)
            others = [path for path in root.iterdir() if path.is_dir() and path != folder]
            others.sort(key=_last_used)
            taken = sum(map(_num_bytes, others))
            for path in others:
                free = shutil.disk_usage(root).free
                if taken + wanted <= limit and wanted <= free:
                    break
                size = _num_bytes(path)
                taken -= size if _delete(path) else 0
            if taken + wanted <= limit and wanted <= shutil.disk_usage(root).free:
                (folder / "bytes").write_text(str(wanted))
                return
        if time.monotonic() > deadline:
            break
        time.sleep(1.0)
    raise DiskFullError(
        f"{movie.name}: no room for {wanted / _GIB:.1f} GiB among the copies in {root}, which may "
        f"take {limit / _GIB:.1f} GiB; make room on the node or raise --stage-gib"
    )


def _num_bytes(folder: Path) -> int:
    try:
        return int((folder / "bytes").read_text())
    except (OSError, ValueError):
        return 0


def _last_used(folder: Path) -> float:
    try:
        return (folder / "movie").stat().st_mtime
    except OSError:
        return 0.0


def _delete(folder: Path) -> bool:
    """Delete a copy unless it is in use; whether it is gone."""
    try:
        with (folder / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[int]:
    """The whole lock of a copy's folder, which is made when missing."""
    while True:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if folder.stat().st_uid != os.getuid():
            raise SourceError(f"{folder} belongs to another user; set TMPDIR to a folder of yours")
        try:
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if _is_file(lock, folder / "lock"):
                yield lock
                return
        finally:
            os.close(lock)


def _is_file(handle: int, path: Path) -> bool:
    """Whether an open lock is still that of its folder: whoever held it may have deleted that."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _source_errors(movie: Movie) -> Iterator[None]:
    try:
        yield
    except AccessDeniedError as error:
        # Without any credentials no source can be had; with some, this one may be another's.
        if "no credentials" in str(error):
            raise
        raise SourceDeniedError(f"{movie.name}: {error}") from error
    except StorageError as error:
        if "No space left" in str(error) or "os error 28" in str(error):
            raise DiskFullError(f"{movie.name}: {error}") from error
        raise SourceError(f"{movie.name}: {error}") from error
