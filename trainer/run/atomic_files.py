"""Whole files or none: what a run writes appears complete under its name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from shards_spec.errors import InputError


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Write to a temporary name; flushed to disk and renamed when the block ends without error."""
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
    """An `InputError` that names the folder of a run in place of what a full disk raises."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        cause = _os_error(error)
        if cause is None:
            raise
        raise InputError(
            f"--run {run} cannot be written: {cause.strerror or cause}; what was written before is "
            "whole: make room, or mend the folder, and run again to go on"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write a whole text file."""
    with atomic_file(path) as file:
        file.write(text.encode())


def _os_error(error: BaseException) -> OSError | None:
    """The error itself or what it came of: torch has an error of its own for a failed write."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, OSError):
        found = found.__cause__ or found.__context__
    return found


def _sync_folder(folder: Path) -> None:
    # A rename is only safe from power loss once the folder itself is on disk.
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
