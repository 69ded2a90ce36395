"""Plans several views of one movie so that each part of it is decoded once for all of them.

keyframes        K       K       K       K       K
spans of a view  [       )[      )[      )[      )[
of another one   [       )[              )[      )[      longer clip grid, fewer entries
segments         [ 0              )[ 1                   of both, by number
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import replace

from pipeline.plan.movie_plan import MoviePlan
from pipeline.plan.segments import Segment


def planned_together(plans: Sequence[MoviePlan]) -> list[MoviePlan]:
    """The plans of one movie, each in one pass, with segments that cover the same parts of it.

    A view may lack a segment that has none of its spans.
    """
    lead = plans[0]
    starts_ns = [lead.recipe.grid_ns(segment.first_step) for segment in lead.segments]
    return [
        replace(
            plan,
            segments=_segments(plan, starts_ns),
            other_rates=tuple(other.recipe.fps_fraction for other in plans if other is not plan),
        )
        for plan in plans
    ]


def _segments(plan: MoviePlan, starts_ns: Sequence[int]) -> tuple[Segment, ...]:
    """Whole spans in segments that begin at about these times."""
    segments: dict[int, Segment] = {}
    for span in plan.all_spans:
        time_ns = plan.recipe.grid_ns(span.first_step)
        number = max(0, bisect.bisect_right(starts_ns, time_ns) - 1)
        if number in segments:
            segments[number] = replace(segments[number], end_step=span.end_step)
        else:
            segments[number] = Segment(number, span.first_step, span.end_step, span.seek_ns)
    return tuple(segments.values())
