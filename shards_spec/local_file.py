"""Ranges of local files, read by the calling thread.

obstore hands each read to another thread and into fresh memory; for the ranges that a loader asks
for, a file in the page cache costs it twice as much.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

#: Keys that mean the same to obstore and to a file system: no `..`, nothing that is escaped.
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")


def is_plain_key(key: str) -> bool:
    """Whether a key may be used as a path below its storage's folder."""
    return _PLAIN_KEY.fullmatch(key) is not None


def read_range(path: Path, start: int, length: int) -> memoryview:
    """Bytes [start, start + length) of a file, fewer where it ends before. Raises `OSError`."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.pread(file, length, start)
        # One call gives 2 GiB at most, and some file systems less than is asked for.
        while 0 < len(data) < length:
            more = os.pread(file, length - len(data), start + len(data))
            if not more:
                break
            data += more
    finally:
        os.close(file)
    return memoryview(data)
