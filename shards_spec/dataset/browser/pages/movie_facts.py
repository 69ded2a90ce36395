"""Everything that the index says about a movie, in groups."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Any

from shards_spec.dataset.browser.pages.html import Markup, clock, facts, seconds, size, tag
from shards_spec.dataset.browser.pages.problem import is_processed
from shards_spec.schema.tables import MOVIES_SCHEMA

_CROP = re.compile(r"(\d{1,6}):(\d{1,6}):(\d{1,6}):(\d{1,6})")

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
    "source_uri": "source",
    "source_bytes": "source size",
    "source_modified_ns": "source last modified",
    "source_root": "folder that must contain the source",
    "wanted_start_seconds": "requested part starts at",
    "wanted_end_seconds": "requested part ends at",
    "declared_duration_ns": "duration as declared",
    "audio_choice": "audio track chosen because",
    "audio_start_offset_ns": "audio starts after the video by",
    "audio_drift_ppm": "audio stretched, parts per million",
    "audio_filled_ns": "missing audio, filled with silence",
    "audio_cut_ns": "audio left out where it overlapped",
    "wanted_language": "requested audio language",
    "wanted_audio_track": "requested audio track",
    "wanted_program": "requested program",
    "num_programs": "programs in the source",
    "video_held_ns": "frozen frames, time beyond one second each",
    "video_lost_ns": "video that cannot be shown",
    "missing_ns": "cut off at the end",
    "is_vfr": "variable frame rate",
    "sar": "sample aspect ratio",
    "hdr": "HDR transfer function",
    "field_order": "interlacing as declared",
    "avg_frame_rate": "frame rate as declared",
    "rotation": "rotation, degrees",
    "picture_applied": "applied to the frames",
    "error_class": "cause",
    "num_clips": "clips",
    "num_shards": "shards",
    "shard_bytes": "size of the shards",
    "first_shard": "number of the first shard",
    "clips_not_chosen": "clips not selected by the recipe",
    "decode_seconds": "CPU time of ffmpeg",
    "decode_device": "decoded on",
    "frames_left_out": "frames skipped in decoding",
    "video_decode_seconds": "CPU time for decoding the video",
    "predicted_decode_seconds": "predicted CPU time for decoding the video",
    "predicted_pass_seconds": "predicted CPU time for decoding all of the video",
    "wall_seconds": "time from first task to commit",
    "recipe_fingerprint": "fingerprint of the recipe",
    "reelshards_version": "version of reelshards",
    "ffmpeg_version": "version of ffmpeg",
}

#: Values that mean "none" or "unknown", as empty texts and nulls do.
_NOTHING = {
    **dict.fromkeys(("audio_track", "wanted_audio_track"), -1),
    **dict.fromkeys(
        (
            *("video_width", "video_height", "audio_channels", "source_modified_ns"),
            *("duration_ns", "declared_duration_ns", "wanted_start_seconds", "wanted_end_seconds"),
            *("program", "num_programs", "wanted_program", "first_shard", "clips_not_chosen"),
            *("missing_ns", "video_lost_ns", "video_held_ns", "audio_cut_ns"),
        ),
        0,
    ),
}

#: Groups of columns that are known for a movie without clips only if they are not zero.
_MEASURED = ("Video", "Audio and sync")


def all_facts(movie: Mapping[str, Any]) -> list[Markup]:
    """Tables of all columns that have a value; those of the manifest come last."""
    groups = {
        title: [
            (_meaning(name), _shown(name, movie[name]))
            for name in names
            if name in movie and _says_something(title, name, movie)
        ]
        for title, names in _GROUPS.items()
    }
    extra = [name for name in movie if name not in MOVIES_SCHEMA.names]
    groups["From the manifest"] = [(name, movie[name]) for name in extra if movie[name] is not None]
    tables = (facts(title, rows) for title, rows in groups.items() if rows)
    return [
        tag("p", "Values that are unknown or do not apply are left out.", class_="dim"),
        tag("div", *tables, class_="charts"),
    ]


def _says_something(group: str, name: str, movie: Mapping[str, Any]) -> bool:
    value = movie[name]
    if value is None or value == "" or value == _NOTHING.get(name):
        return False
    if name in ("decode_seconds", "wall_seconds") or name.startswith(
        ("predicted_", "video_decode")
    ):
        return bool(value)
    if value or movie["num_clips"]:
        return True
    return is_processed(movie) if group == "Processing" else group not in _MEASURED


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
    if name == "audio_language" and value == "und":
        return "not declared (und)"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value


def _date(ns: int) -> str:
    if not 0 < ns < 1 << 62:
        return "unknown"
    when = datetime.datetime.fromtimestamp(ns // 10**9, tz=datetime.UTC)
    return when.strftime("%Y-%m-%d %H:%M UTC")


def cropping(movie: Mapping[str, Any]) -> list[Markup]:
    """Which part of the frames was kept, in words and drawn."""
    applied = str(movie["picture_applied"])
    steps, _, colors = applied.rpartition("; ")
    parts = [tag("p", f"Colors of the source: {colors} range.")] if colors else []
    if steps:
        parts.insert(0, tag("p", "Applied to the frames, in order: ", steps, "."))
    found = _CROP.fullmatch(str(movie["crop"]))
    if found is None:
        words = f"Crop: {movie['crop']}" if movie["crop"] else "No black bars were cropped."
        return [tag("p", words), *parts]
    width, height, left, top = map(int, found.groups())
    full = [int(movie["video_width"]), int(movie["video_height"])]
    if movie["rotation"] in (90, 270):
        full.reverse()
    right, bottom = full[0] - left - width, full[1] - top - height
    words = (
        f"Black bars were cropped: {width} x {height} pixels were kept of {full[0]} x {full[1]}. "
        f"Cut off: {top} rows above, {bottom} below, {left} columns on the left, {right} on the "
        "right."
    )
    if min(full) < 1 or min(right, bottom) < 0:
        return [tag("p", f"Crop: {movie['crop']}"), *parts]
    drawing = tag(
        "svg",
        tag("rect", width=full[0], height=full[1], class_="cut"),
        tag("rect", x=left, y=top, width=width, height=height, class_="kept"),
        viewBox=f"0 0 {full[0]} {full[1]}",
        role="img",
        aria_label=words,
        class_="crop",
    )
    return [tag("p", words), drawing, *parts]
