"""What a movie consists of: streams, timestamps, damage."""

from __future__ import annotations

from pipeline.probe.audio_track import AudioTrack, audio_tracks
from pipeline.probe.containers.edit_list import PlayedRange
from pipeline.probe.containers.one_shape import has_one_shape
from pipeline.probe.disposable.frames import NONE_DISPOSABLE, DisposableFrames
from pipeline.probe.packets import PacketOrder
from pipeline.probe.probe import Probe, frame_times_ns, probe
from pipeline.probe.sample_frames import Shape
from pipeline.probe.stream_list import has_picture_size, is_cover_art, list_quickly
from pipeline.probe.tracks.languages import language_code
from pipeline.probe.tracks.texts import (
    MovieTexts,
    choose_text_track,
    find_texts,
    read_text_track,
)
from pipeline.probe.video_stream import (
    Crop,
    VideoStream,
    conceals_errors,
    orientation,
    ratio,
    video_stream,
)
from pipeline.probe.video_timing import Outlier

__all__ = [
    "NONE_DISPOSABLE",
    "AudioTrack",
    "Crop",
    "DisposableFrames",
    "MovieTexts",
    "Outlier",
    "PacketOrder",
    "PlayedRange",
    "Probe",
    "Shape",
    "VideoStream",
    "audio_tracks",
    "choose_text_track",
    "conceals_errors",
    "find_texts",
    "frame_times_ns",
    "has_one_shape",
    "has_picture_size",
    "is_cover_art",
    "language_code",
    "list_quickly",
    "orientation",
    "probe",
    "ratio",
    "read_text_track",
    "video_stream",
]
