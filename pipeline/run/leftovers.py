"""What killed runs leave behind: removed by the next run on the dataset, and counted.

<dataset>/**/*#<digits>          files that were being written to a local dataset
<dataset>/shards/...             shards that neither a commit record nor the index lists
<temporary folder>/reelshards-*  folders of tasks and of index updates
processes                        Ray's processes and ffmpeg, see `engine.on_ray.run_processes`
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipeline.ffmpeg.reaper import TASK_FOLDERS
from pipeline.lease import LOCKS
from shards_spec import layout
from shards_spec.dataset.index import INDEX_FOLDERS
from shards_spec.storage import Storage, delete_abandoned_folders, temporary_files

#: Requests that delete shards at the same time.
_DELETE_THREADS = 32

_SHARD = re.compile(rf"{layout.SHARDS}/([a-z0-9_-]+)/\1-\d{{5,}}\.tar")

#: A record of the lease that another run is writing now must not vanish.
_MIN_AGE_OF_LOCKS_SECONDS = 600.0


@dataclass(frozen=True)
class Leftovers:
    """How much of killed runs a run has removed."""

    temporary_files: int = 0
    folders: int = 0
    processes: int = 0
    shards: int = 0

    def __str__(self) -> str:
        counts = {
            "temporary files": self.temporary_files,
            "temporary folders": self.folders,
            "processes": self.processes,
            "unlisted shards": self.shards,
        }
        return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def delete_temporary_files(storage: Storage) -> int:
    """Delete what killed processes were writing to a local dataset, whose lease the caller holds.

    Object stores have no such files. Parts of uploads that were never completed are not listed;
    a lifecycle rule of the bucket removes them.
    """
    if not storage.is_local:
        return 0
    root, count = storage.local_path(), 0
    locks = list(temporary_files(root / LOCKS, _MIN_AGE_OF_LOCKS_SECONDS))
    others = (path for path in temporary_files(root) if path.relative_to(root).parts[0] != LOCKS)
    for path in (*locks, *others):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
            count += 1
    return count


def delete_temporary_folders() -> int:
    """Delete folders on this machine whose processes were killed."""
    return sum(map(delete_abandoned_folders, (TASK_FOLDERS, INDEX_FOLDERS)))


def delete_unlisted_shards(storage: Storage, listed: Collection[str]) -> int:
    """Delete all shards but those `listed`; other objects are left alone. Returns their number."""
    unlisted = [
        info.key
        for info in storage.list(layout.SHARDS)
        if info.key not in listed and _SHARD.fullmatch(info.key)
    ]
    with ThreadPoolExecutor(_DELETE_THREADS) as pool:
        list(pool.map(storage.delete, unlisted))
    return len(unlisted)
