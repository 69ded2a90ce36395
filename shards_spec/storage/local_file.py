"""Ranged reads of local files by the calling thread.

obstore performs each read on another thread and into newly allocated memory. For ranges as large as
a loader's, with the file in the page cache, that takes twice as long.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path

from shards_spec.errors import UnsafeFileError

#: Errors of paths that cannot lead to a file: through a file, a socket, or links in a circle.
_IMPOSSIBLE = {errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.ENAMETOOLONG}

#: Keys that mean the same to obstore and to a file system: without `..` and escaped characters.
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")


def is_plain_key(key: str) -> bool:
    """Whether a key can be used as a path relative to its storage's folder."""
    return _PLAIN_KEY.fullmatch(key) is not None


def read_range(path: Path, start: int, length: int) -> memoryview:
    """Bytes [start, start + length) of a file; fewer if it is shorter. Raises `OSError`."""
    # The length may come from anyone: never more memory than the file has bytes.
    require_regular(path)
    existing = max(0, min(length, path.stat().st_size - start))
    data = memoryview(bytearray(existing))
    return data[: read_into(path, start, data)].toreadonly()


def read_into(path: Path, start: int, target: memoryview) -> int:
    """Fill `target` with a file's bytes from `start`; returns the number of bytes read."""
    # Without O_NONBLOCK, opening a named pipe would wait for someone to write into it.
    file = _opened(path)
    try:
        _require_regular(os.fstat(file).st_mode, path)
        count = 0
        # A call returns at most 2 GiB, and on some file systems less than requested.
        while count < len(target):
            more = os.preadv(file, [target[count:]], start + count)
            if not more:
                break
            count += more
    finally:
        os.close(file)
    return count


def require_regular(path: Path) -> None:
    """Raise `UnsafeFileError` for what is neither a file nor a folder; it may be missing."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unsafe(path, error) from error
    if not stat.S_ISDIR(mode):
        _require_regular(mode, path)


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _unsafe(path, error) from error


def _unsafe(path: Path, error: OSError) -> OSError | UnsafeFileError:
    """The error itself unless the path as such is at fault, so that it would fail for ever."""
    if error.errno in _IMPOSSIBLE:
        return UnsafeFileError(f"{path} is not a regular file: {error.strerror}")
    return error


def _require_regular(mode: int, path: Path) -> None:
    if not stat.S_ISREG(mode):
        raise UnsafeFileError(f"{path} is not a regular file, but {_kind(mode)}")


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")
