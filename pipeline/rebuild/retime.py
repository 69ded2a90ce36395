"""The plan of a copy on the clip grid of the original: the same clips at other times.

    original  t:  0 ---- n / fps ------------>      second t is second (t + offset) / speed
    copy      u:  |-- offset / speed --| ...        the grid has fps * speed steps per second

Time 0 of the retimed plan is where a step of that grid lies, less than a step before the copy's
first frame, so that steps of the original are steps of the plan, some whole number later. Frames
are then chosen by time, exactly as of an original.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction

from pipeline.plan.movie_plan import MoviePlan, PlacedPlan
from pipeline.plan.route import choose_route
from pipeline.plan.segments import split_segments
from pipeline.probe import Probe
from shards_spec.recipe import NANOSECONDS, Recipe

#: Seconds of a copy that are decoded concurrently with others.
SEGMENT_SECONDS = 120.0

#: Speeds as exact numbers, by the nearest float.
_EXACT = (
    Fraction(1),
    Fraction(25, 24),
    Fraction(24, 25),
    Fraction(1001, 1000),
    Fraction(1000, 1001),
    Fraction(1001, 960),
    Fraction(960, 1001),
)

#: ffmpeg's frame rates are fractions of numbers up to this.
_MAX_RATE_PART, _MAX_DENOMINATOR = 1_000_000, 4_000

#: Frames of a copy's first clip may be this much too late, seconds: one frame of most movies.
MAX_SHIFT_SECONDS = Fraction(1, 24)

#: Frames of another shape are not distorted beyond this share of their aspect.
MAX_DISTORTION = 0.03


@dataclass(frozen=True, kw_only=True)
class RetimedRecipe(Recipe):
    """A recipe whose grid has another rate, because the movie plays at another speed.

    Its settings are those of the recipe; only times follow `rate`.
    """

    rate: Fraction = Fraction(1)
    """Grid steps per second of the copy."""

    @property
    def fps_fraction(self) -> Fraction:
        """`rate`."""
        return self.rate


@dataclass(frozen=True)
class Times:
    """How times of the original map to those of a retimed plan: u = (t + offset) / speed - zero."""

    speed: Fraction
    offset: Fraction
    """Seconds of the original."""
    zero: Fraction
    """Time 0 of the plan on the timeline of the copy, seconds; at most 0."""
    first_step: int
    """Of the plan for step 0 of the original."""

    def plan_seconds(self, original: Fraction) -> Fraction:
        """Time on the plan's timeline of a time of the original."""
        return self.copy_seconds(original) - self.zero

    def copy_seconds(self, original: Fraction) -> Fraction:
        """Time on the copy's own timeline."""
        return (original + self.offset) / self.speed

    def original_ns(self, plan_ns: int) -> int:
        """Time of the original, nanoseconds, of a time on the plan's timeline."""
        seconds = Fraction(plan_ns, NANOSECONDS) + self.zero
        return round((seconds * self.speed - self.offset) * NANOSECONDS)


#: The copy is the original.
SAME_TIMES = Times(Fraction(1), Fraction(0), Fraction(0), 0)


def times_of(
    probe: Probe, recipe: Recipe, speed: float, offset: float, first_start: Fraction
) -> Times:
    """The times of a piece of a copy with a measured speed and offset (seconds of the original).

    If its first clip, which starts at `first_start` of the original, starts a little before the
    copy's first frame, frames are that much later: offsets are not measured more precisely.
    """
    rate = recipe.fps_fraction * _exact(recipe, speed)
    exact_offset = Fraction(offset).limit_denominator(1_000_000)
    start = exact_offset / (rate / recipe.fps_fraction)
    first_step = math.ceil(start * rate)
    tick = probe.video.time_base
    early = -(first_start * recipe.fps_fraction / rate + start)
    late = min(max(early, Fraction(0)), MAX_SHIFT_SECONDS)
    zero = min(0, math.ceil((start - first_step / rate + late) / tick)) * tick
    return Times(rate / recipe.fps_fraction, exact_offset, zero, first_step)


def _exact(recipe: Recipe, speed: float) -> Fraction:
    """The speed as a fraction with which ffmpeg can count grid steps."""
    nearest = min(_EXACT, key=lambda known: abs(float(known) - speed))
    rate = recipe.fps_fraction * nearest
    is_known = abs(float(nearest) - speed) < 1e-9
    if is_known and max(rate.numerator, rate.denominator) <= _MAX_RATE_PART:
        return nearest
    rate = Fraction(float(recipe.fps_fraction) * speed).limit_denominator(_MAX_DENOMINATOR)
    return rate / recipe.fps_fraction


def is_inside(probe: Probe, times: Times, clip_ns: tuple[int, int]) -> bool:
    """Whether a copy has all frames of a clip with this start and end in the original."""
    start, end = (times.copy_seconds(Fraction(time, NANOSECONDS)) for time in clip_ns)
    last = Fraction(probe.duration_ns, NANOSECONDS) + MAX_SHIFT_SECONDS
    return start >= -MAX_SHIFT_SECONDS and end <= last


def retimed(
    plan: MoviePlan, times: Times, numbers: Sequence[int], steps: Sequence[int]
) -> PlacedPlan:
    """The plan for some clips of the original.

    Args:
        plan: of the copy.
        numbers: of the clips, ascending.
        steps: grid steps of the original at which they start.
    """
    values = {field.name: getattr(plan.recipe, field.name) for field in fields(Recipe)}
    rate = plan.recipe.fps_fraction * times.speed
    recipe = RetimedRecipe(**values, rate=rate)
    starts = tuple(step + times.first_step for step in steps)
    end = starts[-1] + recipe.num_frames
    moved = replace(
        plan,
        recipe=recipe,
        probe=_moved(plan.probe, times.zero),
        first_step=starts[0],
        end_step=end,
        segments=(),
    )
    spans = moved.all_spans
    clips = [(start, start + recipe.num_frames) for start in starts]
    route = choose_route(recipe, moved.probe, spans, clips, "auto")
    needed = route.needed(spans) if route.used else None
    segments = split_segments(recipe, spans, SEGMENT_SECONDS, needed)
    return placed(replace(moved, segments=segments, route=route), numbers, starts)


def placed(plan: MoviePlan, numbers: Sequence[int], starts: Sequence[int]) -> PlacedPlan:
    """A plan with clips that start at given steps of it."""
    return PlacedPlan(
        **{field.name: getattr(plan, field.name) for field in fields(MoviePlan)},
        numbers=tuple(numbers),
        starts=tuple(starts),
        shot_ids=(0,) * len(starts),
        clips_end_step=max(starts) + plan.recipe.num_frames,
    )


def with_size(plan: MoviePlan, height: int, width: int) -> MoviePlan:
    """The plan with frames of the original's size, unless the copy has another aspect."""
    distortion = (plan.width / plan.height) / (width / height)
    if abs(distortion - 1.0) > MAX_DISTORTION:
        return plan
    return replace(plan, height=height, width=width)


def _moved(probe: Probe, zero: Fraction) -> Probe:
    """The probe with time 0 at `zero` seconds of its timeline, which is at most 0."""
    ticks = zero / probe.video.time_base
    assert ticks.denominator == 1, zero
    shift = -round(zero * NANOSECONDS)
    return replace(
        probe,
        start_pts=probe.start_pts + int(ticks),
        duration_ns=probe.duration_ns + shift,
        keyframes_ns=tuple(time + shift for time in probe.keyframes_ns),
        corrupt_ns=tuple((start + shift, end + shift) for start, end in probe.corrupt_ns),
        shapes=tuple(replace(s, start_ns=s.start_ns + shift) for s in probe.shapes),
    )
