"""Running ffmpeg: one bounded, supervised process at a time."""

from __future__ import annotations

from pipeline.ffmpeg import binaries, inputs, reaper
from pipeline.ffmpeg.hardware import device_problem
from pipeline.ffmpeg.output_pipes import OutputPipes
from pipeline.ffmpeg.process import FfmpegProcess

__all__ = [
    "FfmpegProcess",
    "OutputPipes",
    "binaries",
    "device_problem",
    "inputs",
    "reaper",
]
