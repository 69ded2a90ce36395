"""The index row of one clip."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

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


_FLOAT32_COLUMNS = tuple(
    item.name for item in dataclasses.fields(ClipRow) if item.metadata.get("arrow") == pa.float32()
)
