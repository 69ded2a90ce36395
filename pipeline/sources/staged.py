"""Copies of remote movies on a node's disk.

A movie is copied once per machine into a folder named after its address and all that its store says
about it, under a file lock: the first task that needs a copy downloads it, the others wait for it,
and it is not deleted while a task uses it. Unused copies are deleted for new ones, the least
recently used first. No other user of the machine can read, replace or plant a copy.

    <temporary folder>/reelshards-stage-<user>/<digest>/
        lock     shared: in use; exclusive: downloading
        bytes    size of the movie
        movie    appears only when complete
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import DiskFullError, SourceError
from pipeline.limits import GIB, Limits
from pipeline.other_users import is_own_file, open_private, private_folder
from pipeline.sources import identity
from pipeline.sources.fetch import arriving
from pipeline.sources.movie import Movie

#: How long a task waits for copies in use to become free before it reports a full disk.
_WAIT_FOR_ROOM_SECONDS = 600.0


@contextlib.contextmanager
def staged_copy(movie: Movie, stage_gib: float, limits: Limits | None = None) -> Iterator[Path]:
    """A local copy of a remote movie, downloaded unless this machine has it.

    Raises:
        MovieError: the source is unavailable, has changed, or does not fit on the disk.
        NoCredentialsError: there are no credentials at all.
    """
    folder = stage_folder(movie)
    while True:
        with _locked(folder) as lock:
            path = folder / "movie"
            if not is_own_file(path):
                _fetch(movie, folder, stage_gib, limits or Limits())
            os.utime(path, follow_symlinks=False)
            # Changing the lock is not atomic: another task may have deleted the copy in between.
            fcntl.flock(lock, fcntl.LOCK_SH)
            if is_own_file(path):
                yield path
                return


def delete_copy(movie: Movie) -> None:
    """Delete this machine's copy of a remote movie, unless it is in use."""
    # Without a check, the folder could be a link that another user made.
    if os.path.lexists(_stage_root()):
        private_folder(_stage_root())
        _delete(stage_folder(movie))


def stage_folder(movie: Movie) -> Path:
    """Folder of this machine's copy of a remote movie.

    Not named after the fingerprint: other movies may have the same.
    """
    known = f"{movie.uri}\n{identity.object_info(movie)}"
    return _stage_root() / hashlib.sha256(known.encode()).hexdigest()[:32]


def _stage_root() -> Path:
    return Path(tempfile.gettempdir()) / f"reelshards-stage-{os.getuid()}"


def _fetch(movie: Movie, folder: Path, stage_gib: float, limits: Limits) -> None:
    """Download a remote movie into its folder, whose lock the caller holds."""
    _reserve(movie, folder, round(stage_gib * GIB))
    identity.require_unchanged(movie)
    storage, _ = identity.store_and_key(movie)
    handle, temporary = tempfile.mkstemp(dir=folder)
    try:
        with open(handle, "wb") as file, identity.movie_errors(movie):
            info = identity.object_info(movie)
            for piece in arriving(storage, info, 0, movie.num_bytes, limits):
                file.write(piece)
        Path(temporary).replace(folder / "movie")
    except OSError as error:
        # Errors of the store are of other classes, so this one is about the disk.
        kind = DiskFullError if error.errno in (errno.ENOSPC, errno.EDQUOT) else SourceError
        raise kind(f"{movie.name}: cannot write its copy: {error.strerror}") from error
    finally:
        Path(temporary).unlink(missing_ok=True)


def _reserve(movie: Movie, folder: Path, limit: int) -> None:
    """Reserve disk space for a movie; delete unused copies, the least recently used first."""
    root = folder.parent
    needed = movie.num_bytes
    deadline = time.monotonic() + _WAIT_FOR_ROOM_SECONDS
    while needed <= limit:
        with open(open_private(root / "room.lock", os.O_WRONLY), "w") as room:
            fcntl.flock(room, fcntl.LOCK_EX)
            others = [path for path in root.iterdir() if _is_folder(path) and path != folder]
            others.sort(key=_last_used)
            taken = sum(map(_num_bytes, others))
            for path in others:
                free = shutil.disk_usage(root).free
                if taken + needed <= limit and needed <= free:
                    break
                size = _num_bytes(path)
                taken -= size if _delete(path) else 0
            if taken + needed <= limit and needed <= shutil.disk_usage(root).free:
                handle = open_private(folder / "bytes", os.O_WRONLY)
                with open(handle, "w") as size_file:
                    size_file.truncate(0)
                    size_file.write(str(needed))
                return
        if time.monotonic() > deadline:
            break
        time.sleep(1.0)
    raise DiskFullError(
        f"{movie.name}: no space for {needed / GIB:.1f} GiB in {root}, which may take "
        f"{limit / GIB:.1f} GiB; free disk space on the node or raise --stage-gib"
    )


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


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
        with open(os.open(folder / "lock", os.O_RDONLY | os.O_NOFOLLOW), "rb") as lock:
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
        private_folder(folder.parent)
        try:
            private_folder(folder)
            lock = open_private(folder / "lock", os.O_RDWR)
        except FileNotFoundError:
            # Another task has just deleted the copy.
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
        return os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False
