"""The movie plan: a pure function of probe and recipe.

A plan has two stages, each with a type of its own:

    probe + recipe --plan_movie--> MoviePlan     which steps are decoded, in which segments
    cuts           --place_clips-> PlacedPlan    where each clip starts

With `clips="uniform"` the second stage needs no decoded frames; with `clips="shots"` it needs the
cuts of all segments (see `shots`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipeline.plan.segments import Segment, Span, split_segments, split_spans
from pipeline.plan.wanted_part import wanted_steps
from pipeline.probe import NONE_DISPOSABLE, Crop, Probe
from pipeline.sources import Movie
from shards_spec.recipe import NANOSECONDS, Recipe

#: Interlaced video is decoded from this much earlier, so that the deinterlacer has seen the frames
#: before the first one that is used.
INTERLACED_PREROLL_NS = NANOSECONDS // 2


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

    @property
    def preroll_ns(self) -> int:
        """How much video around a frame a deinterlacer needs; 0 for progressive video."""
        return INTERLACED_PREROLL_NS if self.probe.video.is_interlaced else 0

    @property
    def seconds(self) -> float:
        """Seconds of the movie that are decoded."""
        return self._seconds(self.first_step, self.end_step)

    def whole(self) -> MoviePlan:
        """The same plan for a decoder that sees every frame."""
        return replace(self, probe=replace(self.probe, disposable=NONE_DISPOSABLE))

    def segment_seconds(self, segment: Segment) -> float:
        """Seconds of the movie that a segment covers."""
        return self._seconds(segment.first_step, segment.end_step)

    def spans_of(self, segment: Segment) -> tuple[Span, ...]:
        """The spans of a segment, in order."""
        first, end = segment.first_step, segment.end_step
        keyframes_ns = self.probe.keyframes_ns
        return tuple(split_spans(self.recipe, first, end, keyframes_ns, self.preroll_ns))

    def _seconds(self, first_step: int, end_step: int) -> float:
        return (self.recipe.grid_ns(end_step) - self.recipe.grid_ns(first_step)) / NANOSECONDS


@dataclass(frozen=True)
class PlacedPlan(MoviePlan):
    """A movie plan in which the start of every clip is known."""

    first_clip: int
    """Number of the first clip."""
    starts: tuple[int, ...]
    """Grid steps at which the clips first_clip, first_clip + 1, ... start."""
    cuts: tuple[int, ...]
    """Grid steps at which shots start, the movie's first step excluded."""
    num_short_shots: int
    """With `clips="shots"`: shots that are shorter than a clip."""

    @property
    def num_clips(self) -> int:
        """Clips before drop rules."""
        return len(self.starts)

    @property
    def end_clip(self) -> int:
        """One past the number of the last clip."""
        return self.first_clip + len(self.starts)

    def clip_step(self, clip_number: int) -> int:
        """Grid step of a clip's first frame."""
        return self.starts[clip_number - self.first_clip]

    def clip_start_ns(self, clip_number: int) -> int:
        """Start of a clip on the movie timeline."""
        return self.recipe.grid_ns(self.clip_step(clip_number))

    def clip_end_ns(self, clip_number: int) -> int:
        """End of a clip on the movie timeline, exclusive."""
        return self.recipe.grid_ns(self.clip_step(clip_number) + self.recipe.num_frames)


def plan_movie(
    *,
    movie: Movie,
    source_fingerprint: str,
    recipe: Recipe,
    probe: Probe,
    crop: Crop | None,
    frame_size: tuple[int, int],
    segment_seconds: float,
) -> MoviePlan:
    """Plan a probed movie.

    Args:
        movie: may limit the part that is used.
        source_fingerprint: of the bytes that were probed.
        recipe, probe: of the dataset, and of the movie.
        crop: the area inside black bars; None for the whole frame.
        frame_size: (height, width) of a stored frame, pixels.
        segment_seconds: approximate length of a segment.

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
    )
    segments = split_segments(
        recipe, first_step, end_step, probe.keyframes_ns, segment_seconds, plan.preroll_ns
    )
    return replace(plan, segments=segments)
