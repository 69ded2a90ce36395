"""The check before each write: whether this run still holds the lease."""

from __future__ import annotations

import time
from typing import Any

from pipeline.lease.records import (
    LOCKS,
    LeaseLostError,
    Timing,
    read_holder,
    read_records,
)
from shards_spec.storage import Storage


class Fence:
    """A guard for `Storage.guarded`; sent to workers, it checks there.

    One gap remains: a write that began within `Timing.valid` after a check, or whose process
    was paused in the middle of it, may reach the store after another run has begun.
    """

    def __init__(self, storage: Storage, key: str, owner: str, timing: Timing) -> None:
        """`storage` without a guard, and the record of this run in it."""
        self._storage = storage
        self._key = key
        self._owner = owner
        self._timing = timing
        self._checked = -timing.valid

    def __reduce__(self) -> tuple[Any, ...]:
        return (Fence, (self._storage, self._key, self._owner, self._timing))

    def __call__(self, key: str) -> None:
        """Raise `LeaseLostError` unless the lease is held. `key` is what will be written."""
        if key.startswith(f"{LOCKS}/"):
            return
        # Two clocks, because only one of them keeps running while a laptop sleeps.
        now = max(time.monotonic(), _boot_time())
        if not 0 <= now - self._checked < self._timing.valid:
            self.check()
            self._checked = max(time.monotonic(), _boot_time())

    def check(self) -> None:
        """Raise `LeaseLostError` unless the lease is held.

        If the last heartbeat is old, this waits for the next one: after an outage of the store, and
        where the clock of this machine is ahead of the driver's.
        """
        first_beat: float | None = None
        deadline = time.monotonic() + self._timing.dead
        while True:
            beat = self.require_own()
            is_fresh = time.time() - beat < self._timing.stale
            if is_fresh or first_beat not in (None, beat):
                return
            first_beat = beat
            if time.monotonic() > deadline:
                raise LeaseLostError(
                    f"{self._storage.uri}: this run has sent no heartbeat for "
                    f"{time.time() - beat:.0f} s, so another one may have begun; everything "
                    "committed remains. Run the same command again to resume"
                )
            time.sleep(self._timing.beat / 10)

    def require_own(self) -> float:
        """Time of the last heartbeat; `LeaseLostError` if the record is gone or of another run."""
        holder = read_holder(self._storage, self._key)
        if holder is not None and holder.owner == self._owner:
            return holder.beat_unix
        others = [rec for rec in read_records(self._storage) if rec.holder and rec.key != self._key]
        if holder is not None or others:
            raise taken_over(self._storage)
        raise LeaseLostError(
            f"{self._storage.uri}: the lease of this run, {self._key}, has disappeared: it was "
            "deleted by hand, or by another run that has ended since. Everything committed "
            "remains; run the same command again to resume"
        )


def taken_over(storage: Storage) -> LeaseLostError:
    """The error of a run that was declared dead."""
    return LeaseLostError(
        f"another run has taken over {storage.uri}, because this one sent no heartbeat; "
        "everything committed remains"
    )


def _boot_time() -> float:
    """Seconds since the boot, including those in which the machine slept, where that is known."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)
