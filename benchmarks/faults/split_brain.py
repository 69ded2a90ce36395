"""Do two runs ever write to one dataset at the same time? Two takers, and a holder that was paused.

    python -m benchmarks.faults.split_brain [--trials 50]
        [--stores folder moto seaweedfs rclone s3rver] [--parallel 10]

**Two takers**: two processes take the lease of one dataset at the same moment and keep it for a
while. **Paused holder**: a process holds the lease and writes objects without a break; at a random
moment it is stopped (SIGSTOP) for longer than a lease lives. Another process, which says that it is
on another machine, takes over and writes; then the first one is continued. Two writers are counted:
times at which both held the lease, and writes that the first began after the second had begun. A
single write in whose middle the first was stopped, and that ends late, is counted apart.

The intervals of the protocol are shortened; everything else is the code of a run.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import random
import signal
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from benchmarks.support import RESULTS, processor
from pipeline import lease
from shards_spec.conformance import probe_store
from shards_spec.errors import ReelshardsError
from shards_spec.storage import Storage
from tests.support.stores.s3_servers import KINDS, server

RESULT = RESULTS / "split_brain.md"
TIMING = lease.Timing(beat=0.5, dead=8.0, stale=5.0, watch=1.0, valid=0.2, settle=1.0)
#: Time for which a taker keeps the lease, and a paused holder is stopped, seconds.
KEEP_SECONDS, PAUSE_SECONDS = 1.0, 10.0

#: Processes are copies of one that has only imported the modules and has no threads.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["pipeline.run", "tests.support.stores.s3_servers"])


@dataclass
class Outcome:
    """What happened on one store."""

    protocol: str
    takers: Counter[str] = field(default_factory=Counter)
    """Trials by outcome: `one`, `none`, `two writers`."""
    paused: Counter[str] = field(default_factory=Counter)
    """Trials by outcome: `stopped`, `in flight`, `not taken over`, `two writers`."""


def taker(pipe: Connection, variables: dict[str, str], uri: str, start: float) -> None:
    """Take the lease at a moment; send when it was held."""
    os.environ.update(variables)
    time.sleep(max(0.0, start - time.time()))
    try:
        with lease.hold_lease(Storage(uri, create=True), TIMING) as held:
            storage = held.fenced(Storage(uri))
            began = time.time()
            while time.time() - began < KEEP_SECONDS:
                storage.put(f"commits/{os.getpid()}.parquet", b"x")
                time.sleep(0.05)
            pipe.send((began, time.time()))
    except ReelshardsError as error:
        pipe.send(str(error))


def holder(pipe: Connection, variables: dict[str, str], uri: str) -> None:
    """Hold the lease and write until it is lost; send when each write began and ended."""
    os.environ.update(variables)
    writes = []
    try:
        with lease.hold_lease(Storage(uri, create=True), TIMING) as held:
            storage = held.fenced(Storage(uri))
            pipe.send("held")
            while True:
                began = time.time()
                storage.put("commits/first.parquet", b"x")
                writes.append((began, time.time()))
                time.sleep(0.02)
    except ReelshardsError as error:
        pipe.send((writes, str(error)))


def successor(pipe: Connection, variables: dict[str, str], uri: str) -> None:
    """Take over from a paused holder, as another machine; send when it held the lease."""
    os.environ.update(variables)
    socket.gethostname = lambda: "another-machine"
    deadline = time.time() + 60
    while time.time() < deadline:
        with (
            contextlib.suppress(ReelshardsError),
            lease.hold_lease(Storage(uri), TIMING) as held,
        ):
            pipe.send(time.time())
            storage = held.fenced(Storage(uri))
            for _ in range(40):
                storage.put("commits/second.parquet", b"x")
                time.sleep(0.1)
            return
        time.sleep(0.5)
    pipe.send(0.0)


def prober(pipe: Connection, variables: dict[str, str], uri: str) -> None:
    """Send whether the store creates exclusively."""
    os.environ.update(variables)
    storage = Storage(uri, create=True)
    pipe.send(probe_store(storage, "run.lock/probe").creates_exclusively)


@contextlib.contextmanager
def started(work: Callable[..., None], *arguments: Any) -> Iterator[tuple[Connection, int]]:
    """A process that does the work; yields its pipe and its id."""
    ours, theirs = _context.Pipe()
    variables = {name: text for name, text in os.environ.items() if name.startswith("AWS_")}
    process = _context.Process(target=work, args=(theirs, variables, *arguments))
    process.start()
    theirs.close()
    try:
        yield ours, process.pid or 0
        process.join(60)
    finally:
        process.kill()
        process.join()


def takers_trial(uri: str) -> str:
    """One trial of two takers; returns its outcome."""
    start = time.time() + 0.5
    with (
        started(taker, uri, start) as (first, _),
        started(taker, uri, start + random.uniform(0, 0.05)) as (second, _),
    ):
        answers = [pipe.recv() for pipe in (first, second)]
    spans = [answer for answer in answers if not isinstance(answer, str)]
    if len(spans) == 2 and max(spans[0][0], spans[1][0]) < min(spans[0][1], spans[1][1]):
        return "two writers"
    return "one" if spans else "none"


def paused_trial(uri: str) -> str:
    """One trial of a paused holder; returns its outcome."""
    with started(holder, uri) as (first, pid):
        if first.recv() != "held":
            return "not taken over"
        time.sleep(random.uniform(0.2, 1.5))
        os.kill(pid, signal.SIGSTOP)
        stopped = time.time()
        with started(successor, uri) as (second, _):
            began = second.recv()
            # Also pauses that end before the takeover are of interest, but not that many.
            time.sleep(max(0.0, stopped + PAUSE_SECONDS - time.time()))
            os.kill(pid, signal.SIGCONT)
            if not first.poll(60):
                return "two writers"
            writes, _ = first.recv()
    if not began:
        return "not taken over"
    if any(start > began for start, _ in writes):
        return "two writers"
    return "in flight" if any(end > began for _, end in writes) else "stopped"


def measure(uri: str, trials: int, parallel: int) -> Outcome:
    """All trials on one store."""
    with started(prober, uri) as (pipe, _):
        is_exclusive = pipe.recv()
    outcome = Outcome("conditional creation" if is_exclusive else "claims")
    with ThreadPoolExecutor(parallel) as pool:
        for kind, trial, counts in (
            ("takers", takers_trial, outcome.takers),
            ("paused", paused_trial, outcome.paused),
        ):
            uris = [f"{uri}/{kind}-{number}" for number in range(trials)]
            counts.update(pool.map(trial, uris))
    return outcome


def main() -> None:
    """Measure each store and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument(
        "--parallel",
        type=int,
        default=10,
        help="trials at the same time, each on a dataset of its own; a slow store needs fewer, or "
        "its lease records are older than the shortened intervals allow",
    )
    parser.add_argument("--stores", nargs="*", default=["folder", *KINDS])
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    outcomes: dict[str, Outcome | str] = {}
    for kind in options.stores:
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            try:
                uri, variables = str(folder / "out"), dict[str, str]()
                if kind != "folder":
                    uri, variables = stack.enter_context(server(kind, folder))
            except pytest.skip.Exception as skipped:
                outcomes[kind] = str(skipped)
                continue
            os.environ.update(variables)
            outcomes[kind] = measure(uri, options.trials, options.parallel)
        print(kind, outcomes[kind], flush=True)
    options.out.write_text(report(outcomes, options.trials))


def report(outcomes: dict[str, Outcome | str], trials: int) -> str:
    """The result file."""
    lines = [
        "# Two runs on one dataset\n",
        f"`python -m benchmarks.faults.split_brain`, on {processor()}. {trials} trials of "
        "each kind and store. Intervals, in seconds: "
        f"heartbeat {TIMING.beat:g}, dead {TIMING.dead:g}, stale {TIMING.stale:g}, "
        f"watch {TIMING.watch:g}, settling {TIMING.settle:g} (in a run 10, 120, 90, 15 and 2).\n",
        "| store | protocol | two takers: one got it | none | two writers "
        "| paused holder: stopped | write in flight | not taken over | two writers |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for kind, outcome in outcomes.items():
        if isinstance(outcome, str):
            lines.append(f"| {kind} | {outcome} | | | | | | | |")
            continue
        first, second = outcome.takers, outcome.paused
        lines.append(
            f"| {kind} | {outcome.protocol} | {first['one']} | {first['none']} | "
            f"**{first['two writers']}** | {second['stopped']} | {second['in flight']} | "
            f"{second['not taken over']} | "
            f"**{second['two writers']}** |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
