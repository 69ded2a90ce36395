"""The movie plan: a pure function from probe and recipe to clip grid and segments.

    clips     |----0----|----1----|----2----|----3----|----4----|   (non-overlapping by default)
    grid      . . . . . . . . . . . . . . . . . . . . . . . . . .   every 1 / fps
    keyframes K      K          K         K        K          K
    segments  [ 0                 )[ 1                          )

A segment is a run of grid steps that one ffmpeg decodes in sequence, entered at a keyframe. Which
segments there are changes nothing in the clips: every frame is chosen by its presentation time.
With `clips="shots"` the clips are only placed when all segments are decoded; see `shots`.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil

from pipeline.errors import TooShortError
from pipeline.probe import Crop, Probe
from pipeline.sources import Movie
from shards_spec.recipe import NANOSECONDS, Recipe

#: Decoding may start anew at keyframes about this far apart.
LEG_SECONDS = 1.0
#: How early a segment of interlaced material is entered.
INTERLACED_LEAD_NS = NANOSECONDS // 2


@dataclass(frozen=True)
class Segment:
    """Steps [first_step, end_step) of a movie's clip grid, decoded together."""

    number: int
    first_step: int
    end_step: int
    seek_ns: int | None
    """Keyframe on the movie timeline to enter at; None to decode from the start."""


@dataclass(frozen=True)
class MoviePlan:
    """Everything that the workers need to know of a movie."""

    movie: Movie
    source_fingerprint: str
    recipe: Recipe
    probe: Probe
    crop: Crop | None
    height: int
    """Of a stored frame, pixels."""
    width: int
    first_step: int
    """First step of the grid that is decoded."""
    end_step: int
    """One past the last."""
    first_clip: int
    """First place on the clip grid that is wanted."""
    end_clip: int
    """One past the last; none with `clips="shots"` before all is decoded."""
    segments: tuple[Segment, ...]
    starts: tuple[int, ...] = ()
    """With `clips="shots"`, once all is decoded: grid steps at which clips 0, 1, ... start."""
    cuts: tuple[int, ...] = ()
    """Once all is decoded: grid steps at which shots start."""
    num_short_shots: int = 0
    """With `clips="shots"`, once all is decoded: shots that are shorter than a clip."""

    @property
    def num_clips(self) -> int:
        """Places for clips, before drop rules."""
        return self.end_clip - self.first_clip

    def clip_start_ns(self, clip_number: int) -> int:
        """Start of a clip on the movie timeline."""
        return self.recipe.grid_ns(self.clip_step(clip_number))

    def clip_end_ns(self, clip_number: int) -> int:
        """End of a clip on the movie timeline, exclusive."""
        return self.recipe.grid_ns(self.clip_step(clip_number) + self.recipe.num_frames)

    def clip_step(self, clip_number: int) -> int:
        """Grid step of a clip's first frame: even, or from the list of starts in shots."""
        if self.recipe.clips == "shots":
            return self.starts[clip_number]
        return clip_number * self.recipe.stride_frames

    @property
    def lead_ns(self) -> int:
        """How much film a deinterlacer wants to see beside the frame that it gives."""
        return INTERLACED_LEAD_NS if self.probe.video.is_interlaced else 0

    def segment_seconds(self, segment: Segment) -> float:
        """Film seconds that a segment covers."""
        grid_ns = self.recipe.grid_ns
        return (grid_ns(segment.end_step) - grid_ns(segment.first_step)) / NANOSECONDS

    @property
    def decode_cost(self) -> float:
        """Pixels to decode, in units of a 1080p film second: what the scheduler sorts by."""
        video = self.probe.video
        pixels = video.width * video.height / (1920 * 1080)
        return pixels * self.probe.duration_ns / NANOSECONDS


def clip_range(movie: Movie, recipe: Recipe, duration_ns: int) -> tuple[int, int]:
    """[first, end) clip numbers that fit wholly into the wanted part of a movie.

    Raises `TooShortError` when none does.
    """
    length = Fraction(recipe.num_frames) / recipe.fps_fraction
    stride = Fraction(recipe.stride_frames) / recipe.fps_fraction
    start = Fraction(movie.start_seconds).limit_denominator(1_000_000)
    end = Fraction(duration_ns, NANOSECONDS)
    if movie.end_seconds:
        end = min(end, Fraction(movie.end_seconds).limit_denominator(1_000_000))
    first = -((-start) // stride)
    last = (end - length) // stride
    if last < first:
        raise TooShortError(
            f"{movie.name}: {float(end - start):.2f} s wanted of a movie of "
            f"{duration_ns / NANOSECONDS:.2f} s hold no clip of {float(length):.2f} s"
        )
    return int(first), int(last) + 1


def step_range(movie: Movie, recipe: Recipe, duration_ns: int) -> tuple[int, int]:
    """[first, end) grid steps of the wanted part of a movie.

    Raises `TooShortError` when it holds no clip.
    """
    end_seconds = Fraction(duration_ns, NANOSECONDS)
    if movie.end_seconds:
        end_seconds = min(end_seconds, Fraction(movie.end_seconds).limit_denominator(1_000_000))
    start_seconds = Fraction(movie.start_seconds).limit_denominator(1_000_000)
    first, end = ceil(start_seconds * recipe.fps_fraction), int(end_seconds * recipe.fps_fraction)
    if end - first < recipe.num_frames:
        raise TooShortError(
            f"{movie.name}: the wanted part of a movie of {duration_ns / NANOSECONDS:.2f} s holds "
            f"no clip of {recipe.num_frames} frames at {recipe.fps:g} per second"
        )
    return first, end


def cut_legs(
    recipe: Recipe,
    first_step: int,
    end_step: int,
    keyframes_ns: tuple[int, ...],
    lead_ns: int = 0,
) -> Iterator[Segment]:
    """Split grid steps into legs of about `LEG_SECONDS`, each entered at a keyframe.

    Steps stay together where no keyframe parts them. A leg is entered at least `lead_ns` early: a
    deinterlacer must have seen the frames before. From a leg's first step on, the legs are equal
    whether the split began there or before.
    """
    wanted = ceil(Fraction(LEG_SECONDS) * recipe.fps_fraction)
    begin, seek = first_step, _seek_point(recipe, first_step, keyframes_ns, lead_ns)
    number = 0
    while True:
        later = 1 if seek is None else bisect.bisect_right(keyframes_ns, seek)
        if later >= len(keyframes_ns):
            break
        after = Fraction(keyframes_ns[later] + lead_ns, NANOSECONDS) * recipe.fps_fraction
        step = max(begin + wanted, int(after))
        while recipe.grid_ns(step - 1) - lead_ns < keyframes_ns[later]:
            step += 1
        if step >= end_step:
            break
        yield Segment(number, begin, step, seek)
        number, begin = number + 1, step
        seek = _seek_point(recipe, step, keyframes_ns, lead_ns)
    yield Segment(number, begin, end_step, seek)


def cut_segments(
    recipe: Recipe,
    first_step: int,
    end_step: int,
    keyframes_ns: tuple[int, ...],
    seconds: float,
    lead_ns: int = 0,
) -> tuple[Segment, ...]:
    """Split grid steps into segments of whole legs, each of about `seconds`."""
    wanted = Fraction(seconds) * recipe.fps_fraction
    segments: list[Segment] = []
    begin: Segment | None = None
    for leg in cut_legs(recipe, first_step, end_step, keyframes_ns, lead_ns):
        begin = begin or leg
        if leg.end_step - begin.first_step >= wanted or leg.end_step == end_step:
            segments.append(replace(begin, number=len(segments), end_step=leg.end_step))
            begin = None
    return tuple(segments)


def with_segments(plan: MoviePlan, seconds: float) -> MoviePlan:
    """The plan with its steps parted into segments of about `seconds`."""
    keys = plan.probe.keyframes_ns
    segments = cut_segments(
        plan.recipe, plan.first_step, plan.end_step, keys, seconds, plan.lead_ns
    )
    return replace(plan, segments=segments)


def legs_of(plan: MoviePlan, segment: Segment) -> tuple[Segment, ...]:
    """The legs of a segment, in order."""
    keys, (first, end) = plan.probe.keyframes_ns, (segment.first_step, segment.end_step)
    return tuple(cut_legs(plan.recipe, first, end, keys, plan.lead_ns))


def _seek_point(
    recipe: Recipe, first_step: int, keyframes_ns: tuple[int, ...], lead_ns: int
) -> int | None:
    """The last keyframe that is on screen no later than one grid step before a segment's first.

    That step is decoded too: the shot detector compares each frame with the one before it. None
    stands for the movie's start.
    """
    step = first_step - 1
    if step < 0:
        return None
    place = bisect.bisect_right(keyframes_ns, recipe.grid_ns(step) - lead_ns)
    return keyframes_ns[place - 1] if place > 1 else None
