"""Rows of the index: a `ClipRow` per clip, a `MovieRow` per movie, and their Arrow schemas.

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

#: Columns that describe the clip's bytes in the shard, and so cannot be part of those bytes.
LOCATION_COLUMNS = ("tar_offset", "tar_bytes", "crc32c")

#: Measured columns of a movie; they differ between runs that are otherwise equal.
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
    """Show or franchise; the movie id if the corpus names none."""
    clip_number: int = field(metadata=_INT32)
    """Position on the movie's clip grid, from 0; dropped clips leave gaps."""
    start_ns: int
    """Start on the movie timeline, inclusive."""
    end_ns: int
    """End on the movie timeline, exclusive."""
    first_frame_pts_ns: int
    """Presentation time of the clip's first frame; at most `start_ns`."""
    num_frames: int = field(metadata=_INT32)
    """Frames in the film strip; frame i is the one on screen at `start_ns + i / fps`."""
    fps: float
    """Frames per second inside the clip."""
    height: int = field(metadata=_INT32)
    """Height of one frame, pixels; a multiple of 16."""
    width: int = field(metadata=_INT32)
    """Width of one frame, pixels."""
    sample_rate_hz: int = field(metadata=_INT32)
    """Sample rate of the audio that the log-mel was computed from, Hz."""
    num_audio_samples: int
    """Number of samples of that audio in the clip."""
    av_skew_ns: int
    """Time of the clip's first audio sample minus `start_ns`."""
    shot_id: int = field(metadata=_INT32)
    """Number of the shot that contains the clip's first frame, from 0."""
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
    """Peak level, dB relative to full scale; -120 for digital silence."""
    filled_audio_ns: int
    """How much of the clip's audio is missing from the source and filled with silence."""

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
    """One clip of the index. Its sample's `.json` has these columns except `LOCATION_COLUMNS`."""

    shard: str
    """Object key of the shard, relative to the dataset."""
    tar_offset: int
    """Offset of the sample's first byte in the shard."""
    tar_bytes: int
    """Size of the sample in the shard: headers, contents and padding of its members."""
    crc32c: int = field(metadata=_UINT32)
    """CRC-32C (Castagnoli) of those bytes."""


@dataclass(frozen=True, kw_only=True)
class MovieRow:
    """One movie of the corpus, whatever its status. Unknown numbers are 0, unknown texts empty."""

    movie_id: str
    group: str
    source_uri: str
    source_bytes: int
    source_fingerprint: str
    """Digest of size and content samples (local), or of size and ETag (object store)."""
    recipe_fingerprint: str
    status: Status
    error_class: str = ""
    """Class of the failure; empty if and only if `done`."""
    error: str = ""
    """Message of the failure; empty if and only if `done`."""
    attempts: int = field(default=1, metadata=_INT32)
    duration_ns: int = 0
    num_clips: int = field(default=0, metadata=_INT32)
    num_shards: int = field(default=0, metadata=_INT32)
    shard_bytes: int = 0
    video_codec: str = ""
    video_width: int = field(default=0, metadata=_INT32)
    """As encoded, before rotation and cropping."""
    video_height: int = field(default=0, metadata=_INT32)
    sar: str = ""
    """Sample aspect ratio, `num:den`."""
    rotation: int = field(default=0, metadata=_INT32)
    """Clockwise rotation that was applied, degrees: 0, 90, 180 or 270."""
    avg_frame_rate: str = ""
    """As declared by the container, `num/den`."""
    is_vfr: bool = False
    field_order: str = ""
    hdr: str = ""
    """Transfer function of an HDR source (`smpte2084`, `arib-std-b67`); empty for SDR."""
    crop: str = ""
    """Area that was kept, `width:height:x:y` of the upright frame; empty without black bars."""
    audio_track: int = field(default=-1, metadata=_INT32)
    """Index of the chosen audio stream in the container."""
    audio_choice: str = ""
    """Why that stream was chosen: `only track`, `language eng`, `default track`, ..."""
    audio_language: str = ""
    audio_codec: str = ""
    audio_channels: int = field(default=0, metadata=_INT32)
    audio_start_offset_ns: int = 0
    """Start of the audio stream on the movie timeline."""
    audio_filled_ns: int = 0
    """How much of the movie's audio is missing and filled with silence."""
    audio_cut_ns: int = 0
    """How much audio was left out because earlier audio already covered its time."""
    audio_drift_ppm: float = 0.0
    """How much the audio was stretched to match its timestamps, parts per million."""
    dropped_black: int = field(default=0, metadata=_INT32)
    dropped_silent: int = field(default=0, metadata=_INT32)
    dropped_frozen: int = field(default=0, metadata=_INT32)
    dropped_too_short: int = field(default=0, metadata=_INT32)
    """Clips at the end of the movie with too few frames."""
    decode_seconds: float = 0.0
    """CPU time of ffmpeg over all attempts."""
    wall_seconds: float = 0.0
    """Wall time from the movie's first task to its commit record."""
    picture_applied: str = ""
    """What was done to the frames, in order: fields, orientation, crop, pixels, colors."""
    declared_duration_ns: int = 0
    """Of the video as its container declares it; more than `duration_ns` for truncated files."""
    video_held_ns: int = 0
    """Time for which frames stayed on screen beyond their first second: stills, or lost frames."""
    wanted_language: str = ""
    """Audio language requested by the manifest; empty if none."""
    wanted_audio_track: int = field(default=-1, metadata=_INT32)
    """Audio stream requested by the manifest; -1 if none."""
    wanted_start_seconds: float = 0.0
    """Start of the part requested by the manifest."""
    wanted_end_seconds: float = 0.0
    """End of that part, exclusive; 0 for the end of the movie."""
    dropped_damaged: int = field(default=0, metadata=_INT32)
    """Clips with a frame that the decoder concealed, or that was predicted from such a frame."""
    video_lost_ns: int = 0
    """Video that is never shown: after a jump back of the clock (a second recording appended), or
    in another stream while the chosen one has none."""
    program: int = field(default=0, metadata=_INT32)
    """Number of the program that video and audio belong to; 0 if the container has none."""
    num_programs: int = field(default=0, metadata=_INT32)
    """Programs of the container; more than one is a choice, see `wanted_program`."""
    wanted_program: int = field(default=0, metadata=_INT32)
    """Program requested by the manifest; 0 if none."""

    def to_json(self) -> str:
        """Canonical JSON of all columns."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str | bytes) -> MovieRow:
        """Inverse of `to_json`; columns unknown to this version are ignored."""
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


_FIRST_CLIP_COLUMNS = ("clip_id", "movie_id", "group", "shard", *LOCATION_COLUMNS)

CLIPS_SCHEMA: pa.Schema = _arrow_schema(ClipRow, _FIRST_CLIP_COLUMNS)
MOVIES_SCHEMA: pa.Schema = _arrow_schema(MovieRow)

#: Columns that older datasets lack; their rows get the default values.
ADDED_COLUMNS = (
    "dropped_damaged",
    "video_lost_ns",
    "program",
    "num_programs",
    "wanted_program",
)

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
    """Inverse of `clips_table`; columns unknown to this version are ignored."""
    require_columns(table, CLIPS_SCHEMA, "clips")
    return [ClipRow(**row) for row in _known(table, CLIPS_SCHEMA).to_pylist()]


def movie_rows(table: pa.Table) -> list[MovieRow]:
    """Inverse of `movies_table`; columns unknown to this version are ignored."""
    require_columns(table, MOVIES_SCHEMA, "movies")
    return [MovieRow(**row) for row in _known(table, MOVIES_SCHEMA).to_pylist()]


def _known(table: pa.Table, schema: pa.Schema) -> pa.Table:
    return table.select([name for name in schema.names if name in table.schema.names])


def parse_table(data: bytes, name: str) -> pa.Table:
    """Parquet bytes as a table; columns are not checked. Raises `FormatError`, naming `name`."""
    try:
        # One thread: a process that exits while Arrow is still starting threads is aborted.
        return pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise FormatError(f"{name} is not readable Parquet: {error}") from error


def require_columns(table: pa.Table, schema: pa.Schema, name: str) -> None:
    """Raise `FormatError` unless `table` has every column of `schema` with its type.

    `ADDED_COLUMNS` may be missing, because older datasets lack them.
    """
    found = table.schema.names
    problems: Sequence[str] = [
        f"{item.name}: {'missing' if item.name not in found else 'wrong type'}"
        for item in schema
        if (item.name not in found and item.name not in ADDED_COLUMNS)
        or (item.name in found and table.schema.field(item.name).type != item.type)
    ]
    if problems:
        raise FormatError(f"{name} table violates the schema: {', '.join(problems)}")


def row_values(row: Any) -> dict[str, Any]:
    """A row's values by column name."""
    return dataclasses.asdict(row)
