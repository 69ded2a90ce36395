"""What a movie consists of: streams, timestamps, damage."""

from __future__ import annotations

from pipeline.probe.audio_track import AudioTrack
from pipeline.probe.probe import Probe, frame_times_ns, probe
from pipeline.probe.video_stream import Crop, VideoStream, conceals_errors
from pipeline.probe.video_timing import Outlier

__all__ = [
    "AudioTrack",
    "Crop",
    "Outlier",
    "Probe",
    "VideoStream",
    "conceals_errors",
    "frame_times_ns",
    "probe",
]
