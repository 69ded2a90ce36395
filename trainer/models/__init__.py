"""The two towers."""

from __future__ import annotations

from trainer.models.constants import constant
from trainer.models.inputs import (
    LOGMEL_FLOOR,
    MIN_LOGMEL_STD,
    VIDEO_MEAN,
    VIDEO_STD,
    audio_from_logmel,
    frame_choice,
    video_from_frames,
)
from trainer.models.two_towers import Embeddings, TwoTowers, build_model
from trainer.models.video import R2Plus1d18, Recompute

__all__ = [
    "LOGMEL_FLOOR",
    "MIN_LOGMEL_STD",
    "VIDEO_MEAN",
    "VIDEO_STD",
    "Embeddings",
    "R2Plus1d18",
    "Recompute",
    "TwoTowers",
    "audio_from_logmel",
    "build_model",
    "constant",
    "frame_choice",
    "video_from_frames",
]
