"""Columns of the index with a role of their own, and the values of `status`."""

from __future__ import annotations

from typing import Literal

Status = Literal["done", "quarantined", "failed", "skipped"]
STATUSES: tuple[Status, ...] = ("done", "quarantined", "failed", "skipped")

#: Columns that describe the clip's bytes in the shard, and so cannot be part of those bytes.
LOCATION_COLUMNS = ("tar_offset", "tar_bytes", "crc32c")

#: Measured columns of a movie; they differ between runs that are otherwise equal.
MEASURED_COLUMNS = (
    "attempts",
    "decode_seconds",
    "wall_seconds",
    "decode_mode",
    "frames_left_out",
    "decode_device",
    "hardware_fallbacks",
    "hardware_problem",
    "decode_route",
    "predicted_decode_seconds",
    "predicted_pass_seconds",
    "video_decode_seconds",
)
