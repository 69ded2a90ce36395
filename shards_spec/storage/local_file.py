"""Reads ranges of local files, and writes files that survive a power failure.

obstore performs each read on another thread and into newly allocated memory. For ranges as large as
a loader's, with the file in the page cache, that takes twice as long. Its writes are atomic, but
not durable: it renames files whose data the kernel has not written to the disk yet.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from shards_spec.errors import UnsafeFileError

#: Errors of paths that cannot lead to a file: through a file, a socket, or links in a circle.
_IMPOSSIBLE = {errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.ENAMETOOLONG}

#: Keys that mean the same to obstore and to a file system: without `..` and escaped characters.
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")

#: Names of files that are being written: listings of obstore leave these out.
_TEMPORARY = re.compile(r".+#\d+")

#: Attempts to write into a folder that other processes delete whenever it is empty.
_MAX_ATTEMPTS = 20


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


def write_file(
    path: Path,
    data: bytes | bytearray | memoryview | Path,
    *,
    exclusive: bool = False,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Write a file under a temporary name, flush it to the disk, and give it its name.

    The file and its folders are on the disk when this returns, so that whatever is written later
    cannot survive a power failure without it. With `exclusive`, raises `FileExistsError` if there
    is a file of that name. `check` is called right before the file gets its name; if it raises,
    nothing has changed.
    """
    for attempt in range(_MAX_ATTEMPTS):
        try:
            _make_folder(path.parent)
            _write_file(path, data, exclusive, check)
        except FileNotFoundError as error:
            # `delete_file` of another thread or process may have removed an empty folder, and a
            # third one may have made it again since.
            is_source = isinstance(data, Path) and error.filename == str(data)
            if is_source or attempt == _MAX_ATTEMPTS - 1:
                raise
        else:
            return


def _write_file(
    path: Path,
    data: bytes | bytearray | memoryview | Path,
    exclusive: bool,
    check: Callable[[], None],
) -> None:
    temporary = path.with_name(f"{path.name}#{secrets.randbits(60)}")
    try:
        with temporary.open("xb") as file:
            if isinstance(data, Path):
                with data.open("rb") as source:
                    shutil.copyfileobj(source, file, 1 << 20)
            else:
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
        check()
        if exclusive:
            os.link(temporary, path)
        else:
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def delete_file(path: Path, root: Path) -> None:
    """Delete a file, and the folders below `root` that are empty without it."""
    path.unlink()
    with contextlib.suppress(OSError):
        for folder in path.parents:
            if folder == root or not folder.is_relative_to(root):
                break
            folder.rmdir()


def temporary_files(root: Path, older_than_seconds: float = 0.0) -> Iterator[Path]:
    """Files below `root` that killed processes were writing, by name and last change."""
    for folder, _, names in os.walk(root):
        for name in filter(_TEMPORARY.fullmatch, names):
            path = Path(folder, name)
            with contextlib.suppress(FileNotFoundError):
                if path.is_file() and time.time() - path.lstat().st_mtime >= older_than_seconds:
                    yield path


def _make_folder(path: Path) -> None:
    """Create a folder with its parents; their names are on the disk when this returns."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
        _sync_folder(folder.parent)


def _sync_folder(path: Path) -> None:
    """Flush the names in a folder to the disk, where its file system can do that."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


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
    """`error`, or an `UnsafeFileError` if the path itself is at fault, so that retries are
    useless."""
    if error.errno in _IMPOSSIBLE:
        return UnsafeFileError(f"{path} is not a regular file: {error.strerror}")
    return error


def _require_regular(mode: int, path: Path) -> None:
    if not stat.S_ISREG(mode):
        raise UnsafeFileError(f"{path} is not a regular file, but {_kind(mode)}")


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")
