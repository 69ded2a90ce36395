"""From an audio track to log-mel clips on the movie timeline."""

from __future__ import annotations

from pipeline.audio import clips, features, timeline
from pipeline.audio.downmix import mono_filter
from pipeline.audio.soundtrack import AudioReport, Soundtrack

__all__ = [
    "AudioReport",
    "Soundtrack",
    "clips",
    "features",
    "mono_filter",
    "timeline",
]
