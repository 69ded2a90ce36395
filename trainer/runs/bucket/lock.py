"""The lock of a run folder in a bucket: one launch at a time, on any store.

    .run-lock/000004.json            on stores that create an object only if it is absent
    .run-lock/000004-<token>.json    on others, where every launch can write its own claim

A launch claims the next number, then says that it holds the lock, and then looks once more: of two
launches that both hold it, at least the later one sees the other, and withdraws. No record is ever
deleted by a launch that found it dead before it holds the lock itself, so that nobody deletes the
lock of a launch that was faster. Records that are not renewed expire.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from shards_spec.conformance import probe_store
from shards_spec.errors import InputError, ObjectNotFoundError, ReelshardsError
from shards_spec.storage import Storage

LOCKS = ".run-lock"

#: A launch that has not renewed its lock for this long is taken to be dead, seconds.
LOCK_SECONDS = 180.0

#: Time between renewals, seconds.
RENEWAL_SECONDS = 30.0

#: How long claims of the same moment have to become visible, where all of them can be written.
SETTLE_SECONDS = 3.0

_PROBE = f"{LOCKS}/probe-"


@dataclass(frozen=True, kw_only=True)
class Record:
    """Which launch claims or holds the lock."""

    token: str
    host: str
    machine: str
    """Boot and process namespace: process numbers of others mean nothing here."""
    pid: int
    expires_unix: float
    holds: bool

    def is_live(self) -> bool:
        """Whether it has not expired, and its process has not ended as far as this can be seen."""
        if self.machine and self.machine == _machine() and not Path(f"/proc/{self.pid}").exists():
            return False
        return self.expires_unix > time.time()

    def to_bytes(self) -> bytes:
        """As stored."""
        return json.dumps(dataclasses.asdict(self)).encode()


class BucketLock:
    """The lock of one launch; a context manager. Raises `InputError` while another one has it."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._lost = ""
        self._key = ""
        self._own = Record(
            token=uuid.uuid4().hex,
            host=socket.gethostname(),
            machine=_machine(),
            pid=os.getpid(),
            expires_unix=0.0,
            holds=False,
        )
        self._end = threading.Event()
        self._renewal = threading.Thread(
            target=self._renew, name="reelshards-run-lock", daemon=True
        )

    def __enter__(self) -> BucketLock:
        self._acquire()
        self._renewal.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        self._renewal.join()
        with contextlib.suppress(ReelshardsError):
            if self._is_own():
                self._storage.delete(self._key)

    @property
    def is_lost(self) -> bool:
        """Whether another launch is known to have taken over."""
        return bool(self._lost)

    def check(self) -> None:
        """Raise `InputError` unless this launch still has the lock; asks the store."""
        if not self._lost and not self._is_own():
            self._lost = "another launch has taken over this run"
        if self._lost:
            raise InputError(f"{self._storage.uri}: {self._lost}; this launch stops")

    def _acquire(self) -> None:
        before = _records(self._storage)
        self._require_none([record for _, record in before if record and record.is_live()])
        store = probe_store(self._storage, f"{_PROBE}{self._own.token}")
        if not store.lists_at_once:
            raise InputError(
                f"{self._storage.uri}: the store does not list what was just written, so that two "
                "launches could not see each other; use another store for --run"
            )
        number = 1 + max((_number(key) for key, _ in before), default=0)
        if store.creates_exclusively:
            self._key = f"{LOCKS}/{number:06d}.json"
            created = self._storage.create(self._key, self._renewed().to_bytes())
            # A repeated request, whose first answer was lost, finds the object that it created.
            if not created and not self._is_own():
                raise InputError(f"another launch has just taken {self._storage.uri}")
        else:
            self._key = f"{LOCKS}/{number:06d}-{self._own.token}.json"
            self._storage.put(self._key, self._renewed().to_bytes())
            time.sleep(SETTLE_SECONDS)
        try:
            self._win(yields=store.creates_exclusively)
        except BaseException:
            with contextlib.suppress(ReelshardsError):
                self._storage.delete(self._key)
            raise

    def _win(self, *, yields: bool) -> None:
        """Hold the lock, unless another launch is there first; then delete dead records."""
        rivals = self._others()
        self._require_none(
            [
                one
                for key, one in rivals
                if one.is_live() and (yields or one.holds or key < self._key)
            ]
        )
        self._own = dataclasses.replace(self._own, holds=True)
        self._storage.put(self._key, self._renewed().to_bytes())
        self._require_none([one for _, one in self._others() if one.is_live() and one.holds])
        for key, record in _records(self._storage):
            if key != self._key and not (record and record.is_live()):
                self._storage.delete(key)

    def _renew(self) -> None:
        renewed = time.monotonic()
        while not self._end.wait(RENEWAL_SECONDS):
            try:
                self.check()
                self._storage.put(self._key, self._renewed().to_bytes())
                if [one for _, one in self._others() if one.is_live() and one.holds]:
                    self._lost = "another launch has taken over this run"
                    return
                renewed = time.monotonic()
            except InputError:
                return
            except ReelshardsError as error:
                if time.monotonic() - renewed > LOCK_SECONDS:
                    self._lost = f"the lock could not be renewed ({error})"
                    return

    def _renewed(self) -> Record:
        return dataclasses.replace(self._own, expires_unix=time.time() + LOCK_SECONDS)

    def _is_own(self) -> bool:
        record = _read(self._storage, self._key)
        return record is not None and record.token == self._own.token

    def _others(self) -> list[tuple[str, Record]]:
        return [
            (key, record)
            for key, record in _records(self._storage)
            if record is not None and record.token != self._own.token
        ]

    def _require_none(self, live: list[Record]) -> None:
        if not live:
            return
        left = max(0.0, live[0].expires_unix - time.time())
        raise InputError(
            f"another launch is training in {self._storage.uri} (process {live[0].pid} on "
            f"{live[0].host}); wait until it ends, stop it, or choose another --run; if it was "
            f"killed, its lock expires in {left:.0f} s"
        )


def _records(storage: Storage) -> list[tuple[str, Record | None]]:
    """All records by key; None for what cannot be read as one."""
    keys = [info.key for info in storage.list(LOCKS) if not info.key.startswith(_PROBE)]
    return [(key, _read(storage, key)) for key in keys]


def _read(storage: Storage, key: str) -> Record | None:
    try:
        values = json.loads(storage.get(key))
        record = Record(**values)
    except (ObjectNotFoundError, ValueError, TypeError, RecursionError):
        return None
    kinds = {"token": str, "host": str, "machine": str, "pid": int, "holds": bool}
    has_kinds = all(isinstance(values[name], kind) for name, kind in kinds.items())
    return record if has_kinds and isinstance(record.expires_unix, int | float) else None


def _number(key: str) -> int:
    digits = key.removeprefix(f"{LOCKS}/").partition(".")[0].partition("-")[0]
    return int(digits) if digits.isdecimal() and len(digits) < 10 else 0


def _machine() -> str:
    """Boot and process namespace of this machine; empty where they are not known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""
