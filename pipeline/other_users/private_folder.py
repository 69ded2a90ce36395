"""Folders and files that no other user of a machine can read, replace or create first.

The system's folder for temporary files is shared: another user may create a folder before we do,
or put a link where we write.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pipeline.errors import SourceError


def private_folder(path: Path) -> Path:
    """Create a folder for this user alone, or check that an existing one is.

    Raises `SourceError` if another user could have written to it.
    """
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise SourceError(f"cannot create {path}: {error.strerror}; set TMPDIR") from error
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode):
        raise SourceError(f"{path} is not a folder; delete it, or set TMPDIR to a folder of yours")
    if status.st_uid != os.getuid():
        raise SourceError(f"{path} belongs to another user; set TMPDIR to a folder of your own")
    if status.st_mode & 0o022:
        raise SourceError(f"others can write to {path}; delete it, it will be created again")
    parent = os.stat(path.parent).st_mode
    if parent & stat.S_IWOTH and not parent & stat.S_ISVTX:
        raise SourceError(
            f"others can replace {path}, because {path.parent} is writable for all users and has "
            "no sticky bit; set TMPDIR to a folder of your own, or chmod +t that one"
        )
    if status.st_mode & 0o077:
        os.chmod(path, 0o700)
    return path


def open_private(path: Path, flags: int) -> int:
    """Open or create a file of this user; returns its descriptor.

    Truncate it afterwards, not with `flags`: that would come before the check.

    Raises `SourceError` for links, and for what another user has put there.
    """
    try:
        handle = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SourceError(f"cannot open {path}: {error.strerror}; delete it") from error
    if not _is_own_file(os.fstat(handle)):
        os.close(handle)
        raise SourceError(f"{path} is not a file of this user's own; delete it")
    return handle


def is_own_file(path: Path) -> bool:
    """Whether a path is a regular file of this user with no other name; links are not followed."""
    try:
        return _is_own_file(os.lstat(path))
    except FileNotFoundError:
        return False


def _is_own_file(status: os.stat_result) -> bool:
    # A second name may have been given to another file of this user, for us to overwrite it.
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.getuid() and status.st_nlink <= 1
