"""Spans of movies that show or play the same: rows of `index/duplicates.parquet`."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any

import numpy as np
import pyarrow as pa

#: One row for each span of a movie that is also in another movie, or that shows nothing.
DUPLICATES_SCHEMA = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("set_number", pa.int32(), nullable=False),
        pa.field("movie_id", pa.string(), nullable=False),
        pa.field("start_ns", pa.int64(), nullable=False),
        pa.field("end_ns", pa.int64(), nullable=False),
        pa.field("other_movie_id", pa.string(), nullable=False),
        pa.field("other_start_ns", pa.int64(), nullable=False),
        pa.field("other_end_ns", pa.int64(), nullable=False),
        pa.field("video_match", pa.float32(), nullable=False),
        pa.field("audio_match", pa.float32(), nullable=False),
        pa.field("clips_digest", pa.string(), nullable=False),
        pa.field("other_clips_digest", pa.string(), nullable=False),
    ]
)

#: What two movies, or a movie by itself, have in common.
DUPLICATE_KINDS = ("copy", "excerpt", "opening", "credits", "scene", "logo", "blank")

#: Kinds for which movies belong on one side of a split.
LINKED_KINDS = ("copy", "excerpt", "opening", "credits", "scene")


def clip_ranges(clips: pa.Table, movie_ids: Collection[str]) -> dict[str, tuple[int, int]]:
    """First and last (exclusive) row of movies in a sorted table of clips; only those that it has.

    The column `movie_id` may be one of texts or a dictionary.
    """
    if not clips.num_rows:
        return {}
    encoded: Any = clips["movie_id"].combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.unify_dictionaries().combine_chunks()
    if not pa.types.is_dictionary(encoded.type):
        encoded = encoded.dictionary_encode()
    indices = np.asarray(encoded.indices)
    firsts = np.flatnonzero(np.diff(indices, prepend=-1))
    ends = np.append(firsts[1:], len(indices))
    names: list[str] = encoded.dictionary.to_pylist()
    wanted = set(movie_ids)
    return {
        names[indices[first]]: (int(first), int(end))
        for first, end in zip(firsts, ends, strict=True)
        if names[indices[first]] in wanted
    }


def clips_digests(clips: pa.Table, movie_ids: Collection[str]) -> dict[str, str]:
    """A digest of the clips of each of these movies, 16 hex digits: of times and checksums.

    It changes when the movie's clips do. Movies without clips have none.
    """
    columns = {
        name: np.asarray(clips[name].to_numpy(), dtype=kind)
        for name, kind in (("start_ns", "<i8"), ("crc32c", "<u4"))
    }
    digests = {}
    for name, (first, end) in clip_ranges(clips, movie_ids).items():
        digest = hashlib.sha256()
        for column in columns.values():
            digest.update(column[first:end].tobytes())
        digests[name] = digest.hexdigest()[:16]
    return digests
