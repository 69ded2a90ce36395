"""Which clips a movie yields, and in which segments it is decoded (pure functions)."""

from __future__ import annotations

from pipeline.plan import movie_plan, route, segments
from pipeline.plan.cut_context import spans_for_cuts
from pipeline.plan.shots import place_clips
from pipeline.plan.views import planned_together

__all__ = [
    "movie_plan",
    "place_clips",
    "planned_together",
    "route",
    "segments",
    "spans_for_cuts",
]
