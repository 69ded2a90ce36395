"""Which clips a movie gives, and in which segments it is decoded (pure)."""

from __future__ import annotations

from pipeline.plan.movie_plan import (
    MoviePlan,
    Segment,
    clip_range,
    legs_of,
    step_range,
    with_segments,
)
from pipeline.plan.shots import CutDetector, place_clips

__all__ = [
    "CutDetector",
    "MoviePlan",
    "Segment",
    "clip_range",
    "legs_of",
    "place_clips",
    "step_range",
    "with_segments",
]
