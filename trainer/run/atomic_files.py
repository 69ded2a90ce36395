"""Atomic writes: a file appears under its name only when it is complete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from shards_spec.errors import InputError


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
