"""A local cache of clips, bounded in bytes, shared by the processes and jobs of one user.

A clip's file is named by a hash of what it must contain (clip id, length, checksum), so the cache
stays valid when a dataset grows and never serves another dataset's bytes. It stores clips, not
ranges, because ranges change from epoch to epoch. Only bytes with the right checksum are added.
Files are renamed into place when complete; files that `kill -9` leaves unfinished are removed
together with the least recently used clips.

A CRC-32C is easily forged. So each file begins with a digest of its bytes under a secret key that
only the folder's owner can read; a file without the right digest is removed and read again from
the dataset. See `private_folder` for what else is checked.

Writers hold a lock, and the locked file contains the total size, so the bound holds for all users
together. The total is an upper estimate: a clip that two processes add counts twice until the next
clean-up measures again. Use a local disk.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shards_spec.errors import InputError
from trainer.data.fetch.clip_location import ClipLocation
from trainer.data.fetch.private_folder import PrivateFolder

_log = logging.getLogger(__name__)

#: Bytes that a clean-up keeps, as a share of the bound.
KEPT_SHARE = 0.9

#: Bytes of the digest that a file begins with.
DIGEST_BYTES = 32

_SIZE_FILE, _KEY_FILE = "size", "key"
_DIGITS = 32


class ClipCache:
    """Clips by id, length and checksum; may be used from any thread and process."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """Create the folder.

        Raises `InputError` when that fails, when other users could write to the folder or own it,
        or when `max_bytes` is not positive.
        """
        if max_bytes <= 0:
            raise InputError(
                f"stream: cache_bytes = {max_bytes} leaves no room in cache_dir = {str(folder)!r}; "
                "raise it, or leave cache_dir empty to disable the cache"
            )
        self._max_bytes, self._path = max_bytes, folder
        try:
            self._folder = PrivateFolder(folder)
            with self._locked():
                self._key = self._folder.secret(_KEY_FILE, DIGEST_BYTES)
        except OSError as error:
            raise InputError(
                f"stream: cache_dir = {str(folder)!r} cannot be created: {error.strerror}; "
                "choose a folder on a local disk, or leave it empty to disable the cache"
            ) from error
        self._has_failed = False

    def get(self, clip: ClipLocation) -> bytes | None:
        """The clip's bytes as they were added; None when the cache does not have them."""
        try:
            # One byte more than expected, so that a longer file is noticed.
            data = self._folder.read(*_name(clip), DIGEST_BYTES + clip.tar_bytes + 1)
        except OSError:
            return None
        digest, content = data[:DIGEST_BYTES], data[DIGEST_BYTES:]
        if not hmac.compare_digest(digest, self._digest(clip, content)):
            self.remove(clip)
            return None
        return content

    def put(self, clip: ClipLocation, data: bytes | memoryview) -> None:
        """Add a clip's bytes, unless they alone exceed the bound."""
        num_bytes = DIGEST_BYTES + len(data)
        if num_bytes > KEPT_SHARE * self._max_bytes:
            return
        try:
            with self._locked() as file:
                self._reserve(file, num_bytes)
                self._folder.write(*_name(clip), self._digest(clip, data), data)
        except OSError as error:
            if not self._has_failed:
                self._has_failed = True
                _log.warning(
                    "cannot write to the cache in %s (%s); reading without it; free disk space or "
                    "fix the folder's permissions",
                    self._path,
                    error.strerror,
                )

    def remove(self, clip: ClipLocation) -> None:
        """Remove a clip whose bytes turned out to be wrong."""
        with suppress(OSError):
            self._folder.remove(*_name(clip))

    def _digest(self, clip: ClipLocation, data: bytes | memoryview) -> bytes:
        # The name is part of it: a file that was moved to another clip's name is not valid.
        digest = hashlib.blake2b(_text(clip), key=self._key, digest_size=DIGEST_BYTES)
        digest.update(data)
        return digest.digest()

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
        for part, name, status in self._folder.files():
            if name.startswith("."):
                # We hold the writers' lock, so the writer of this file was killed.
                with suppress(OSError):
                    self._folder.remove(part, name)
                continue
            files.append((status.st_mtime_ns, status.st_size, part, name))
        files.sort(reverse=True)
        total = sum(size for _, size, _, _ in files)
        while files and total + num_bytes > KEPT_SHARE * self._max_bytes:
            _, size, part, name = files.pop()
            total -= size
            with suppress(OSError):
                self._folder.remove(part, name)
        return total

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The file with the total size, locked; the kernel releases a killed holder's lock."""
        file = self._folder.open_file(_SIZE_FILE)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)


def _text(clip: ClipLocation) -> bytes:
    return f"{clip.clip_id}/{clip.tar_bytes}/{clip.crc32c}".encode()


def _name(clip: ClipLocation) -> tuple[str, str]:
    """Folder and name of a clip's file."""
    name = hashlib.blake2b(_text(clip), digest_size=16, person=b"sealed").hexdigest()
    return name[:2], name
