"""A local cache of clips, bounded in bytes, shared by processes and jobs.

A clip's file is named by a hash of what it must contain (clip id, length, checksum), so the cache
outlives datasets that grow and never serves another dataset's bytes. It holds single clips and not
ranges, because ranges change from epoch to epoch. Only bytes whose checksum was right go in, and
they are checked again when they come out. Files appear under their names whole; what `kill -9`
leaves behind is removed with the least recently used clips.

Writers hold a lock, and the sum of sizes stands in the locked file, so the bound holds for all
users together. The sum is an upper estimate: a clip that two processes add counts twice until the
next clean-up measures anew. Use a local disk.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shards_spec.errors import InputError
from trainer.fetch.clip_location import ClipPlace

_log = logging.getLogger(__name__)

#: What a clean-up leaves, as a share of the bound.
KEPT_SHARE = 0.9

_SIZE_FILE = "size"
_DIGITS = 32


class ClipCache:
    """Bytes of clips by what they must be; may be used from any thread and process."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """Make the folder. Raises `InputError` when there can be none, or nothing may be in it."""
        if max_bytes <= 0:
            raise InputError(
                f"stream: cache_bytes = {max_bytes} leaves no room in cache_dir = {str(folder)!r}; "
                "raise it, or leave cache_dir empty to do without a cache"
            )
        self._folder, self._max_bytes = folder, max_bytes
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"stream: cache_dir = {str(folder)!r} cannot be made: {error.strerror}; name a "
                "folder on a local disk, or leave it empty to do without a cache"
            ) from error
        self._has_failed = False

    def get(self, clip: ClipPlace) -> bytes | None:
        """The clip's bytes, not checked; None when they are not here."""
        try:
            file = os.open(self._path(clip), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            # One more byte than it should have, so that a longer file is found out.
            data = os.read(file, clip.tar_bytes + 1)
            os.utime(file)
        except OSError:
            return None
        finally:
            os.close(file)
        return data

    def put(self, clip: ClipPlace, data: bytes | memoryview) -> None:
        """Keep a clip's bytes, if there is room for so many at all."""
        if len(data) > KEPT_SHARE * self._max_bytes:
            return
        path = Path(self._path(clip))
        # A name that no other put has: under the lock there is one writer.
        part = path.with_name(f".{path.name}")
        try:
            with self._locked() as file:
                self._reserve(file, len(data))
                path.parent.mkdir(exist_ok=True)
                part.write_bytes(data)
                part.replace(path)
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            if not self._has_failed:
                self._has_failed = True
                _log.warning(
                    "the cache in %s cannot be written, clips are read without it (%s); make room "
                    "or mend the folder's rights",
                    self._folder,
                    error.strerror,
                )

    def remove(self, clip: ClipPlace) -> None:
        """Drop a clip whose bytes turned out wrong."""
        with suppress(OSError):
            os.unlink(self._path(clip))

    def _path(self, clip: ClipPlace) -> str:
        text = f"{clip.clip_id}/{clip.tar_bytes}/{clip.crc32c}"
        name = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        # Not a `Path`: making one takes longer than opening it.
        return f"{self._folder}/{name[:2]}/{name}"

    def _reserve(self, file: int, num_bytes: int) -> None:
        """Count bytes that are about to be written; make room when they are too many."""
        text = os.pread(file, _DIGITS, 0)
        total = int(text) if text.strip().isdigit() else self._make_room(num_bytes)
        if total + num_bytes > self._max_bytes:
            total = self._make_room(num_bytes)
        os.pwrite(file, f"{total + num_bytes:<{_DIGITS}}".encode(), 0)

    def _make_room(self, num_bytes: int) -> int:
        """Remove unfinished files, then the least recently used; returns the bytes that stay."""
        found = []
        for path in self._folder.glob("??/*"):
            with suppress(OSError):
                if path.name.startswith("."):
                    # Writers hold the lock that we hold: this one was killed.
                    path.unlink()
                    continue
                status = path.stat()
                found.append((status.st_mtime_ns, status.st_size, path))
        found.sort(reverse=True)
        total = sum(size for _, size, _ in found)
        while found and total + num_bytes > KEPT_SHARE * self._max_bytes:
            _, size, path = found.pop()
            total -= size
            with suppress(OSError):
                path.unlink()
        return total

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The file with the sum of sizes, locked; the lock ends with its holder."""
        file = os.open(self._folder / _SIZE_FILE, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)
