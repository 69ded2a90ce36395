"""What a movie consists of: streams, timestamps, damage."""

from __future__ import annotations

from pipeline.probe import containers, stream_list, tracks, video_stream
from pipeline.probe.audio_track import AudioTrack, audio_tracks
from pipeline.probe.disposable.frames import NONE_DISPOSABLE, DisposableFrames
from pipeline.probe.packets import PacketOrder
from pipeline.probe.probe import Probe, frame_times_ns, probe
from pipeline.probe.sample_frames import Shape
from pipeline.probe.video_timing import Outlier

__all__ = [
    "NONE_DISPOSABLE",
    "AudioTrack",
    "DisposableFrames",
    "Outlier",
    "PacketOrder",
    "Probe",
    "Shape",
    "audio_tracks",
    "containers",
    "frame_times_ns",
    "probe",
    "stream_list",
    "tracks",
    "video_stream",
]
