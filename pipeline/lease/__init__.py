"""One run at a time per dataset: a run holds a lease, renews it, and checks it before each write.

A lease is a record under `run.lock/`, named by a number, and also by its owner if the store does
not honor conditional writes:

    run.lock/000007.json                  dead: last heartbeat at 14:02
    run.lock/000008.json                  {"owner": ..., "host": ..., "pid": ..., "beat_unix": ...}
    run.lock/000008-<owner>.json          on a store that overwrites where it was asked to create

**Taking it** (`acquire`). A run that finds a live record is refused. Otherwise it writes a record
of its own, and only then looks again: it wins if no other live record exists. Of two runs that do
this at the same time, the one that writes later sees the record of the other, so at most one can
win. This requires only one guarantee of the store: what was written can be read and listed from
then on. Where creation is exclusive, all but one already fail to create theirs. The winner deletes
the records of dead runs.

**Keeping it** (`lease`). Heartbeats rewrite the record. A record is dead when its last heartbeat is
old and no further one comes while it is watched, or when its process was on this machine and no
longer exists. A run whose record is gone, or has another owner, has lost the lease.

**Fencing** (`fence`). Before every write and deletion, in the driver and in each worker, the record
must still exist, with its owner and a heartbeat that is not old. A run that was paused for longer
than a lease lives (SIGSTOP, a laptop that slept, a migrated VM) therefore stops at its next write.
"""

from __future__ import annotations

from pipeline.lease.lease import Lease, hold_lease
from pipeline.lease.records import LOCKS, Holder, LeaseLostError, Timing, holder_of

__all__ = ["LOCKS", "Holder", "Lease", "LeaseLostError", "Timing", "hold_lease", "holder_of"]
