"""Everything that the index says about a movie, in groups."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from shards_spec.dataset.browser.pages.html import Markup, clock, facts, seconds, size, tag
from shards_spec.schema.tables import MOVIES_SCHEMA

#: Columns of each group, and how their values are shown.
_GROUPS = {
    "Source": (
        *("movie_id", "group", "source_uri", "source_bytes", "source_modified_ns"),
        *("source_fingerprint", "source_root", "wanted_start_seconds", "wanted_end_seconds"),
    ),
    "Video": (
        *("video_codec", "video_width", "video_height", "sar", "rotation", "avg_frame_rate"),
        *("is_vfr", "field_order", "hdr", "crop", "picture_applied", "duration_ns"),
        *("declared_duration_ns", "missing_ns", "video_lost_ns", "video_held_ns"),
        *("program", "num_programs", "wanted_program"),
    ),
    "Audio and sync": (
        *("audio_track", "audio_choice", "audio_language", "audio_codec", "audio_channels"),
        *("audio_start_offset_ns", "audio_drift_ppm", "audio_filled_ns", "audio_cut_ns"),
        *("wanted_language", "wanted_audio_track"),
    ),
    "Processing": (
        *("status", "error_class", "error", "attempts", "num_clips", "num_shards"),
        *("shard_bytes", "dropped_black", "dropped_silent", "dropped_frozen"),
        *("dropped_too_short", "dropped_damaged", "clips_not_chosen"),
        *("decode_seconds", "wall_seconds", "decode_mode", "decode_device"),
        *("frames_left_out", "decode_route"),
        *("video_decode_seconds", "predicted_decode_seconds", "predicted_pass_seconds"),
        *("recipe_fingerprint", "reelshards_version", "ffmpeg_version", "first_shard"),
    ),
}

_CLOCKS = ("duration_ns", "declared_duration_ns")

#: What columns mean whose names do not say it.
_MEANINGS = {
    "audio_start_offset_ns": "audio starts after the video by",
    "audio_drift_ppm": "audio stretched, parts per million",
    "audio_filled_ns": "missing audio, filled with silence",
    "audio_cut_ns": "audio left out where it overlapped",
    "video_held_ns": "frames held beyond their first second",
    "video_lost_ns": "video that is never shown",
    "missing_ns": "cut off at the end",
    "is_vfr": "variable frame rate",
    "sar": "sample aspect ratio",
    "avg_frame_rate": "frame rate as declared",
    "picture_applied": "applied to the frames",
    "clips_not_chosen": "clips that the recipe does not want",
    "decode_seconds": "CPU time of ffmpeg",
    "frames_left_out": "frames that no decoder saw",
    "video_decode_seconds": "CPU time of ffmpeg for the video",
    "predicted_decode_seconds": "the same as predicted",
    "predicted_pass_seconds": "the same for the whole movie, as predicted",
    "wall_seconds": "time from first task to commit",
}


def all_facts(movie: Mapping[str, Any]) -> list[Markup]:
    """Tables of all columns; those of the manifest come last."""
    groups = {
        title: [(_meaning(name), _shown(name, movie[name])) for name in names if name in movie]
        for title, names in _GROUPS.items()
    }
    extra = [name for name in movie if name not in MOVIES_SCHEMA.names]
    groups["From the manifest"] = [
        (name, "" if movie[name] is None else movie[name]) for name in extra
    ]
    tables = (facts(title, rows) for title, rows in groups.items() if rows)
    return [tag("div", *tables, class_="charts")]


def _meaning(name: str) -> str:
    plain_name = name.removesuffix("_ns").removesuffix("_seconds").removesuffix("_bytes")
    return _MEANINGS.get(name, plain_name.replace("_", " "))


def _shown(name: str, value: Any) -> object:
    if name == "source_modified_ns":
        return _date(value)
    if name in _CLOCKS:
        return clock(value) if value else "unknown"
    if name.endswith("_ns"):
        return seconds(value)
    if name.endswith("_bytes"):
        return size(value) if value >= 0 else "unknown"
    if name.endswith("_seconds"):
        return f"{value:,.2f} s"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value


def _date(ns: int) -> str:
    if not 0 < ns < 1 << 62:
        return "unknown"
    when = datetime.datetime.fromtimestamp(ns // 10**9, tz=datetime.UTC)
    return when.strftime("%Y-%m-%d %H:%M UTC")
