"""Reading a remote source until all of it has arrived, or the store is too slow or broken.

An interrupted read resumes at the first missing byte. A store that sends a byte now and then would
hold a task forever, so a minimum has to arrive in every window of time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from pipeline.limits import Limits
from shards_spec.errors import (
    AccessDeniedError,
    ObjectChangedError,
    ObjectNotFoundError,
    StorageError,
)
from shards_spec.storage import ObjectInfo, RangesNotSupportedError, Storage

#: Consecutive attempts without a single byte, each with the store's own retries.
_MAX_ATTEMPTS = 3
_RETRY_SECONDS = 0.5


class SlowStoreError(StorageError):
    """A store sends less than `--min-source-kib-per-second`."""


class _Pace:
    """How much has arrived in the time that was spent waiting for a store."""

    def __init__(self, limits: Limits) -> None:
        self._window_seconds = limits.no_progress_seconds
        self._min_bytes = 1024 * limits.min_source_kib_per_second * limits.no_progress_seconds
        self._num_bytes, self._waited = 0, 0.0

    def add(self, seconds: float, num_bytes: int = 0) -> None:
        """Raise `SlowStoreError` at the end of a window in which too little arrived."""
        self._waited += seconds
        self._num_bytes += num_bytes
        if self._waited < self._window_seconds:
            return
        if self._num_bytes < max(1, self._min_bytes):
            raise SlowStoreError(
                f"only {self._num_bytes} bytes arrived in {self._waited:.0f} s; see "
                "--no-progress-seconds and --min-source-kib-per-second"
            )
        self._num_bytes, self._waited = 0, 0.0


def arriving(
    storage: Storage,
    info: ObjectInfo,
    start: int,
    length: int,
    limits: Limits,
    *,
    is_cancelled: Callable[[float], bool] | None = None,
) -> Iterator[memoryview]:
    """Bytes [start, start + length) of an object, in pieces as they arrive.

    Args:
        storage: contains the object.
        info: the object as it must still be.
        start: first byte.
        length: number of bytes.
        limits: how slow the store may be.
        is_cancelled: waits for some seconds; returns whether the read is not needed any more.

    Raises `StorageError`.
    """
    pace = _Pace(limits)
    end, attempts = start + length, 0
    while start < end:
        began = time.monotonic()
        try:
            for piece in storage.stream_range(info.key, start, end - start, expected=info):
                pace.add(time.monotonic() - began, len(piece))
                start, attempts = start + len(piece), 0
                yield piece
                began = time.monotonic()
        except (
            AccessDeniedError,
            ObjectChangedError,
            ObjectNotFoundError,
            RangesNotSupportedError,
            SlowStoreError,
        ):
            raise
        except StorageError:
            attempts += 1
            if attempts >= _MAX_ATTEMPTS or (is_cancelled or _wait)(_RETRY_SECONDS * attempts):
                raise
            pace.add(time.monotonic() - began)


def _wait(seconds: float) -> bool:
    time.sleep(seconds)
    return False
