"""The state of a run on a dataset, as seen from any machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rich.console import Console

from pipeline import lease
from pipeline.console.display import movies_table, progress_line
from pipeline.console.notes import partial_movies_table
from pipeline.lease import Holder
from pipeline.run.progress import Progress, read_progress
from shards_spec.errors import InputError
from shards_spec.redaction import plain
from shards_spec.schema import MovieRow
from shards_spec.storage import Storage

_POLL_SECONDS = 2.0


def print_status(
    console: Console,
    progress: Progress | None,
    rows: Sequence[MovieRow],
    holder: Holder | None,
) -> None:
    """How far the last run is, which run works now, what is committed and what is missing."""
    if progress is not None:
        console.print(plain(status_line(progress, holder)))
    counts = f"{len(rows)} movies committed, {sum(row.num_clips for row in rows)} clips"
    console.print(counts)
    missing = [row for row in rows if row.status != "done"]
    if missing:
        console.print(movies_table("not done", missing))
    partial = partial_movies_table(rows)
    if partial is not None:
        console.print(partial)


def status_line(progress: Progress, holder: Holder | None) -> str:
    """One line. A run that is recorded as running but holds no live lease was killed."""
    state = progress.state
    if state == "running":
        state = f"running on {holder.host}" if holder else "killed (run again to resume)"
    return f"{state}: {progress_line(progress)}"


def watch(storage: Storage, console: Console, sleep: Callable[[float], None] = time.sleep) -> None:
    """Print a line for each change until no run is active.

    Raises `InputError` when there never was one.
    """
    last = ""
    while True:
        progress, holder = read_progress(storage), lease.holder_of(storage)
        if progress is None and holder is None:
            raise InputError(f"{storage.uri} has no run; check the path")
        line = status_line(progress, holder) if progress else "starting"
        if line != last:
            console.print(plain(line))
            last = line
        if holder is None:
            return
        sleep(_POLL_SECONDS)
