"""Copies of remote movies on a node's disk.

A movie is copied once per machine into a folder named by its fingerprint, under a file lock: the
first task that needs a copy fetches it, the others wait for it, and as long as a task holds it
nobody deletes it. Copies that nobody holds make room for new ones, the longest unused first.

    <temporary folder>/reelshards-stage-<user>/<fingerprint>/lock    shared: in use; whole: fetching
                                                            /bytes   how much room it takes
                                                            /movie   appears whole or not at all
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import DiskFullError, SourceError
from pipeline.limits import GIB
from pipeline.sources import identity
from pipeline.sources.movie import Movie

#: How long a task waits for copies in use to be done with before it calls the disk full.
_WAIT_FOR_ROOM_SECONDS = 600.0


@contextlib.contextmanager
def staged_copy(movie: Movie, source_fingerprint: str, stage_gib: float) -> Iterator[Path]:
    """Have a remote movie's bytes in a local file; they are fetched unless already here.

    Raises:
        MovieError: the source cannot be had, is another one by now, or there is no room for it.
        NoCredentialsError: there are no credentials at all.
    """
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


def delete_copy(source_fingerprint: str) -> None:
    """Delete this machine's copy of a remote movie, unless someone uses it."""
    _delete(stage_folder(source_fingerprint))


def stage_folder(source_fingerprint: str) -> Path:
    """Where this machine keeps its copy of a remote movie."""
    return _stage_root() / source_fingerprint


def _stage_root() -> Path:
    return Path(tempfile.gettempdir()) / f"reelshards-stage-{os.getuid()}"


def _fetch(movie: Movie, folder: Path, stage_gib: float) -> None:
    """Copy a remote movie into its folder, whose lock the caller holds."""
    _make_room(movie, folder, round(stage_gib * GIB))
    storage, key = identity.store_and_key(movie)
    handle, temporary = tempfile.mkstemp(dir=folder)
    os.close(handle)
    try:
        identity.require_unchanged(movie)
        with identity.movie_errors(movie):
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
        f"{movie.name}: no room for {wanted / GIB:.1f} GiB among the copies in {root}, which may "
        f"take {limit / GIB:.1f} GiB; make room on the node or raise --stage-gib"
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
