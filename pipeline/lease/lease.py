"""A lease that is held: heartbeats in the background, and the storage that is fenced by it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

from pipeline.lease.acquire import Claim, acquire
from pipeline.lease.fence import Fence, taken_over
from pipeline.lease.records import TIMING, LeaseLostError, Timing, read_records, write_holder
from shards_spec.errors import ReelshardsError, StorageError
from shards_spec.storage import Storage


class Lease:
    """A lease that this process holds; `check` raises when it was lost."""

    def __init__(self, storage: Storage, claim: Claim, timing: Timing) -> None:
        self._storage = storage
        self._claim = claim
        self._timing = timing
        self._fence = Fence(storage, claim.key, claim.holder.owner, timing)
        self._last_beat = claim.holder.beat_unix
        self._lost = ""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def fenced(self, storage: Storage) -> Storage:
        """The dataset's storage; each write and deletion raises `LeaseLostError` once it is lost.

        Also in other processes, which get it pickled.
        """
        return storage.guarded(self._fence)

    def check(self) -> None:
        """Raise `LeaseLostError` when the lease is known to be lost, without asking the store."""
        if self._lost:
            raise LeaseLostError(self._lost)

    def release(self) -> None:
        """End the heartbeats and delete the lease, unless it is another run's by now."""
        self._end.set()
        self._thread.join()
        if not self._lost:
            with contextlib.suppress(ReelshardsError):
                self._fence.require_own()
                self._storage.delete(self._claim.key)

    def _beat(self) -> None:
        while not self._end.wait(self._timing.beat):
            try:
                self._renew()
            except StorageError:
                # The store may recover; if not, the run itself gets the same error.
                continue
            except LeaseLostError as error:
                self._lost = str(error)
                return

    def _renew(self) -> None:
        """Rewrite the record, unless it is lost.

        A run whose record is not stale cannot have been taken for dead: claims that others make at
        the same time will be withdrawn. Otherwise any other live record means that it is lost.
        """
        now = time.time()
        is_stale = not 0 <= now - self._last_beat < self._timing.stale
        self._fence.require_own()
        if is_stale:
            self._require_alone(or_claimed=True)
        write_holder(self._storage, self._claim.key, replace(self._claim.holder, beat_unix=now))
        # Only now: a run that took over before the write is seen, and one that does so after it
        # sees this heartbeat.
        try:
            self._require_alone(or_claimed=is_stale)
        except LeaseLostError:
            self._storage.delete(self._claim.key)
            raise
        self._last_beat = now

    def _require_alone(self, *, or_claimed: bool) -> None:
        """Raise `LeaseLostError` if another live run holds the lease, or claims it."""
        for record in read_records(self._storage):
            if record.key == self._claim.key or record.holder is None:
                continue
            is_rival = or_claimed or record.holder.state == "holds"
            if is_rival and record.is_live(self._timing):
                raise taken_over(self._storage)


@contextlib.contextmanager
def hold_lease(storage: Storage, timing: Timing = TIMING) -> Iterator[Lease]:
    """Hold the dataset's lease. Raises `InputError` when another run holds it."""
    lease = Lease(storage, acquire(storage, timing), timing)
    try:
        yield lease
    finally:
        lease.release()
