"""One launch per run folder: a lock that ends with its process, however that ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from shards_spec.errors import InputError
from trainer.ranks.world import World
from trainer.runs.atomic_files import require_own_files, writing_run

LOCK = ".lock"

#: Errors of file systems that have no locks; there a second launch goes unnoticed.
_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


@contextlib.contextmanager
def lock_run(run: Path, world: World) -> Iterator[None]:
    """Hold the lock of a run folder on the first rank; no rank continues without it.

    The folder is created if missing, and removed again if nothing was written into it.

    Raises `InputError`, naming host and process, while another launch holds the lock.
    """
    with contextlib.ExitStack() as stack:
        refusal: InputError | None = None
        if world.is_first:
            try:
                stack.enter_context(_locked(run))
            except InputError as error:
                refusal = error
        if any(refused for [refused] in world.gather([float(refusal is not None)])):
            raise refusal or InputError(f"the first rank cannot use --run {run}")
        yield


@contextlib.contextmanager
def _locked(run: Path) -> Iterator[None]:
    if run.exists() and not run.is_dir():
        raise InputError(f"--run {run} is a file, not a folder")
    with writing_run(run):
        run.mkdir(parents=True, exist_ok=True)
        require_own_files(run)
        file = (run / LOCK).open("a+b")
    with file:
        _acquire(file, run)
        try:
            yield
        finally:
            # The file stays, as another launch may have opened it already. Only a launch that was
            # refused leaves nothing behind.
            if [path.name for path in run.iterdir()] == [LOCK]:
                (run / LOCK).unlink()
                run.rmdir()


def _acquire(file: BinaryIO, run: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InputError(
            f"another launch is training in {run} ({_holder(file)}); wait until it ends, stop it, "
            "or choose another --run folder"
        ) from error
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    file.truncate(0)
    file.write(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode())
    file.flush()


def _holder(file: BinaryIO) -> str:
    file.seek(0)
    try:
        values = json.loads(file.read())
        return f"process {values['pid']} on {values['host']}"
    except (ValueError, KeyError, TypeError):
        return "process unknown"
