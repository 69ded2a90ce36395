"""`index/fingerprints.parquet`: the words of every movie that has clips.

It is a cache, made from the shards: a row counts as long as the movie's clips are those that it was
made from, and is made again otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shards_spec import layout
from shards_spec.dataset.bounds.parquet_bounds import get_bounded
from shards_spec.dataset.fingerprints.audio import Track
from shards_spec.errors import FormatError, ObjectNotFoundError
from shards_spec.schema.tables import parse_table
from shards_spec.storage import Storage

#: Changes when the same clips get other words.
WORDS_VERSION = "1"
_VERSION_KEY = b"reelshards.words_version"

_SCHEMA = pa.schema(
    [
        pa.field("movie_id", pa.string(), nullable=False),
        pa.field("clips_digest", pa.string(), nullable=False),
        pa.field("duration_ns", pa.int64(), nullable=False),
        pa.field("video_steps", pa.list_(pa.int32()), nullable=False),
        pa.field("video_words", pa.list_(pa.uint64()), nullable=False),
        pa.field("blank_steps", pa.list_(pa.int32()), nullable=False),
        pa.field("audio_steps", pa.list_(pa.int32()), nullable=False),
        pa.field("audio_words", pa.list_(pa.uint64()), nullable=False),
    ]
)


@dataclass(frozen=True)
class Fingerprint:
    """A movie's words."""

    movie_id: str
    clips_digest: str
    """`schema.clips_digest` of the clips that the words were made from."""
    duration_ns: int
    """Of the movie, nanoseconds."""
    video: Track
    blank: np.ndarray[Any, np.dtype[np.int32]]
    """Steps whose frames show nothing, ascending."""
    audio: Track


def read_fingerprints(storage: Storage) -> dict[str, Fingerprint]:
    """By movie id; empty if the table is missing, damaged, or of another version."""
    uri = storage.uri_of(layout.FINGERPRINTS_PARQUET)
    try:
        table = parse_table(get_bounded(storage, layout.FINGERPRINTS_PARQUET), uri)
    except (ObjectNotFoundError, FormatError):
        return {}
    metadata: dict[bytes, bytes] = table.schema.metadata or {}
    if metadata.get(_VERSION_KEY) != WORDS_VERSION.encode():
        return {}
    if not table.schema.equals(_SCHEMA) or any(column.null_count for column in table.columns):
        return {}
    prints = (_fingerprint(row) for row in _rows(table))
    return {made.movie_id: made for made in prints if made is not None}


def write_fingerprints(storage: Storage, prints: Iterable[Fingerprint]) -> None:
    """Replace the table."""
    ordered = sorted(prints, key=lambda made: made.movie_id)
    columns = [
        pa.array([made.movie_id for made in ordered], pa.string()),
        pa.array([made.clips_digest for made in ordered], pa.string()),
        pa.array([made.duration_ns for made in ordered], pa.int64()),
        _lists([made.video.step for made in ordered], pa.int32()),
        _lists([made.video.words for made in ordered], pa.uint64()),
        _lists([made.blank for made in ordered], pa.int32()),
        _lists([made.audio.step for made in ordered], pa.int32()),
        _lists([made.audio.words for made in ordered], pa.uint64()),
    ]
    metadata = {_VERSION_KEY: WORDS_VERSION.encode()}
    table = pa.Table.from_arrays(columns, schema=_SCHEMA.with_metadata(metadata))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", use_dictionary=False)
    storage.put(layout.FINGERPRINTS_PARQUET, bytes(sink.getvalue()))


def _lists(values: list[Any], kind: pa.DataType) -> pa.Array:
    offsets = np.cumsum([0, *map(len, values)], dtype=np.int32)
    flat = np.concatenate(values) if values else np.zeros(0)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat, kind))


def _rows(table: pa.Table) -> Iterable[Mapping[str, Any]]:
    for number in range(table.num_rows):
        yield {name: table[name][number] for name in _SCHEMA.names}


def _fingerprint(row: Mapping[str, Any]) -> Fingerprint | None:
    """A row as a fingerprint; None if its lists do not fit together."""

    def numbers(name: str) -> Any:
        return row[name].values.to_numpy(zero_copy_only=False)

    video = Track(numbers("video_steps"), numbers("video_words"))
    audio = Track(numbers("audio_steps"), numbers("audio_words"))
    blank = numbers("blank_steps")
    for track in (video, audio):
        if len(track.step) != len(track.words):
            return None
    for steps in (video.step, audio.step, blank):
        if len(steps) and (steps[0] < 0 or (np.diff(steps) <= 0).any()):
            return None
    return Fingerprint(
        row["movie_id"].as_py(),
        row["clips_digest"].as_py(),
        row["duration_ns"].as_py(),
        video,
        blank,
        audio,
    )
