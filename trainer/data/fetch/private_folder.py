"""A folder that only its owner can write to, with files in folders one level deep.

It is created with mode 0700. A folder that another user owns, or that others may write to, is
refused. All files are opened relative to it and without following links, so a link that somebody
planted while the folder was open to others has no effect: its target is neither read nor written.
Trusted are the folder's owner and root.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from shards_spec.errors import InputError

_NO_LINK = os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | _NO_LINK
#: Without O_NONBLOCK, opening a named pipe would wait for someone at its other end.
_READ = os.O_RDONLY | os.O_NONBLOCK | _NO_LINK
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK


class PrivateFolder:
    """An open folder; may be used from any thread."""

    def __init__(self, path: Path) -> None:
        """Create the folder if missing, and open it.

        Raises `OSError` when that fails, and `InputError` when it is not the user's own.
        """
        if not path.parent.exists():
            # Parents get the usual mode: only the folder itself is private.
            path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            path.mkdir(0o700)
        # The user may have chosen a link; what it leads to is checked.
        self._handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        status = os.fstat(self._handle)
        if reason := _not_private(status):
            os.close(self._handle)
            self._handle = -1
            raise InputError(
                f"the folder {str(path)!r} {reason}: others could put data into it; choose another "
                "one, or make it your own with: chmod 700"
            )

    def __del__(self) -> None:
        if getattr(self, "_handle", -1) >= 0:
            os.close(self._handle)

    def secret(self, name: str, num_bytes: int) -> bytes:
        """Random bytes in a file that only the owner can read; created if missing or not private.

        Not for several processes at a time.
        """
        with suppress(OSError):
            file = self.open_file(name, os.O_RDONLY)
            try:
                data = os.read(file, num_bytes + 1)
                is_secret = stat.S_IMODE(os.fstat(file).st_mode) == 0o600
            finally:
                os.close(file)
            if is_secret and len(data) == num_bytes:
                return data
        data = secrets.token_bytes(num_bytes)
        self._replace(self._handle, name, data)
        return data

    def open_file(self, name: str, flags: int = os.O_RDWR | os.O_CREAT) -> int:
        """Descriptor of a file directly in the folder. Raises `OSError` if it is not a plain one.

        A planted link, hard or symbolic, is removed: what it leads to is another file.
        """
        try:
            file = os.open(name, flags | os.O_NONBLOCK | _NO_LINK, 0o600, dir_fd=self._handle)
        except OSError:
            with suppress(OSError):
                if stat.S_ISLNK(os.lstat(name, dir_fd=self._handle).st_mode):
                    os.unlink(name, dir_fd=self._handle)
            raise
        status = os.fstat(file)
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and _is_own(status):
            return file
        os.close(file)
        os.unlink(name, dir_fd=self._handle)
        raise OSError(errno.EINVAL, f"{name} was not a file of this user's own")

    def read(self, part: str, name: str, max_bytes: int) -> bytes:
        """The first bytes of a file, whose time of use is set. Raises `OSError`."""
        # One call with a path: only the owner can write here, so `part` is not a link; a file that
        # was planted before lacks the digest.
        file = os.open(f"{part}/{name}", _READ, dir_fd=self._handle)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise OSError(errno.EINVAL, f"{name} is not a regular file")
            data = os.read(file, max_bytes)
            os.utime(file)
        finally:
            os.close(file)
        return data

    def write(self, part: str, name: str, *pieces: bytes | memoryview) -> None:
        """Write a file in a subfolder; it appears when complete. One writer at a time."""
        folder = self._subfolder(part)
        try:
            self._replace(folder, name, *pieces)
        finally:
            os.close(folder)

    def remove(self, part: str, name: str) -> None:
        """Remove a file of a subfolder. Raises `OSError`."""
        folder = os.open(part, _FOLDER, dir_fd=self._handle)
        try:
            os.unlink(name, dir_fd=folder)
        finally:
            os.close(folder)

    def files(self) -> Iterator[tuple[str, str, os.stat_result]]:
        """Subfolder, name and status of all files in subfolders; links are not followed."""
        for part in os.listdir(self._handle):
            try:
                folder = os.open(part, _FOLDER, dir_fd=self._handle)
            except OSError:
                continue
            try:
                for name in os.listdir(folder):
                    with suppress(OSError):
                        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
                        yield part, name, status
            finally:
                os.close(folder)

    def _subfolder(self, part: str) -> int:
        """Descriptor of a subfolder, created if missing; a planted link is replaced by a folder."""
        for _ in range(2):
            with suppress(FileExistsError):
                os.mkdir(part, 0o700, dir_fd=self._handle)
            try:
                folder = os.open(part, _FOLDER, dir_fd=self._handle)
            except NotADirectoryError:
                # A file, or a link: with O_DIRECTORY, that is the error for both.
                os.unlink(part, dir_fd=self._handle)
                continue
            if _is_own(os.fstat(folder)):
                return folder
            os.close(folder)
            break
        raise PermissionError(errno.EPERM, f"{part} belongs to another user")

    @staticmethod
    def _replace(folder: int, name: str, *pieces: bytes | memoryview) -> None:
        """Write a file of an open folder; it appears when complete."""
        temporary = f".{name}"
        # Left by a killed process, or planted.
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
        try:
            with os.fdopen(os.open(temporary, _NEW, 0o600, dir_fd=folder), "wb") as file:
                for piece in pieces:
                    file.write(piece)
            os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise


def _is_own(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid()


def _not_private(status: os.stat_result) -> str:
    """Why other users may have changed a folder; empty if they cannot."""
    if not _is_own(status):
        return f"belongs to another user (uid {status.st_uid})"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"can be written by other users (mode {stat.S_IMODE(status.st_mode):o})"
    return ""
