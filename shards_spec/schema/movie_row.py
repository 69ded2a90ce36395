"""The index row of one movie."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from shards_spec.schema.columns import Status
from shards_spec.schema.dropped import DroppedClips

#: Marks a field of a row type that is not one column.
_NOT_A_COLUMN = {"is_column": False}

_INT32 = {"arrow": pa.int32()}
_NULLABLE = {"arrow": pa.float64(), "nullable": True}


@dataclass(frozen=True, kw_only=True)
class MovieRow:
    """One movie of the corpus, with any status. Unknown numbers are 0, unknown texts empty."""

    movie_id: str
    group: str
    source_uri: str
    source_bytes: int
    source_fingerprint: str
    """Digest of size and ETag (bucket), or of size and content samples (elsewhere)."""
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
    missing_ns: int = 0
    """How much of the declared duration the source lacks because it was cut off; 0 if whole."""
    reelshards_version: str = ""
    """Version that wrote this row."""
    ffmpeg_version: str = ""
    """Version of ffmpeg that decoded the movie."""
    first_shard: int = field(default=0, metadata=_INT32)
    """Number of the movie's first shard; after a rewrite its shards have new numbers."""
    source_root: str = ""
    """Folder that must contain the source, with links resolved; empty for no restriction."""
    source_modified_ns: int = 0
    """When the source was last written, ns since 1970; 0 if its store does not say."""
    decode_mode: str = ""
    """`full` if the decoder saw every frame, `selective` if it did not see frames that no clip
    shows and no other frame refers to; the clips are the same. `fast` if it also skipped the loop
    filter, as the recipe wants where it can. Empty for movies without clips."""
    frames_left_out: int = 0
    """How many frames no decoder saw."""
    clips_not_chosen: int = field(default=0, metadata=_INT32)
    """Clips that were not made because the recipe wants only some; they do not count as dropped."""
    decode_route: str = ""
    """`pass` if the whole movie was decoded, `seeks` if only parts with chosen clips were; the
    clips are the same. Empty for movies without clips."""
    predicted_decode_seconds: float = 0.0
    """CPU time of ffmpeg for the video by that route, as predicted."""
    predicted_pass_seconds: float = 0.0
    """The same for decoding the whole movie."""
    video_decode_seconds: float = 0.0
    """CPU time that ffmpeg took for the video, in the attempts that succeeded."""
    fast_time_error_ms: float | None = field(default=None, metadata=_NULLABLE)
    """With `decode_mode` `fast`: largest time by which a frame of a sample of the movie is shown
    too early, milliseconds; null otherwise, like the next two."""
    fast_ssim: float | None = field(default=None, metadata=_NULLABLE)
    """Mean structural similarity of these frames with exact ones."""
    fast_min_ssim: float | None = field(default=None, metadata=_NULLABLE)
    """That of the frame that differs most."""
    decode_device: str = ""
    """What decoded the video: `cpu`, `cuda`, or `cpu+cuda` if segments differ. Empty for movies
    without clips."""
    hardware_fallbacks: int = field(default=0, metadata=_INT32)
    """Segments that the CPU decoded although a graphics card was to."""
    hardware_problem: str = ""
    """Why, of the first one."""
    extra: Mapping[str, Any] = field(default_factory=dict, metadata=_NOT_A_COLUMN)
    """Further columns of the manifest, as they are: texts, numbers, booleans or lists of these."""
    drops: DroppedClips | None = field(default=None, metadata=_NOT_A_COLUMN)
    """The dropped clips, in `index/dropped.parquet`; None in rows from before that, and in those
    that come from a table of movies."""

    @property
    def num_dropped(self) -> int:
        """Clips that a rule dropped."""
        return (
            self.dropped_black
            + self.dropped_silent
            + self.dropped_frozen
            + self.dropped_too_short
            + self.dropped_damaged
        )

    def to_json(self) -> str:
        """Canonical JSON of all columns, and of the dropped clips if they are known."""
        values = dataclasses.asdict(dataclasses.replace(self, drops=None))
        del values["drops"]
        if self.drops is not None:
            values["drops"] = self.drops.to_json()
        return json.dumps(values, sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str | bytes) -> MovieRow:
        """Inverse of `to_json`; columns unknown to this version are ignored."""
        # Not `fields`, which takes longer than all the rest.
        known = MovieRow.__dataclass_fields__
        values = {k: v for k, v in json.loads(text).items() if k in known}
        if values.get("drops") is not None:
            values["drops"] = DroppedClips.from_json(values["drops"])
        return MovieRow(**values)
