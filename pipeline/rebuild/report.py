"""What became of each clip: a table for each movie of the lock, next to the dataset's shards.

`rebuild/<movie_id>.parquet` has one row for each clip of the lock, whether or not it was made.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from shards_spec.dataset.bounds.parquet_bounds import get_bounded
from shards_spec.errors import FormatError, ObjectNotFoundError
from shards_spec.schema.tables import parse_table
from shards_spec.storage import Storage

FOLDER = "rebuild"

_METADATA = b"reelshards.rebuild"

SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("movie_id", pa.string(), nullable=False),
        pa.field("start_ns", pa.int64(), nullable=False),
        pa.field("end_ns", pa.int64(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("in_dataset", pa.bool_(), nullable=False),
        pa.field("matched_by", pa.string(), nullable=False),
        pa.field("copy_name", pa.string(), nullable=False),
        pa.field("audio_fit", pa.float64()),
        pa.field("frame_fit", pa.float64()),
        pa.field("copy_start_ns", pa.int64()),
        pa.field("copy_end_ns", pa.int64()),
        pa.field("speed", pa.float64()),
        pa.field("offset_error_ms", pa.float64()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class ClipReport:
    """One clip of the lock."""

    clip_id: str
    movie_id: str
    start_ns: int
    """On the timeline of the original, like `end_ns`."""
    end_ns: int
    status: str
    """`identical`, `aligned`, `other_audio`, `poor_fit` or `missing`."""
    reason: str = ""
    """Why it is not `identical` or `aligned`."""
    in_dataset: bool = False
    matched_by: str = ""
    """How its position in the copy was found: `file`, `audio` or `video`; empty for none."""
    copy_name: str = ""
    """The copy that it is from; empty for none."""
    audio_fit: float | None = None
    frame_fit: float | None = None
    copy_start_ns: int | None = None
    """On the timeline of the copy."""
    copy_end_ns: int | None = None
    speed: float | None = None
    """Seconds of the original that one second of the copy plays."""
    offset_error_ms: float | None = None
    """By which locally measured offsets typically differ from the one that was used."""


@dataclass(frozen=True)
class MovieReport:
    """One movie of the lock."""

    movie_id: str
    source_name: str
    """Of the original."""
    copy_name: str
    """Of the copies that were used; empty if there is none."""
    reason: str
    """Why nothing, or not everything, was made of it."""
    clips: Sequence[ClipReport]

    def count(self, status: str) -> int:
        """Clips of a status."""
        return sum(clip.status == status for clip in self.clips)

    @property
    def num_made(self) -> int:
        """Clips that are in the dataset."""
        return sum(clip.in_dataset for clip in self.clips)


def write_report(storage: Storage, report: MovieReport, lock_digest: str) -> None:
    """Write the table of one movie."""
    header = {
        "lock": lock_digest,
        "copy_name": report.copy_name,
        "source_name": report.source_name,
        "reason": report.reason,
    }
    table = pa.Table.from_pylist([asdict(clip) for clip in report.clips], SCHEMA)
    table = table.replace_schema_metadata({_METADATA: json.dumps(header).encode()})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    storage.put(_key(report.movie_id), bytes(sink.getvalue()))


def read_report(storage: Storage, movie_id: str, lock_digest: str) -> MovieReport | None:
    """The table of one movie; None if it is missing, damaged, or of another lock."""
    try:
        table = parse_table(get_bounded(storage, _key(movie_id)), _key(movie_id))
        header = json.loads((table.schema.metadata or {}).get(_METADATA, b"{}"))
        if header.get("lock") != lock_digest or not table.schema.equals(SCHEMA):
            return None
        clips = tuple(ClipReport(**row) for row in table.to_pylist())
        return MovieReport(
            movie_id, header["source_name"], header["copy_name"], header["reason"], clips
        )
    except (ObjectNotFoundError, FormatError, ValueError, KeyError):
        return None


def _key(movie_id: str) -> str:
    return f"{FOLDER}/{movie_id}.parquet"
