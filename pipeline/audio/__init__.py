"""From an audio track to log-mel clips on the movie timeline."""

from __future__ import annotations

from pipeline.audio.clips import AudioClip, MovieAudio, audio_parts, num_audio_parts, overlap_ns
from pipeline.audio.downmix import mono_filter
from pipeline.audio.features import encode_flac, log_mel, peak_dbfs, rms_dbfs
from pipeline.audio.soundtrack import AudioReport, Soundtrack
from pipeline.audio.timeline import AudioFrame, Piece

__all__ = [
    "AudioClip",
    "AudioFrame",
    "AudioReport",
    "MovieAudio",
    "Piece",
    "Soundtrack",
    "audio_parts",
    "encode_flac",
    "log_mel",
    "mono_filter",
    "num_audio_parts",
    "overlap_ns",
    "peak_dbfs",
    "rms_dbfs",
]
