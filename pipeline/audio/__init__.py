"""From an audio track to log-mel clips."""

from __future__ import annotations

from pipeline.audio.clips import AudioClip, MovieAudio, audio_parts, decode_audio, num_audio_parts
from pipeline.audio.soundtrack import SoundReport, Soundtrack
from pipeline.audio.timeline import Frame, Piece

__all__ = [
    "AudioClip",
    "Frame",
    "MovieAudio",
    "Piece",
    "SoundReport",
    "Soundtrack",
    "audio_parts",
    "decode_audio",
    "num_audio_parts",
]
