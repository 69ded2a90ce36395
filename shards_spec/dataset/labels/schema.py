"""The tables of labels: ranges of movies, and what they mean for clips.

labels/<name>.parquet          labeled ranges on the movie timeline: what was imported
index/labels/<name>.parquet    the same by clip: made from it and from the table of clips
index/labels.json              the names of all tables, and what they contain
"""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass

import pyarrow as pa

from shards_spec.errors import InputError

RANGES = "labels"
CLIP_LABELS = "index/labels"
LABELS_JSON = "index/labels.json"

#: In the schema metadata of a table by clip: fingerprints of the tables that it was made from.
CLIPS_FINGERPRINT = b"reelshards.clips_fingerprint"
RANGES_FINGERPRINT = b"reelshards.ranges_fingerprint"

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")

RANGES_SCHEMA = pa.schema(
    [
        pa.field("movie_id", pa.string(), nullable=False),
        pa.field("start_ns", pa.int64(), nullable=False),
        pa.field("end_ns", pa.int64(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("text", pa.string()),
    ]
)

CLIP_LABELS_SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("movie_id", pa.string(), nullable=False),
        pa.field("start_ns", pa.int64(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("text", pa.string()),
        pa.field("overlap_ns", pa.int64(), nullable=False),
        pa.field("overlap", pa.float32(), nullable=False),
    ]
)


@dataclass(frozen=True)
class LabeledRange:
    """A label or a text for a range of a movie."""

    movie_id: str
    start_ns: int
    """On the movie timeline."""
    end_ns: int
    """Exclusive."""
    label: str | None
    text: str | None


@dataclass(frozen=True)
class TableInfo:
    """What a table of labels contains."""

    name: str
    num_ranges: int
    num_movies: int
    num_clips: int
    """Clips with a label or text."""
    has_labels: bool
    has_text: bool


def check_name(name: str) -> str:
    """Return the name of a table of labels; raise `InputError` unless it can be used in `where`."""
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise InputError(
            f"{name!r} cannot be the name of labels: it must be a letter and up to 63 more of "
            "a-z, 0-9 and _, and not a word of Python such as class; choose one with --name"
        )
    return name


def ranges_key(name: str) -> str:
    """Key of a table of ranges."""
    return f"{RANGES}/{name}.parquet"


def clip_labels_key(name: str) -> str:
    """Key of a table by clip."""
    return f"{CLIP_LABELS}/{name}.parquet"
