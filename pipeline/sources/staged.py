"""Copies of remote movies on a node's disk.

A movie is copied once per machine into a folder named after its fingerprint, under a file lock: the
first task that needs a copy downloads it, the others wait for it, and it is not deleted while a
task uses it. Unused copies are deleted for new ones, the least recently used first.

    <temporary folder>/reelshards-stage-<user>/<fingerprint>/
        lock     shared: in use; exclusive: downloading
        bytes    size of the movie
        movie    appears only when complete
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

#: How long a task waits for copies in use to become free before it reports a full disk.
_WAIT_FOR_ROOM_SECONDS = 600.0


@contextlib.contextmanager
def staged_copy(movie: Movie, source_fingerprint: str, stage_gib: float) -> Iterator[Path]:
    """A local copy of a remote movie, downloaded unless this machine has it.

    Raises:
        MovieError: the source is unavailable, has changed, or does not fit on the disk.
        NoCredentialsError: there are no credentials at all.
    """
    folder = stage_folder(source_fingerprint)
    while True:
        with _locked(folder) as lock:
            path = folder / "movie"
            if not path.exists():
                _fetch(movie, folder, stage_gib)
            os.utime(path)
            # Changing the lock is not atomic: another task may have deleted the copy in between.
            fcntl.flock(lock, fcntl.LOCK_SH)
            if path.exists():
                yield path
                return


def delete_copy(source_fingerprint: str) -> None:
    """Delete this machine's copy of a remote movie, unless it is in use."""
    _delete(stage_folder(source_fingerprint))


def stage_folder(source_fingerprint: str) -> Path:
    """Folder of this machine's copy of a remote movie."""
    return _stage_root() / source_fingerprint


def _stage_root() -> Path:
    return Path(tempfile.gettempdir()) / f"reelshards-stage-{os.getuid()}"


def _fetch(movie: Movie, folder: Path, stage_gib: float) -> None:
    """Download a remote movie into its folder, whose lock the caller holds."""
    _reserve(movie, folder, round(stage_gib * GIB))
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


def _reserve(movie: Movie, folder: Path, limit: int) -> None:
    """Reserve disk space for a movie; delete unused copies, the least recently used first."""
    root = folder.parent
    needed = movie.num_bytes
    deadline = time.monotonic() + _WAIT_FOR_ROOM_SECONDS
    while needed <= limit:
        with (root / "room.lock").open("w") as room:
            fcntl.flock(room, fcntl.LOCK_EX)
            others = [path for path in root.iterdir() if path.is_dir() and path != folder]
            others.sort(key=_last_used)
            taken = sum(map(_num_bytes, others))
            for path in others:
                free = shutil.disk_usage(root).free
                if taken + needed <= limit and needed <= free:
                    break
                size = _num_bytes(path)
                taken -= size if _delete(path) else 0
            if taken + needed <= limit and needed <= shutil.disk_usage(root).free:
                (folder / "bytes").write_text(str(needed))
                return
        if time.monotonic() > deadline:
            break
        time.sleep(1.0)
    raise DiskFullError(
        f"{movie.name}: no space for {needed / GIB:.1f} GiB in {root}, which may take "
        f"{limit / GIB:.1f} GiB; free disk space on the node or raise --stage-gib"
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
    """Delete a copy unless it is in use; returns whether it is gone."""
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
    """The exclusive lock of a copy's folder, which is created if missing."""
    while True:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if folder.stat().st_uid != os.getuid():
            raise SourceError(
                f"{folder} belongs to another user; set TMPDIR to a folder of your own"
            )
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
    """Whether an open lock file is still in its folder, which its last holder may have deleted."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
