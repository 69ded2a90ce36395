"""Running ffmpeg: one bounded, supervised process at a time."""

from __future__ import annotations

from pipeline.ffmpeg import reaper
from pipeline.ffmpeg.binaries import (
    decodable_codecs,
    ffmpeg_path,
    ffmpeg_version,
    ffprobe_path,
    filters_packets,
    has_input_filters,
)
from pipeline.ffmpeg.hardware import device_problem
from pipeline.ffmpeg.inputs import input_arguments, input_stream
from pipeline.ffmpeg.output_pipes import OutputPipes
from pipeline.ffmpeg.process import FfmpegProcess
from pipeline.ffmpeg.reaper import TASK_FOLDERS

__all__ = [
    "TASK_FOLDERS",
    "FfmpegProcess",
    "OutputPipes",
    "decodable_codecs",
    "device_problem",
    "ffmpeg_path",
    "ffmpeg_version",
    "ffprobe_path",
    "filters_packets",
    "has_input_filters",
    "input_arguments",
    "input_stream",
    "reaper",
]
