"""The stages of `benchmarks.support.stages`."""

from __future__ import annotations

#: Stages in the order of the table. Each contains what is not part of a stage inside of it.
STAGES = (
    "prepare: listing and probes",
    "prepare: shapes of keyframes",
    "prepare: black bars",
    "video: ffmpeg (decode and graph)",
    "video: reading frames and lines",
    "video: shots",
    "video: statistics",
    "video: JPEG",
    "audio: ffmpeg",
    "audio: alignment and resampling",
    "audio: mel",
    "write",
)
