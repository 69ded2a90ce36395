"""A local cache of clips, bounded in bytes, shared by processes and jobs.

A clip's file is named by a hash of what it must contain (clip id, length, checksum), so the cache
stays valid when a dataset grows and never serves another dataset's bytes. It stores clips, not
ranges, because ranges change from epoch to epoch. Only bytes with the right checksum are added, and
they are checked again when they are read. Files are renamed into place when complete; files that
`kill -9` leaves unfinished are removed together with the least recently used clips.

Writers hold a lock, and the locked file contains the total size, so the bound holds for all users
together. The total is an upper estimate: a clip that two processes add counts twice until the next
clean-up measures again. Use a local disk.
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
from trainer.fetch.clip_location import ClipLocation

_log = logging.getLogger(__name__)

#: Bytes that a clean-up keeps, as a share of the bound.
KEPT_SHARE = 0.9

_SIZE_FILE = "size"
_DIGITS = 32


class ClipCache:
    """Clips by id, length and checksum; may be used from any thread and process."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """Create the folder. Raises `InputError` when that fails or `max_bytes` is not positive."""
        if max_bytes <= 0:
            raise InputError(
                f"stream: cache_bytes = {max_bytes} leaves no room in cache_dir = {str(folder)!r}; "
                "raise it, or leave cache_dir empty to disable the cache"
            )
        self._folder, self._max_bytes = folder, max_bytes
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"stream: cache_dir = {str(folder)!r} cannot be created: {error.strerror}; "
                "choose a folder on a local disk, or leave it empty to disable the cache"
            ) from error
        self._has_failed = False

    def get(self, clip: ClipLocation) -> bytes | None:
        """The clip's bytes, not checked; None when the cache does not have them."""
        try:
            file = os.open(self._path(clip), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            # One byte more than expected, so that a longer file is noticed.
            data = os.read(file, clip.tar_bytes + 1)
            os.utime(file)
        except OSError:
            return None
        finally:
            os.close(file)
        return data

    def put(self, clip: ClipLocation, data: bytes | memoryview) -> None:
        """Add a clip's bytes, unless they alone exceed the bound."""
        if len(data) > KEPT_SHARE * self._max_bytes:
            return
        path = Path(self._path(clip))
        # The lock admits one writer at a time, so this name is not in use.
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
                    "cannot write to the cache in %s (%s); reading without it; free disk space or "
                    "fix the folder's permissions",
                    self._folder,
                    error.strerror,
                )

    def remove(self, clip: ClipLocation) -> None:
        """Remove a clip whose bytes turned out to be wrong."""
        with suppress(OSError):
            os.unlink(self._path(clip))

    def _path(self, clip: ClipLocation) -> str:
        text = f"{clip.clip_id}/{clip.tar_bytes}/{clip.crc32c}"
        name = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        # Not a `Path`: creating one takes longer than opening the file.
        return f"{self._folder}/{name[:2]}/{name}"

    def _reserve(self, file: int, num_bytes: int) -> None:
        """Add bytes about to be written to the total; free space when they exceed the bound."""
        text = os.pread(file, _DIGITS, 0)
        total = int(text) if text.strip().isdigit() else self._free_space(num_bytes)
        if total + num_bytes > self._max_bytes:
            total = self._free_space(num_bytes)
        os.pwrite(file, f"{total + num_bytes:<{_DIGITS}}".encode(), 0)

    def _free_space(self, num_bytes: int) -> int:
        """Remove unfinished files, then the least recently used; returns the bytes left."""
        files = []
        for path in self._folder.glob("??/*"):
            with suppress(OSError):
                if path.name.startswith("."):
                    # We hold the writers' lock, so the writer of this file was killed.
                    path.unlink()
                    continue
                status = path.stat()
                files.append((status.st_mtime_ns, status.st_size, path))
        files.sort(reverse=True)
        total = sum(size for _, size, _ in files)
        while files and total + num_bytes > KEPT_SHARE * self._max_bytes:
            _, size, path = files.pop()
            total -= size
            with suppress(OSError):
                path.unlink()
        return total

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The file with the total size, locked; the kernel releases a killed holder's lock."""
        file = os.open(self._folder / _SIZE_FILE, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)
