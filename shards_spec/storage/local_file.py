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
    data = memoryview(bytearray(length))
    return data[: read_into(path, start, data)].toreadonly()


def read_into(path: Path, start: int, target: memoryview) -> int:
    """Fill `target` from a file's byte `start` on; gives how many bytes there were."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        count = 0
        # One call gives 2 GiB at most, and some file systems less than is asked for.
        while count < len(target):
            more = os.preadv(file, [target[count:]], start + count)
            if not more:
                break
            count += more
    finally:
        os.close(file)
    return count
