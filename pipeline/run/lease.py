"""One run at a time on one dataset: who works on it holds a lease and shows signs of life.

The lease is an object under `run.lock/`, numbered; the highest number holds. To take it, one looks
at all of them, refuses when the highest is alive, and creates the next number, which a store lets
only one succeed in. A signal of life rewrites the object every few seconds; one that is silent for
long, or whose process on this very machine is gone, is dead. A run that finds a higher number than
its own has been taken for dead, and stops at once.

    run.lock/000007.json   dead: silent since 14:02
    run.lock/000008.json   holds: {"owner": ..., "host": ..., "pid": ..., "beat_unix": ...}
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from shards_spec.errors import InputError, ObjectNotFoundError, StorageError
from shards_spec.storage import Storage

#: Prefix of the leases in a dataset.
LOCKS = "run.lock"

BEAT_SECONDS = 10.0
#: Silent for so long, a run is dead. Clocks of different machines may differ by less.
DEAD_SECONDS = 120.0


class LeaseLostError(InputError):
    """Another run took this one for dead and took over."""


@dataclass(frozen=True)
class Holder:
    """Who works on a dataset."""

    owner: str
    """Random; tells runs apart."""
    host: str
    boot: str
    """Which start of the host; process ids count within one only."""
    pid: int
    started_unix: float
    beat_unix: float
    """Last sign of life."""

    def is_dead(self, now_unix: float) -> bool:
        """Whether it works no more, as far as can be told from here."""
        if (self.host, self.boot) == (socket.gethostname(), _boot()):
            return not _lives(self.pid) or self._silent(now_unix) > 30 * DEAD_SECONDS
        return self._silent(now_unix) > DEAD_SECONDS

    def _silent(self, now_unix: float) -> float:
        return now_unix - self.beat_unix


class Lease:
    """A held lease; `check` raises when it was lost."""

    def __init__(self, storage: Storage, key: str, holder: Holder) -> None:
        self._storage = storage
        self._key = key
        self._holder = holder
        self._lost = ""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise `LeaseLostError` when another run has taken over."""
        if self._lost:
            raise LeaseLostError(self._lost)

    def release(self) -> None:
        """Give it back."""
        self._end.set()
        self._thread.join()
        with contextlib.suppress(StorageError):
            self._storage.delete(self._key)

    def _beat(self) -> None:
        while not self._end.wait(BEAT_SECONDS):
            try:
                if _locks(self._storage)[-1:] != [self._key]:
                    self._lost = (
                        f"another run has taken over {self._storage.uri}, because this one showed "
                        "no sign of life; what is committed stays"
                    )
                    return
                now = replace(self._holder, beat_unix=time.time())
                self._storage.put(self._key, json.dumps(asdict(now)).encode())
            except StorageError:
                # The store may come back; if not, the run itself will meet the same error.
                continue


@contextlib.contextmanager
def held(storage: Storage) -> Iterator[Lease]:
    """Hold the dataset's lease. Raises `InputError` when another run holds it."""
    lease = _take(storage)
    try:
        yield lease
    finally:
        lease.release()


def holder_of(storage: Storage) -> Holder | None:
    """Who works on the dataset now; None when nobody does."""
    for key in reversed(_locks(storage)):
        holder = _read(storage, key)
        if holder is not None:
            return None if holder.is_dead(time.time()) else holder
    return None


def _take(storage: Storage) -> Lease:
    locks = _locks(storage)
    _refuse_living(storage)
    now = time.time()
    holder = Holder(uuid.uuid4().hex, socket.gethostname(), _boot(), os.getpid(), now, now)
    number = int(locks[-1].rpartition("/")[2].removesuffix(".json")) + 1 if locks else 1
    key = f"{LOCKS}/{number:06d}.json"
    content = json.dumps(asdict(holder)).encode()
    # A store may repeat our own request after a lost answer, and then find our own object.
    if not storage.create(key, content) and _read(storage, key) != holder:
        raise _busy(storage, _read(storage, key))
    if _locks(storage)[-1:] != [key]:
        # Others came and went between our look and our creation.
        storage.delete(key)
        raise _busy(storage, holder_of(storage))
    for old in locks:
        storage.delete(old)
    return Lease(storage, key, holder)


def _refuse_living(storage: Storage) -> None:
    holder = holder_of(storage)
    if holder is not None:
        raise _busy(storage, holder)


def _busy(storage: Storage, holder: Holder | None) -> InputError:
    who = "just now"
    if holder is not None:
        ago = max(0.0, time.time() - holder.beat_unix)
        who = f"on {holder.host}, process {holder.pid}, last sign of life {ago:.0f} s ago"
    return InputError(
        f"another run works on {storage.uri} ({who}); wait for its end. If it is dead, it counts "
        f"so {DEAD_SECONDS:.0f} s after its last sign of life"
    )


def _locks(storage: Storage) -> list[str]:
    return [info.key for info in storage.list(LOCKS)]


def _read(storage: Storage, key: str) -> Holder | None:
    try:
        return Holder(**json.loads(storage.get(key)))
    except (ObjectNotFoundError, ValueError, TypeError):
        return None


def _boot() -> str:
    """This start of this machine, and the space of process ids (containers have their own)."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    return ""


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
