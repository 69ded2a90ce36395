"""Takes the lease of a dataset, or says who has it."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.lease.records import (
    LOCKS,
    Holder,
    Record,
    Timing,
    boot,
    holder_bytes,
    read_holder,
    read_records,
    write_holder,
)
from shards_spec.conformance import probe_store
from shards_spec.errors import InputError, ReelshardsError
from shards_spec.storage import Storage

#: An object with which a store is probed, and when, seconds since 1970.
_PROBE = re.compile(rf"{LOCKS}/probe-(\d+)-[0-9a-f]+")

#: How many settling times a claim waits for simultaneous ones to be withdrawn, at most.
_MAX_SETTLES = 5


@dataclass(frozen=True)
class Claim:
    """A record that this run has written for itself."""

    key: str
    holder: Holder


def acquire(storage: Storage, timing: Timing) -> Claim:
    """Take the lease; `InputError` when another run has it, or the store cannot exclude others."""
    before = _require_free(storage, timing)
    store = probe_store(storage, f"{LOCKS}/probe-{int(time.time())}-{uuid.uuid4().hex}")
    if not store.lists_at_once:
        raise InputError(
            f"{storage.uri}: the store does not list what was just written, so that two runs could "
            "not see each other; use another store (see `reelshards check-store`)"
        )
    now, owner = time.time(), uuid.uuid4().hex
    holder = Holder(owner, socket.gethostname(), boot(), os.getpid(), now, now, "claims")
    number = 1 + max((record.number for record in before), default=0)
    if store.creates_exclusively:
        claim = Claim(f"{LOCKS}/{number:06d}.json", holder)
        created = storage.create(claim.key, holder_bytes(holder))
        # A repeated request, whose first answer was lost, finds the object that it created.
        if not created and read_holder(storage, claim.key) != holder:
            raise _busy(storage, read_holder(storage, claim.key), timing)
    else:
        claim = Claim(f"{LOCKS}/{number:06d}-{owner}.json", holder)
        write_holder(storage, claim.key, holder)
        time.sleep(timing.settle)
    try:
        return _win(storage, claim, timing, yields=store.creates_exclusively)
    except BaseException:
        with contextlib.suppress(ReelshardsError):
            storage.delete(claim.key)
        raise


def _win(storage: Storage, claim: Claim, timing: Timing, yields: bool) -> Claim:
    """Make sure that no other run is alive, then hold the lease.

    Args:
        yields: whether to be refused at once if there is a rival. Otherwise the claim with the
            lowest key waits until the others are withdrawn, so that one of them wins.
    """
    others = _wait_for_others(storage, claim, timing, yields)
    _watch(storage, others, timing)
    holder = replace(claim.holder, state="holds", beat_unix=time.time())
    write_holder(storage, claim.key, holder)
    for other in others:
        storage.delete(other.key)
    _delete_old_probes(storage, timing)
    if others:
        # Workers of the dead run may be in the middle of a write that they had checked.
        time.sleep(timing.settle)
    return Claim(claim.key, holder)


def _delete_old_probes(storage: Storage, timing: Timing) -> None:
    """Delete the objects with which runs that were killed had probed the store."""
    for info in storage.list(LOCKS):
        began = _PROBE.fullmatch(info.key)
        if began is not None and time.time() - int(began[1]) > timing.dead:
            storage.delete(info.key)


def _wait_for_others(storage: Storage, claim: Claim, timing: Timing, yields: bool) -> list[Record]:
    """The other records, when none of them is alive any more."""
    deadline = time.monotonic() + _MAX_SETTLES * timing.settle
    while True:
        others = [record for record in read_records(storage) if record.key != claim.key]
        rivals = [record for record in others if record.is_live(timing)]
        if not rivals:
            return others
        is_last = any(rival.key < claim.key for rival in rivals)
        if yields or is_last or time.monotonic() > deadline:
            raise _busy(storage, rivals[0].holder, timing)
        time.sleep(timing.settle / 4)


def _watch(storage: Storage, others: Sequence[Record], timing: Timing) -> None:
    """Raise `InputError` if a run of another machine that seems dead still sends heartbeats."""
    foreign = [other for other in others if other.holder and not other.holder.is_of_this_machine]
    deadline = time.monotonic() + timing.watch
    while foreign and time.monotonic() < deadline:
        time.sleep(timing.settle / 4)
        for other in foreign:
            current = read_holder(storage, other.key)
            if current is not None and current != other.holder:
                raise _busy(storage, current, timing)


def _require_free(storage: Storage, timing: Timing) -> list[Record]:
    """All records, none of which is of a run that is alive."""
    records = read_records(storage)
    for record in reversed(records):
        if record.is_live(timing):
            raise _busy(storage, record.holder, timing)
    return records


def _busy(storage: Storage, holder: Holder | None, timing: Timing) -> InputError:
    who = "started just now"
    if holder is not None:
        ago = max(0.0, time.time() - holder.beat_unix)
        who = f"on {holder.host}, process {holder.pid}, last heartbeat {ago:.0f} s ago"
    return InputError(
        f"another run works on {storage.uri} ({who}); wait for it to finish. The lease of a "
        f"crashed run expires {timing.dead:.0f} s after its last heartbeat"
    )
