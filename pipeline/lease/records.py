"""The records under `run.lock/`: who works on a dataset, and when they sent a heartbeat last."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from shards_spec.errors import InputError, ObjectNotFoundError
from shards_spec.storage import Storage

#: Prefix of the records in a dataset.
LOCKS = "run.lock"

_NAME = re.compile(r"(\d{6,})(-[0-9a-f]{32})?\.json")

State = Literal["claims", "holds"]


class LeaseLostError(InputError):
    """This run no longer holds the lease: another one took over, or its record is gone."""


@dataclass(frozen=True)
class Timing:
    """Intervals of the protocol, seconds."""

    beat: float = 10.0
    """Between two heartbeats."""
    dead: float = 120.0
    """A record without a heartbeat for this long may be taken over."""
    stale: float = 90.0
    """A run whose own last heartbeat is older writes nothing before it has renewed its lease. Less
    than `dead` by more than a write may take."""
    watch: float = 15.0
    """A record of another machine is dead only if it does not change for this long, so that nothing
    depends on clocks that agree. More than `beat`."""
    valid: float = 1.0
    """For how long the outcome of a check before a write is used for further writes."""
    settle: float = 2.0
    """What a store may take until a record is listed, and a run from its last check to the end of
    the write that follows. Waited for where creation is not exclusive, and after a takeover."""


TIMING = Timing()


@dataclass(frozen=True)
class Holder:
    """The run that a record belongs to."""

    owner: str
    """Random; distinguishes runs."""
    host: str
    boot: str
    """Boot of the host and PID namespace in which `pid` is valid."""
    pid: int
    started_unix: float
    beat_unix: float
    """Last heartbeat."""
    state: State = "holds"
    """`claims` until it is certain that no other run holds the lease."""

    def is_dead(self, now_unix: float, timing: Timing = TIMING) -> bool:
        """Whether the run has ended, as far as this machine can know."""
        if self.is_of_this_machine:
            return not _exists(self.pid) or self._silent(now_unix) > 30 * timing.dead
        return self._silent(now_unix) > timing.dead

    @property
    def is_of_this_machine(self) -> bool:
        """Whether `pid` is a process of this machine."""
        return (self.host, self.boot) == (socket.gethostname(), boot())

    def _silent(self, now_unix: float) -> float:
        return now_unix - self.beat_unix


@dataclass(frozen=True)
class Record:
    """One record."""

    key: str
    number: int
    holder: Holder | None
    """None if the content is not a holder, as after a power failure."""

    def is_live(self, timing: Timing = TIMING) -> bool:
        """Whether it is of a run that may still be working."""
        return self.holder is not None and not self.holder.is_dead(time.time(), timing)


def read_records(storage: Storage) -> list[Record]:
    """All records in the order of their keys. Other objects under the prefix are ignored."""
    records = []
    for info in storage.list(LOCKS):
        name = _NAME.fullmatch(info.key.removeprefix(f"{LOCKS}/"))
        if name is None:
            continue
        # A run that ends deletes its record, perhaps between the listing and the read.
        with contextlib.suppress(ObjectNotFoundError):
            records.append(Record(info.key, int(name[1]), parse_holder(storage.get(info.key))))
    return records


def read_holder(storage: Storage, key: str) -> Holder | None:
    """The run that a record belongs to; None if the record is missing or damaged."""
    try:
        return parse_holder(storage.get(key))
    except ObjectNotFoundError:
        return None


def write_holder(storage: Storage, key: str, holder: Holder) -> None:
    """Write or replace a record."""
    storage.put(key, holder_bytes(holder))


def holder_bytes(holder: Holder) -> bytes:
    """A record's content."""
    return json.dumps(asdict(holder)).encode()


def parse_holder(data: bytes) -> Holder | None:
    """The run that a record's content is of; None if it is none. Unknown keys are ignored."""
    names = {field.name for field in dataclasses.fields(Holder)}
    try:
        values = json.loads(data)
        holder = Holder(**{name: values[name] for name in names & set(values)})
        float(holder.beat_unix), int(holder.pid)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return holder


def holder_of(storage: Storage) -> Holder | None:
    """The run that works on the dataset now, or None."""
    live = [record for record in read_records(storage) if record.is_live()]
    return live[-1].holder if live else None


def boot() -> str:
    """This boot of this machine, and its PID namespace (containers have their own)."""
    with contextlib.suppress(OSError):
        number = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{number} {os.readlink('/proc/self/ns/pid')}"
    return ""


def _exists(pid: int) -> bool:
    """Whether there is such a process that has not ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError, IndexError):
        # A process that was killed exists until its parent has reaped it.
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    return True
