"""One run at a time per dataset: a run holds a lease and renews it by heartbeats.

A lease is a numbered object under `run.lock/`; the highest number holds. To acquire it, a run lists
all of them, gives up if the highest is alive, and creates the next number, which a store lets only
one of several runs do. A heartbeat rewrites the object every few seconds. A lease is dead when its
last heartbeat is old, or when its process was on this machine and no longer exists. A run that
finds a higher number than its own was declared dead, and stops at once.

    run.lock/000007.json   dead: last heartbeat at 14:02
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
#: A lease without a heartbeat for this long is dead. Clocks of machines must differ by less.
DEAD_SECONDS = 120.0


class LeaseLostError(InputError):
    """Another run declared this one dead and took over."""


@dataclass(frozen=True)
class Holder:
    """The run that holds a lease."""

    owner: str
    """Random; distinguishes runs."""
    host: str
    boot: str
    """Boot of the host and space of process ids in which `pid` is valid."""
    pid: int
    started_unix: float
    beat_unix: float
    """Last heartbeat."""

    def is_dead(self, now_unix: float) -> bool:
        """Whether the run has ended, as far as this machine can know."""
        if (self.host, self.boot) == (socket.gethostname(), _boot()):
            return not _exists(self.pid) or self._silent(now_unix) > 30 * DEAD_SECONDS
        return self._silent(now_unix) > DEAD_SECONDS

    def _silent(self, now_unix: float) -> float:
        return now_unix - self.beat_unix


class Lease:
    """A lease that this process holds; `check` raises when it was lost."""

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
        """End the heartbeats and delete the lease."""
        self._end.set()
        self._thread.join()
        with contextlib.suppress(StorageError):
            self._storage.delete(self._key)

    def _beat(self) -> None:
        while not self._end.wait(BEAT_SECONDS):
            try:
                if _locks(self._storage)[-1:] != [self._key]:
                    self._lost = (
                        f"another run has taken over {self._storage.uri}, because this one sent "
                        "no heartbeat; everything committed remains"
                    )
                    return
                now = replace(self._holder, beat_unix=time.time())
                self._storage.put(self._key, json.dumps(asdict(now)).encode())
            except StorageError:
                # The store may recover; if not, the run itself gets the same error.
                continue


@contextlib.contextmanager
def hold_lease(storage: Storage) -> Iterator[Lease]:
    """Hold the dataset's lease. Raises `InputError` when another run holds it."""
    lease = _acquire(storage)
    try:
        yield lease
    finally:
        lease.release()


def holder_of(storage: Storage) -> Holder | None:
    """The run that works on the dataset now, or None."""
    for key in reversed(_locks(storage)):
        holder = _read(storage, key)
        if holder is not None:
            return None if holder.is_dead(time.time()) else holder
    return None


def _acquire(storage: Storage) -> Lease:
    locks = _locks(storage)
    _require_free(storage)
    now = time.time()
    holder = Holder(uuid.uuid4().hex, socket.gethostname(), _boot(), os.getpid(), now, now)
    number = int(locks[-1].rpartition("/")[2].removesuffix(".json")) + 1 if locks else 1
    key = f"{LOCKS}/{number:06d}.json"
    content = json.dumps(asdict(holder)).encode()
    # A store may repeat a request whose response was lost, and then find the object of the first.
    if not storage.create(key, content) and _read(storage, key) != holder:
        raise _busy(storage, _read(storage, key))
    if _locks(storage)[-1:] != [key]:
        # Other runs came and went between the listing and the creation.
        storage.delete(key)
        raise _busy(storage, holder_of(storage))
    for old in locks:
        storage.delete(old)
    return Lease(storage, key, holder)


def _require_free(storage: Storage) -> None:
    holder = holder_of(storage)
    if holder is not None:
        raise _busy(storage, holder)


def _busy(storage: Storage, holder: Holder | None) -> InputError:
    who = "started just now"
    if holder is not None:
        ago = max(0.0, time.time() - holder.beat_unix)
        who = f"on {holder.host}, process {holder.pid}, last heartbeat {ago:.0f} s ago"
    return InputError(
        f"another run works on {storage.uri} ({who}); wait for it to finish. The lease of a "
        f"crashed run expires {DEAD_SECONDS:.0f} s after its last heartbeat"
    )


def _locks(storage: Storage) -> list[str]:
    return [info.key for info in storage.list(LOCKS)]


def _read(storage: Storage, key: str) -> Holder | None:
    try:
        return Holder(**json.loads(storage.get(key)))
    except (ObjectNotFoundError, ValueError, TypeError):
        return None


def _boot() -> str:
    """This boot of this machine, and its space of process ids (containers have their own)."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    return ""


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
