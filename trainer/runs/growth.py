"""Checks that a dataset has only been appended to: every earlier movie has exactly the same clips.

Movies may have been added and nothing else. A movie with more, fewer or different clips has been
preprocessed again: a resumed run would take content that it has seen for new, or the reverse.

`config.json` records when movies were added, so that `trainer/runs/exposure` can compute which
batches had them.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from shards_spec.dataset.labels.columns import is_label_column
from shards_spec.errors import InputError
from trainer.data.plan import ClipIndex

#: Movies named in a message.
_MAX_NAMES = 5


@dataclass(frozen=True)
class DataChange:
    """Movies that were appended to the data of a run."""

    steps_done: int
    """Steps of the run without them."""
    added: tuple[str, ...]
    """Their ids."""


#: Key of `config.json`; missing if the data never changed.
_CHANGES = "data_changes"


def data_changes(described: Mapping[str, Any], where: str) -> tuple[DataChange, ...]:
    """The changes that a `config.json` lists, in order. Raises `InputError`, naming `where`."""
    try:
        found = [
            DataChange(int(change["steps_done"]), tuple(map(str, change["added"])))
            for change in described.get(_CHANGES, [])
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{where} is corrupt: {_CHANGES}: {error!r}") from error
    return tuple(sorted(found, key=lambda change: change.steps_done))


def changes_at_launch(
    before: Sequence[DataChange],
    old_movies: Mapping[str, str],
    new_movies: Mapping[str, str],
    steps_done: int,
) -> dict[str, Any]:
    """What `config.json` lists from a launch on that resumes after `steps_done` steps.

    Changes after that step were undone: their movies join now.
    """
    kept = [change for change in before if change.steps_done <= steps_done]
    added = {name for change in before[len(kept) :] for name in change.added}
    added |= new_movies.keys() - old_movies.keys()
    if added:
        kept.append(DataChange(steps_done, tuple(sorted(added))))
    return {_CHANGES: [dataclasses.asdict(change) for change in kept]} if kept else {}


def movie_digests(clips: pa.Table) -> dict[str, str]:
    """A hash of each movie's clips in index order: ids, sizes in bytes and checksums.

    Reads the columns `movie_id`, `clip_id`, `tar_bytes` and `crc32c`, and those with labels.
    """
    labels = [name for name in clips.column_names if is_label_column(name)]
    number = ClipIndex.movie_numbers(clips)
    firsts = np.flatnonzero(np.diff(number, prepend=-1))
    stops = np.append(firsts[1:], len(number))
    sizes = np.asarray(clips["tar_bytes"].to_numpy(), dtype="<i8")
    checksums = np.asarray(clips["crc32c"].to_numpy(), dtype="<u4")
    digests = {}
    for first, stop in zip(firsts.tolist(), stops.tolist(), strict=True):
        ids = clips["clip_id"].slice(first, stop - first).to_pylist()
        digest = hashlib.blake2b("\n".join(ids).encode(), digest_size=8)
        digest.update(sizes[first:stop].tobytes())
        digest.update(checksums[first:stop].tobytes())
        for name in labels:
            digest.update(repr(clips[name].slice(first, stop - first).to_pylist()).encode())
        digests[clips["movie_id"][first].as_py()] = digest.hexdigest()
    return digests


def growth_problems(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Why a dataset with digests `new` is not the dataset of `old` with movies appended."""
    missing = [name for name in old if name not in new]
    changed = [name for name, digest in old.items() if new.get(name, digest) != digest]
    problems = []
    if missing:
        problems.append(f"dataset movies that are missing: {_named(missing)}")
    if changed:
        problems.append(f"dataset movies whose clips have changed: {_named(changed)}")
    return problems


def _named(names: list[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more
