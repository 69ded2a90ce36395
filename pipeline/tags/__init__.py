"""What is heard in stored clips, as labels: speech, music, silence."""

from __future__ import annotations

from pipeline.tags.judge import Judge, load_judge
from pipeline.tags.sounds import Sound, sound_of_clip, sound_of_logmel, sound_of_samples
from pipeline.tags.tagging import Tagging, cells_of, tag_clips

__all__ = [
    "Judge",
    "Sound",
    "Tagging",
    "cells_of",
    "load_judge",
    "sound_of_clip",
    "sound_of_logmel",
    "sound_of_samples",
    "tag_clips",
]
