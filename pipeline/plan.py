"""The movie plan: a pure function from probe and recipe to clip grid and segments.

    clips     |----0----|----1----|----2----|----3----|----4----|   (non-overlapping by default)
    keyframes K      K          K         K        K          K
    segments  [ 0: clips 0-1     )[ 1: clips 2-4                  )

A segment is a run of clips that one ffmpeg decodes in sequence, entered at a keyframe. Which
segments there are changes nothing in the clips: every frame is chosen by its presentation time.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, replace
from fractions import Fraction

from pipeline.corpus import Movie
from pipeline.errors import TooShortError
from pipeline.picture import Crop
from pipeline.probe import Probe
from shards_spec.recipe import NANOSECONDS, Recipe

#: How early a segment of interlaced material is entered.
INTERLACED_LEAD_NS = NANOSECONDS // 2


@dataclass(frozen=True)
class Segment:
    """Clips [first_clip, end_clip) of a movie, decoded together."""

    number: int
    first_clip: int
    end_clip: int
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
    first_clip: int
    """First place on the clip grid that is wanted."""
    end_clip: int
    """One past the last."""
    segments: tuple[Segment, ...]
    starts: tuple[int, ...] = ()
    """With `clips="shots"`: grid steps at which clips 0, 1, ... start."""
    cuts: tuple[int, ...] = ()
    """With `clips="shots"`: grid steps at which shots start."""
    num_short_shots: int = 0
    """With `clips="shots"`: shots that are shorter than a clip."""

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
        """Grid step of a clip's first frame."""
        return clip_step(self.recipe, self.starts, clip_number)

    def segment_seconds(self, segment: Segment) -> float:
        """Film seconds that a segment covers."""
        end = self.clip_end_ns(segment.end_clip - 1)
        return (end - self.clip_start_ns(segment.first_clip)) / NANOSECONDS

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


def cut_segments(
    recipe: Recipe,
    first_clip: int,
    end_clip: int,
    keyframes_ns: tuple[int, ...],
    seconds: float,
    lead_ns: int = 0,
    starts: tuple[int, ...] = (),
) -> tuple[Segment, ...]:
    """Split clips into segments of about `seconds`, each entered at a keyframe.

    Neighbouring clips stay together where no keyframe parts them. A segment is entered at least
    `lead_ns` early: a deinterlacer must have seen the frames before.
    """
    wanted_ns = round(seconds * NANOSECONDS)
    segments: list[Segment] = []
    steps = {clip: clip_step(recipe, starts, clip) for clip in range(first_clip, end_clip)}
    begin, seek = first_clip, _seek_point(recipe, steps[first_clip], keyframes_ns, lead_ns)
    for clip in range(first_clip + 1, end_clip):
        if recipe.grid_ns(steps[clip]) - recipe.grid_ns(steps[begin]) < wanted_ns:
            continue
        entry = _seek_point(recipe, steps[clip], keyframes_ns, lead_ns)
        if entry is None or (seek is not None and entry <= seek):
            continue
        segments.append(Segment(len(segments), begin, clip, seek))
        begin, seek = clip, entry
    segments.append(Segment(len(segments), begin, end_clip, seek))
    return tuple(segments)


def with_segments(plan: MoviePlan, seconds: float) -> MoviePlan:
    """The plan with its clips parted into segments of about `seconds`."""
    lead_ns = INTERLACED_LEAD_NS if plan.probe.video.is_interlaced else 0
    keyframes_ns = plan.probe.keyframes_ns
    segments = cut_segments(
        plan.recipe, plan.first_clip, plan.end_clip, keyframes_ns, seconds, lead_ns, plan.starts
    )
    return replace(plan, segments=segments)


def clip_step(recipe: Recipe, starts: tuple[int, ...], clip_number: int) -> int:
    """Grid step of a clip's first frame: even, or from the list of starts in shots."""
    if recipe.clips == "shots":
        return starts[clip_number]
    return clip_number * recipe.stride_frames


def _seek_point(
    recipe: Recipe, first_step: int, keyframes_ns: tuple[int, ...], lead_ns: int
) -> int | None:
    """The last keyframe that is on screen no later than one grid step before a clip's first.

    That step is decoded too: the shot detector compares each frame with the one before it. None
    stands for the movie's start.
    """
    step = first_step - 1
    if step < 0:
        return None
    place = bisect.bisect_right(keyframes_ns, recipe.grid_ns(step) - lead_ns)
    return keyframes_ns[place - 1] if place > 1 else None
