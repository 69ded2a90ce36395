"""The movie plan: a pure function of probe and recipe.

A plan has two stages, each with a type of its own:

    probe + recipe --plan_movie--> MoviePlan     which steps are decoded, in which segments
    cuts           --place_clips-> PlacedPlan    where each clip starts

With `clips="uniform"` the second stage needs no decoded frames; with `clips="shots"` it needs the
cuts of all segments (see `shots`).
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, replace
from fractions import Fraction

from pipeline.config import Seeks
from pipeline.plan.route import ONE_PASS, Route, choose_route
from pipeline.plan.segments import Segment, Span, split_segments, split_spans
from pipeline.plan.wanted_part import wanted_steps
from pipeline.probe import Probe
from pipeline.probe.disposable.frames import NONE_DISPOSABLE
from pipeline.probe.streams.video_stream import Crop
from pipeline.sources import Movie
from shards_spec.recipe import NANOSECONDS, Recipe

#: Interlaced video is decoded from this much earlier, so that the deinterlacer has seen the frames
#: before the first one that is used.
INTERLACED_PREROLL_NS = NANOSECONDS // 2


@dataclass(frozen=True)
class FastError:
    """How frames of the fast mode differ from exact ones, in a sample of a movie."""

    time_ns: int
    """Largest difference of their presentation times."""
    ssim: float
    """Mean structural similarity of their luma; 1 if equal."""
    min_ssim: float
    """Of the frame that differs most."""


@dataclass(frozen=True)
class MoviePlan:
    """What workers need to know to decode a movie."""

    movie: Movie
    source_fingerprint: str
    recipe: Recipe
    probe: Probe
    crop: Crop | None
    height: int
    """Of a stored frame, pixels."""
    width: int
    first_step: int
    """First grid step that is decoded."""
    end_step: int
    """One past the last."""
    segments: tuple[Segment, ...]
    is_fast: bool
    """Whether the decoder skips the loop filter, and frames may be one source frame too early."""
    fast_error: FastError | None
    """What that does to the frames, once it was measured."""
    route: Route = ONE_PASS
    hardware: str = ""
    """Kind of device that decodes the video where a node has it; empty for CPUs only."""
    other_rates: tuple[Fraction, ...] = ()
    """Of the views that are decoded together with this one, frames per second; see `views`."""
    is_damaged: bool = False
    """Whether something was reported about the movie when its segments were decoded."""

    @property
    def rates(self) -> tuple[Fraction, ...]:
        """Of all grids on which the decoder has to provide frames, sorted, frames per second."""
        return tuple(sorted({self.recipe.fps_fraction, *self.other_rates}))

    @property
    def preroll_ns(self) -> int:
        """How much video around a frame a deinterlacer needs; 0 for progressive video."""
        return INTERLACED_PREROLL_NS if self.probe.video.is_interlaced else 0

    @property
    def seconds(self) -> float:
        """Seconds of the movie that are decoded."""
        return self._seconds(self.first_step, self.end_step)

    def whole(self) -> MoviePlan:
        """The same plan after a report: for a decoder that sees every frame and skips nothing."""
        probe = replace(self.probe, disposable=NONE_DISPOSABLE)
        return replace(
            self, probe=probe, is_fast=False, fast_error=None, hardware="", is_damaged=True
        )

    def segment_seconds(self, segment: Segment) -> float:
        """Seconds of the movie that a segment covers."""
        return self._seconds(segment.first_step, segment.end_step)

    def spans_of(self, segment: Segment) -> tuple[Span, ...]:
        """The spans of a segment that are decoded, in order."""
        return tuple(self.route.needed(self._spans(segment.first_step, segment.end_step)))

    @property
    def all_spans(self) -> list[Span]:
        """The spans of all segments, whether or not they are decoded."""
        return self._spans(self.first_step, self.end_step)

    def span_before(self, step: int) -> Span:
        """The span that ends where another one starts, which is not the first."""
        return self._spans(self.first_step, step)[-1]

    def _spans(self, first: int, end: int) -> list[Span]:
        keyframes_ns = self.probe.keyframes_ns
        return list(split_spans(self.recipe, first, end, keyframes_ns, self.preroll_ns))

    def _seconds(self, first_step: int, end_step: int) -> float:
        return (self.recipe.grid_ns(end_step) - self.recipe.grid_ns(first_step)) / NANOSECONDS


@dataclass(frozen=True)
class PlacedPlan(MoviePlan):
    """A movie plan in which the start of every clip is known."""

    numbers: tuple[int, ...] = ()
    """Of the clips that are made, in order; at least one."""
    starts: tuple[int, ...] = ()
    """Grid steps at which they start."""
    shot_ids: tuple[int, ...] = ()
    """The shots of their first frames."""
    clips_end_step: int = 0
    """One past the last step of the last clip, whether or not that is made."""
    num_not_chosen: int = 0
    """Clips that are not made, because the recipe does not want all."""
    cuts: tuple[int, ...] = ()
    """Grid steps at which shots start, the movie's first step excluded."""
    short_shots: tuple[tuple[int, int], ...] = ()
    """With `clips="shots"`: grid steps [first, end) of shots that are shorter than a clip."""

    @property
    def num_clips(self) -> int:
        """Clips before drop rules."""
        return len(self.starts)

    @property
    def first_clip(self) -> int:
        """Number of the first clip that is made."""
        return self.numbers[0]

    @property
    def end_clip(self) -> int:
        """One past the number of the last clip that is made."""
        return self.numbers[-1] + 1

    def clip_step(self, clip_number: int) -> int:
        """Grid step of a clip's first frame."""
        return self.starts[self._index(clip_number)]

    def shot_id(self, clip_number: int) -> int:
        """The shot of a clip's first frame."""
        return self.shot_ids[self._index(clip_number)]

    def clip_start_ns(self, clip_number: int) -> int:
        """Start of a clip on the movie timeline."""
        return self.recipe.grid_ns(self.clip_step(clip_number))

    def clip_end_ns(self, clip_number: int) -> int:
        """End of a clip on the movie timeline, exclusive."""
        return self.recipe.grid_ns(self.clip_step(clip_number) + self.recipe.num_frames)

    def _index(self, clip_number: int) -> int:
        return bisect.bisect_left(self.numbers, clip_number)


def plan_movie(
    *,
    movie: Movie,
    source_fingerprint: str,
    recipe: Recipe,
    probe: Probe,
    crop: Crop | None,
    frame_size: tuple[int, int],
    segment_seconds: float,
    seeks: Seeks = "auto",
) -> MoviePlan:
    """Plan a probed movie.

    Args:
        movie: may limit the part that is used.
        source_fingerprint: of the bytes that were probed.
        recipe, probe: of the dataset, and of the movie.
        crop: the area inside black bars; None for the whole frame.
        frame_size: (height, width) of a stored frame, pixels.
        segment_seconds: approximate length of a segment.
        seeks: when only the parts around chosen clips are decoded; see `route`.

    Raises:
        TooShortError: the part of the movie that is used contains no whole clip.
    """
    first_step, end_step = wanted_steps(movie, recipe, probe.duration_ns)
    plan = MoviePlan(
        movie=movie,
        source_fingerprint=source_fingerprint,
        recipe=recipe,
        probe=probe,
        crop=crop,
        height=frame_size[0],
        width=frame_size[1],
        first_step=first_step,
        end_step=end_step,
        segments=(),
        is_fast=False,
        fast_error=None,
    )
    spans = plan.all_spans
    route = choose_route(recipe, probe, spans, _chosen_steps(plan), seeks)
    needed = route.needed(spans) if route.used else None
    segments = split_segments(recipe, spans, segment_seconds, needed)
    return replace(plan, segments=segments, route=route)


def uniform_starts(plan: MoviePlan) -> range:
    """Grid steps at which clips start with `clips="uniform"`."""
    last_start = plan.end_step - plan.recipe.num_frames
    return range(plan.first_step, last_start + 1, plan.recipe.stride_frames)


def _chosen_steps(plan: MoviePlan) -> list[tuple[int, int]]:
    """The steps of each chosen clip; nothing if all are, or if only cuts show where they start."""
    recipe = plan.recipe
    if recipe.clips == "shots":
        return []
    starts = uniform_starts(plan)
    chosen = recipe.chosen_clips(plan.movie.movie_id, len(starts))
    if len(chosen) == len(starts):
        return []
    return [(starts[index], starts[index] + recipe.num_frames) for index in chosen]
