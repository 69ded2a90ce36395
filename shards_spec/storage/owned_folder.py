"""Temporary folders of processes that may be killed: the next process deletes what nobody owns.

The owner keeps a lock on the folder, which the system releases when the process ends, however it
ends; unlike process ids, a lock also works across containers.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

#: A folder is created before it is locked; younger ones are left alone, seconds.
_MIN_AGE_SECONDS = 60.0


@contextlib.contextmanager
def owned_folder(prefix: str) -> Iterator[str]:
    """A folder in the system's folder for temporary files, deleted at the end."""
    with tempfile.TemporaryDirectory(prefix=prefix) as folder:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)
            yield folder
        finally:
            os.close(lock)


def delete_abandoned_folders(prefix: str, min_age_seconds: float = _MIN_AGE_SECONDS) -> int:
    """Delete such folders of this user whose processes have ended; returns how many."""
    count = 0
    for path in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        # Other users may put anything here: only real folders of our own are touched.
        with contextlib.suppress(OSError):
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                info = os.fstat(lock)
                is_old = time.time() - info.st_mtime >= min_age_seconds
                if info.st_uid == os.getuid() and is_old:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path)
                    count += 1
            finally:
                os.close(lock)
    return count
