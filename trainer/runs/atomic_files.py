"""Files of a run folder: written atomically, and read with care.

A written file appears under its name only when it is complete. A run folder may come from anyone:
its files may be links to other files, pipes, endless, or any text.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from shards_spec.errors import InputError

#: Bytes of a JSON file of a run folder; the largest has a line for each movie.
MAX_JSON_BYTES = 256 * 1024 * 1024


def require_own_files(run: Path) -> None:
    """Raise `InputError` if something in a run folder is a link out of it, a pipe or a device.

    Otherwise a run folder from a stranger could cause other files to be read, overwritten or
    deleted.
    """
    if not run.is_dir():
        return
    root = os.path.realpath(run)
    for path in (*run.iterdir(), *(run / "checkpoints").glob("*")):
        if path.is_symlink() and not f"{os.path.realpath(path)}/".startswith(f"{root}/"):
            raise InputError(
                f"{path} is a link out of the run folder, which is not followed; move what it "
                "leads to into the folder if you trust it"
            )
        kind = path.lstat().st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind) or stat.S_ISLNK(kind)):
            raise InputError(f"{path} is not a regular file; use another --run folder")


def read_json(path: Path) -> Any:
    """The content of a JSON file of a run folder. Raises `InputError`, naming the file."""
    try:
        if not path.is_file():
            raise InputError(f"{path} is not a regular file; use another --run folder")
        if path.stat().st_size > MAX_JSON_BYTES:
            raise InputError(f"{path} has more than {MAX_JSON_BYTES:,} bytes")
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError, OSError) as error:
        raise InputError(f"{path} is corrupt ({error}); use another --run folder") from error


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Write to a temporary file; synced and renamed to `path` if the block raises nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


@contextmanager
def writing_run(run: Path) -> Iterator[None]:
    """Turn file system errors, such as a full disk, into an `InputError` that names the folder."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        cause = _os_error(error)
        if cause is None:
            raise
        raise InputError(
            f"--run {run} cannot be written: {cause.strerror or cause}; existing files are intact: "
            "free disk space or fix the folder's permissions, then run the same command to resume"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_file(path) as file:
        file.write(text.encode())


def _os_error(error: BaseException) -> OSError | None:
    """The error itself or the OSError that caused it: torch wraps failed writes in its own type."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    return cause


def _sync_folder(folder: Path) -> None:
    # A rename survives a power loss only once the folder itself has been synced.
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
