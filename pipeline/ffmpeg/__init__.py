"""Running ffmpeg: one bounded, supervised process at a time."""

from __future__ import annotations

from pipeline.ffmpeg.binaries import bundled_path, ffmpeg_path, ffmpeg_version, ffprobe_path
from pipeline.ffmpeg.inputs import input_stream, input_url
from pipeline.ffmpeg.process import Run

__all__ = [
    "Run",
    "bundled_path",
    "ffmpeg_path",
    "ffmpeg_version",
    "ffprobe_path",
    "input_stream",
    "input_url",
]
