"""The rows of the index: one `ClipRow` a clip, one `MovieRow` a movie, and their Arrow schemas.

Time is integer nanoseconds on the movie timeline: t = 0 is the presentation start of the chosen
video stream, and ranges are half-open, [start, end).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_type_hints

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shards_spec.errors import FormatError

SPEC_VERSION = "1.0"

Status = Literal["done", "quarantined", "failed", "skipped"]
STATUSES: tuple[Status, ...] = ("done", "quarantined", "failed", "skipped")

#: Columns of a clip that its own tar bytes determine; they cannot stand inside those bytes.
PLACE_COLUMNS = ("tar_offset", "tar_bytes", "crc32c")

#: Columns of a movie that are measured; they differ between runs that are otherwise equal.
MEASURED_COLUMNS = ("attempts", "decode_seconds", "wall_seconds")

_INT32, _UINT32, _FLOAT32 = {"arrow": pa.int32()}, {"arrow": pa.uint32()}, {"arrow": pa.float32()}


@dataclass(frozen=True, kw_only=True)
class ClipContent:
    """What is known about a clip before it has a position in a shard."""

    clip_id: str
    """`<movie_id>_<clip_number, 6 digits>`; also the key of the sample."""
    movie_id: str
    """`[a-z0-9_-]+`."""
    group: str
    """Show or franchise; the movie itself where the corpus names none."""
    clip_number: int = field(metadata=_INT32)
    """Place on the movie's clip grid, from 0; dropped clips leave gaps."""
    start_ns: int
    """Start on the movie timeline."""
    end_ns: int
    """End on the movie timeline, exclusive."""
    first_frame_pts_ns: int
    """When the clip's first frame came on screen; at most `start_ns`."""
    num_frames: int = field(metadata=_INT32)
    """Frames in the film strip; frame i is the one on screen at `start_ns + i / fps`."""
    fps: float
    """Frames per second inside the clip."""
    height: int = field(metadata=_INT32)
    """Pixels of one frame; a multiple of 16."""
    width: int = field(metadata=_INT32)
    """Pixels of one frame."""
    sample_rate_hz: int = field(metadata=_INT32)
    """Rate of the audio that the spectrogram was computed from."""
    num_audio_samples: int
    """Samples of that audio in the clip."""
    av_skew_ns: int
    """Time of the clip's first audio sample less `start_ns`."""
    shot_id: int = field(metadata=_INT32)
    """Number of the shot that holds the clip's first frame, from 0."""
    num_cuts: int = field(metadata=_INT32)
    """Shot cuts between the clip's frames."""
    luma_mean: float = field(metadata=_FLOAT32)
    """Mean luma of all frames, 0..255."""
    luma_std: float = field(metadata=_FLOAT32)
    """Standard deviation of luma over all pixels of all frames, 0..255."""
    motion: float = field(metadata=_FLOAT32)
    """Mean absolute luma change from frame to frame, 0..255."""
    audio_rms_dbfs: float = field(metadata=_FLOAT32)
    """RMS level, dB relative to full scale; -120 for digital silence."""
    audio_peak_dbfs: float = field(metadata=_FLOAT32)
    """Highest sample, dB relative to full scale; -120 for digital silence."""
    filled_audio_ns: int
    """How much of the clip's audio was missing in the source and filled with silence."""

    def at(self, shard: str, tar_offset: int, tar_bytes: int, crc32c: int) -> ClipRow:
        """The index row of this clip at a position in a shard."""
        content = {item.name: getattr(self, item.name) for item in dataclasses.fields(ClipContent)}
        return ClipRow(
            **content, shard=shard, tar_offset=tar_offset, tar_bytes=tar_bytes, crc32c=crc32c
        )

    def to_member(self, shard: str) -> bytes:
        """The `.json` member: all columns that do not depend on the bytes of the sample.

        Numbers are those of the index: float32 columns are rounded to float32 here too.
        """
        names = [item.name for item in dataclasses.fields(ClipContent)]
        values = {name: getattr(self, name) for name in names} | {"shard": shard}
        for name in _FLOAT32_COLUMNS:
            values[name] = float(np.float32(values[name]))
        text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return text.encode()


@dataclass(frozen=True, kw_only=True)
class ClipRow(ClipContent):
    """One clip of the index. Its sample's `.json` has these columns except `PLACE_COLUMNS`."""

    shard: str
    """Key of the shard, relative to the dataset."""
    tar_offset: int
    """First byte of the sample's members in the shard."""
    tar_bytes: int
    """Bytes of the sample's members: headers, contents, padding."""
    crc32c: int = field(metadata=_UINT32)
    """CRC-32C (Castagnoli) of those bytes."""


@dataclass(frozen=True, kw_only=True)
class MovieRow:
    """One movie of the corpus, also one that failed. Unknown numbers are 0, unknown words empty."""

    movie_id: str
    group: str
    source_uri: str
    source_bytes: int
    source_fingerprint: str
    """Of size and content samples (local) or size and ETag (object store)."""
    recipe_fingerprint: str
    status: Status
    error_class: str = ""
    """Class of the failure; empty when done."""
    error: str = ""
    """Message of the failure; empty when done."""
    attempts: int = field(default=1, metadata=_INT32)
    duration_ns: int = 0
    num_clips: int = field(default=0, metadata=_INT32)
    num_shards: int = field(default=0, metadata=_INT32)
    shard_bytes: int = 0
    video_codec: str = ""
    video_width: int = field(default=0, metadata=_INT32)
    """As coded, before rotation and cropping."""
    video_height: int = field(default=0, metadata=_INT32)
    sar: str = ""
    """Sample aspect ratio, `num:den`."""
    rotation: int = field(default=0, metadata=_INT32)
    """Degrees clockwise that were applied: 0, 90, 180 or 270."""
    avg_frame_rate: str = ""
    """As the container says, `num/den`."""
    is_vfr: bool = False
    field_order: str = ""
    hdr: str = ""
    """Transfer of an HDR source (`smpte2084`, `arib-std-b67`); empty for SDR."""
    crop: str = ""
    """Picture area kept, `width:height:x:y` of the upright picture; empty when no bars."""
    audio_track: int = field(default=-1, metadata=_INT32)
    """Index of the chosen audio stream in the container."""
    audio_choice: str = ""
    """Why that stream: `only track`, `language eng`, `default track`, ..."""
    audio_language: str = ""
    audio_codec: str = ""
    audio_channels: int = field(default=0, metadata=_INT32)
    audio_start_offset_ns: int = 0
    """Start of the audio stream on the movie timeline."""
    audio_filled_ns: int = 0
    """How much of the movie's audio was missing and filled with silence."""
    audio_cut_ns: int = 0
    """How much of it was left out because earlier audio already stood at its place."""
    audio_drift_ppm: float = 0.0
    """How much the audio was stretched to follow its timestamps, parts per million."""
    dropped_black: int = field(default=0, metadata=_INT32)
    dropped_silent: int = field(default=0, metadata=_INT32)
    dropped_frozen: int = field(default=0, metadata=_INT32)
    dropped_too_short: int = field(default=0, metadata=_INT32)
    """Clips at the end of the movie that lack frames."""
    decode_seconds: float = 0.0
    """CPU seconds of ffmpeg over all attempts."""
    wall_seconds: float = 0.0
    """From the movie's first task to its commit."""
    picture_applied: str = ""
    """What was done to the picture, in order: fields, orientation, crop, pixels, colours."""
    declared_duration_ns: int = 0
    """Of the video stream as its container says; more than `duration_ns` when a file is cut off."""
    video_held_ns: int = 0
    """Time in which a frame stayed on screen after its first second: stills, or lost frames."""
    wanted_language: str = ""
    """Audio language that the corpus manifest asked for; empty when it did not."""
    wanted_audio_track: int = field(default=-1, metadata=_INT32)
    """Audio stream that the corpus manifest asked for; -1 when it did not."""
    wanted_start_seconds: float = 0.0
    """Start of the part that the corpus manifest asked for."""
    wanted_end_seconds: float = 0.0
    """End of that part, exclusive; 0 for the movie's end."""
    dropped_damaged: int = field(default=0, metadata=_INT32)
    """Clips with a frame that the decoder had to mend, or that is made from a mended one."""
    video_lost_ns: int = 0
    """Picture that is never on screen because the clock jumped back: a second recording joined on.
    """

    def to_json(self) -> str:
        """Canonical JSON of all columns."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str | bytes) -> MovieRow:
        """Inverse of `to_json`; columns that this version does not know are left out."""
        known = {item.name for item in dataclasses.fields(MovieRow)}
        return MovieRow(**{k: v for k, v in json.loads(text).items() if k in known})


def _arrow_schema(row_type: type, first: Sequence[str] = ()) -> pa.Schema:
    """The columns of a row type, those named in `first` before the others."""
    plain = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    hints = get_type_hints(row_type)
    fields = []
    for item in sorted(
        dataclasses.fields(row_type),
        key=lambda item: first.index(item.name) if item.name in first else len(first),
    ):
        default = plain.get(hints[item.name], pa.string())
        fields.append(pa.field(item.name, item.metadata.get("arrow", default), nullable=False))
    return pa.schema(fields)


_FIRST_CLIP_COLUMNS = ("clip_id", "movie_id", "group", "shard", *PLACE_COLUMNS)

CLIPS_SCHEMA: pa.Schema = _arrow_schema(ClipRow, _FIRST_CLIP_COLUMNS)
MOVIES_SCHEMA: pa.Schema = _arrow_schema(MovieRow)

#: Columns that datasets made before they came do not have; rows have their defaults there.
ADDED_COLUMNS = ("dropped_damaged", "video_lost_ns")

_FLOAT32_COLUMNS = tuple(item.name for item in CLIPS_SCHEMA if item.type == pa.float32())


def clips_table(rows: Iterable[ClipRow]) -> pa.Table:
    """Clip rows as a table, sorted by (movie_id, shard, tar_offset)."""
    ordered = sorted(rows, key=lambda row: (row.movie_id, row.shard, row.tar_offset))
    return pa.Table.from_pylist([dataclasses.asdict(row) for row in ordered], CLIPS_SCHEMA)


def movies_table(rows: Iterable[MovieRow]) -> pa.Table:
    """Movie rows as a table, sorted by movie_id."""
    ordered = sorted(rows, key=lambda row: row.movie_id)
    return pa.Table.from_pylist([dataclasses.asdict(row) for row in ordered], MOVIES_SCHEMA)


def clip_rows(table: pa.Table) -> list[ClipRow]:
    """Inverse of `clips_table`; columns that this version does not know are left out."""
    require_columns(table, CLIPS_SCHEMA, "clips")
    return [ClipRow(**row) for row in _known(table, CLIPS_SCHEMA).to_pylist()]


def movie_rows(table: pa.Table) -> list[MovieRow]:
    """Inverse of `movies_table`; columns that this version does not know are left out."""
    require_columns(table, MOVIES_SCHEMA, "movies")
    return [MovieRow(**row) for row in _known(table, MOVIES_SCHEMA).to_pylist()]


def _known(table: pa.Table, schema: pa.Schema) -> pa.Table:
    return table.select([name for name in schema.names if name in table.schema.names])


def parse_table(data: bytes, name: str) -> pa.Table:
    """Parquet bytes as a table, its columns not checked. Raises `FormatError`, naming `name`."""
    try:
        # One thread: a process that ends while Arrow still starts its threads is aborted.
        return pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise FormatError(f"{name} is not readable Parquet: {error}") from error


def require_columns(table: pa.Table, schema: pa.Schema, name: str) -> None:
    """Raise `FormatError` unless `table` has every column of `schema` with its type.

    `ADDED_COLUMNS` may be missing: the dataset is older than they are.
    """
    found = table.schema.names
    problems: Sequence[str] = [
        f"{item.name}: {'missing' if item.name not in found else 'wrong type'}"
        for item in schema
        if (item.name not in found and item.name not in ADDED_COLUMNS)
        or (item.name in found and table.schema.field(item.name).type != item.type)
    ]
    if problems:
        raise FormatError(f"{name} table breaks the schema: {', '.join(problems)}")


def row_values(row: Any) -> dict[str, Any]:
    """A row's values by column name."""
    return dataclasses.asdict(row)
