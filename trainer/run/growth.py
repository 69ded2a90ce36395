"""Whether a dataset has only grown: every movie of before is there with exactly its clips.

Movies may have been added, nothing else: a movie with more, fewer or other clips has been made
anew, and the run that goes on would see content it takes for seen as new, or the other way round.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from trainer.plan import ClipIndex

#: Movies that a message names.
_MAX_NAMES = 5


def movie_digests(clips: pa.Table) -> dict[str, str]:
    """A hash of each movie's clips in their order: ids, bytes and checksums.

    Reads the columns `movie_id`, `clip_id`, `tar_bytes` and `crc32c`.
    """
    number = ClipIndex.movie_numbers(clips)
    firsts = np.flatnonzero(np.diff(number, prepend=-1))
    lasts = np.append(firsts[1:], len(number))
    sizes = np.asarray(clips["tar_bytes"].to_numpy(), dtype="<i8")
    checksums = np.asarray(clips["crc32c"].to_numpy(), dtype="<u4")
    digests = {}
    for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
        ids = clips["clip_id"].slice(first, last - first).to_pylist()
        digest = hashlib.blake2b("\n".join(ids).encode(), digest_size=8)
        digest.update(sizes[first:last].tobytes())
        digest.update(checksums[first:last].tobytes())
        digests[clips["movie_id"][first].as_py()] = digest.hexdigest()
    return digests


def not_grown(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """How a dataset of `new` digests is not one of `old` ones with movies added."""
    missing = [name for name in old if name not in new]
    changed = [name for name, digest in old.items() if new.get(name, digest) != digest]
    found = []
    if missing:
        found.append(f"dataset movies that are gone: {_named(missing)}")
    if changed:
        found.append(f"dataset movies whose clips have changed: {_named(changed)}")
    return found


def _named(names: list[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more
