"""Which clips a movie yields, and in which segments it is decoded (pure functions)."""

from __future__ import annotations

from pipeline.plan.movie_plan import MoviePlan, PlacedPlan, plan_movie
from pipeline.plan.segments import Segment, Span
from pipeline.plan.shots import place_clips

__all__ = [
    "MoviePlan",
    "PlacedPlan",
    "Segment",
    "Span",
    "place_clips",
    "plan_movie",
]
