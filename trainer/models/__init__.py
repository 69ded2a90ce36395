"""The two towers and their inputs."""

from __future__ import annotations

from trainer.models.inputs import (
    VIDEO_MEAN,
    VIDEO_STD,
    audio_from_logmel,
    constant,
    describe_inputs,
    normalize_audio,
    normalize_video,
    video_from_frames,
)
from trainer.models.pretrained import load_tower
from trainer.models.transformer.hashing import signed, splitmix64, splitmix64_int, uniform
from trainer.models.two_towers import Embeddings, TwoTowers, build_model
from trainer.models.video import R2Plus1d, Recompute

__all__ = [
    "VIDEO_MEAN",
    "VIDEO_STD",
    "Embeddings",
    "R2Plus1d",
    "Recompute",
    "TwoTowers",
    "audio_from_logmel",
    "build_model",
    "constant",
    "describe_inputs",
    "load_tower",
    "normalize_audio",
    "normalize_video",
    "signed",
    "splitmix64",
    "splitmix64_int",
    "uniform",
    "video_from_frames",
]
