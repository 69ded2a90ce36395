"""Waits for a store that is unavailable for a while: repeats operations with growing pauses."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from shards_spec.errors import OutageError, StoreUnavailableError

_T = TypeVar("_T")

#: The first pause and the longest one. Each is twice the one before, with up to 50 % jitter.
_FIRST_SECONDS, _LONGEST_SECONDS = 0.5, 8.0


def patiently(work: Callable[[], _T], seconds: float) -> _T:
    """`work()`, repeated until `seconds` after its first failure while the store is unavailable.

    Raises `OutageError` after that, and any other error at once. With 0 seconds nothing is repeated
    and errors are those of `work`.
    """
    started: float | None = None
    pause = _FIRST_SECONDS
    while True:
        try:
            return work()
        except StoreUnavailableError as error:
            if seconds <= 0 or isinstance(error, OutageError):
                raise
            now = time.monotonic()
            started = now if started is None else started
            if now - started >= seconds:
                raise OutageError(
                    f"{error}; the store did not recover within {seconds:g} s, see "
                    "--store-patience-seconds"
                ) from error
            # The random generator decides only when a request is sent.
            time.sleep(min(pause * (1 + random.random() / 2), started + seconds - now))
            pause = min(2 * pause, _LONGEST_SECONDS)
