"""Which clips a movie yields, and in which segments it is decoded (pure functions)."""

from __future__ import annotations

from pipeline.plan.cut_context import spans_for_cuts
from pipeline.plan.movie_plan import FastError, MoviePlan, PlacedPlan, plan_movie
from pipeline.plan.route import Route, choose_route
from pipeline.plan.segments import Segment, Span, split_segments
from pipeline.plan.shots import place_clips
from pipeline.plan.views import planned_together

__all__ = [
    "FastError",
    "MoviePlan",
    "PlacedPlan",
    "Route",
    "Segment",
    "Span",
    "choose_route",
    "place_clips",
    "plan_movie",
    "planned_together",
    "spans_for_cuts",
    "split_segments",
]
