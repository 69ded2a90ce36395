"""Which frame a movie shows when, according to PyAV and to the pipeline: they must agree."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.audio.clips import MovieAudio
from pipeline.errors import MovieError
from pipeline.movie import steps
from pipeline.movie.frames import MovieFrames
from pipeline.movie.selection import select_clips
from pipeline.movie.spool import SpoolPart
from pipeline.plan.movie_plan import MoviePlan, PlacedPlan
from pipeline.sources import Readable
from pipeline.sources.corpus import find_movies
from pipeline.video.segment import Decoded, VideoSegment
from shards_spec.recipe import NANOSECONDS, Recipe
from shards_spec.sample import decode_strip
from shards_spec.schema import ClipContent
from tests.support.films.media import pixels_of, pts_of, read_number, shown_at
from tests.support.films.opened import opened, source_of

#: 112 lines, like the movies; no detection of black bars in tests about something else.
RECIPE = Recipe(num_frames=8, short_side=112, crop_bars=False)

Clips = dict[int, tuple[int, NDArray[np.uint8]]]


def plan_of(path: Path, recipe: Recipe = RECIPE, seconds: float = 1000.0) -> PlacedPlan:
    """The plan of the movie at `path`, in segments of about `seconds`, without cuts."""
    (movie,) = find_movies(str(path))
    return steps.with_clips(steps.prepare(movie, opened(movie), recipe, seconds), [])


def decoded(plan: MoviePlan) -> tuple[PlacedPlan, MovieFrames]:
    """The plan with its clips placed, and all decoded frames."""
    segments = decoded_segments(plan)
    placed = steps.with_clips(plan, [segment for segment, _ in segments])
    return placed, movie_frames(placed, segments)


def decoded_segments(plan: MoviePlan) -> list[tuple[VideoSegment, NDArray[np.uint8]]]:
    """All segments of a movie and their bytes; none left out frames if one must not."""
    found: dict[int, tuple[VideoSegment, NDArray[np.uint8]]] = {}
    again = list(plan.segments)
    while again:
        found |= {part.number: steps.run_segment(plan, part, source_of(plan)) for part in again}
        plan, again = steps.to_decode_again(plan, [found[s.number][0] for s in plan.segments])
    return [found[segment.number] for segment in plan.segments]


def everything_of_views(
    path: Path, recipes: Sequence[Recipe], seconds: float = 1000.0
) -> list[list[object]]:
    """`everything` of several views of a movie that are decoded together."""
    (movie,) = find_movies(str(path))
    source = opened(movie)
    movies = [movie] * len(recipes)
    plans = [
        plan
        for plan in steps.prepare_views(movies, source, recipes, seconds)
        if isinstance(plan, MoviePlan)
    ]
    assert len(plans) == len(recipes)
    open_parts = [{part.number: part for part in plan.segments} for plan in plans]
    found: list[dict[int, Decoded]] = [{} for _ in plans]
    while numbers := sorted({number for parts in open_parts for number in parts}):
        for number in numbers:
            views = [view for view, parts in enumerate(open_parts) if number in parts]
            parts = [(plans[view], open_parts[view][number]) for view in views]
            for view, result in zip(views, steps.run_segments(parts, source), strict=True):
                assert not isinstance(result, MovieError)
                found[view][number] = result
        for view, plan in enumerate(plans):
            segments = [found[view][part.number][0] for part in plan.segments]
            plans[view], again = steps.to_decode_again(plan, segments)
            open_parts[view] = {part.number: part for part in again}
    results = []
    for plan, parts_found in zip(plans, found, strict=True):
        decoded_parts = [parts_found[part.number] for part in plan.segments]
        placed = steps.with_clips(plan, [video for video, _ in decoded_parts])
        results.append(_everything(placed, movie_frames(placed, decoded_parts)))
    return results


def movie_frames(
    plan: PlacedPlan, segments: Sequence[tuple[VideoSegment, NDArray[np.uint8]]]
) -> MovieFrames:
    """Frames of decoded segments whose bytes are in memory."""
    parts = [(video, SpoolPart(io.BytesIO(data.tobytes()), 0)) for video, data in segments]
    return MovieFrames(plan, parts)


def decoded_audio(
    plan: MoviePlan,
    segments: Sequence[VideoSegment] = (),
    source: Readable | None = None,
) -> tuple[MovieAudio, NDArray[np.uint8]]:
    """The audio of all clips, and the parts of `audio_parts` as one array of bytes.

    `segments` may be empty unless clips keep to shots; `source` unless the movie is remote.
    """
    parts: list[NDArray[np.uint8]] = []
    decoding = steps.run_audio_parts(plan, source or source_of(plan), segments)
    while True:
        try:
            parts.append(next(decoding))
        except StopIteration as end:
            audio: MovieAudio = end.value
            return audio, np.concatenate(parts)


def clips_of(plan: MoviePlan) -> Clips:
    """Clip number -> (pts of its first frame, its frames); no damaged clips."""
    return _clips(*decoded(plan))


def everything(plan: MoviePlan) -> list[object]:
    """Everything that decoding produces, in the order of the movie: equal for equal results."""
    return _everything(*decoded(plan))


def judged(plan: MoviePlan, truth: list[tuple[Fraction, int]]) -> tuple[int, list[object]]:
    """`wrong_frames` and `everything` of one decode."""
    placed, found = decoded(plan)
    return _wrong_frames(placed, found, truth), _everything(placed, found)


def _everything(plan: PlacedPlan, frames: MovieFrames) -> list[object]:
    numbers = range(plan.first_clip, plan.end_clip)
    damaged = [number for number in numbers if frames.is_damaged(number)]
    clips = [frames.clip(number) for number in numbers if number not in damaged]
    strips = [frames.strip(clip.clip_number) for clip in clips if clip]
    return [plan.starts, plan.cuts, damaged, clips, strips]


def clip_rows(plan: MoviePlan) -> tuple[list[ClipContent], dict[str, int]]:
    """The rows of a movie's clips in the order of time, and how many were dropped, by reason."""
    segments = decoded_segments(plan)
    found = [segment for segment, _ in segments]
    audio, _ = decoded_audio(plan, found)
    placed = steps.with_clips(plan, found)
    clips, dropped = select_clips(placed, movie_frames(placed, segments), audio.clips)
    rows = sorted((clip.content for clip in clips), key=lambda row: row.start_ns)
    return rows, dict(dropped.counts)


def source_frames(path: Path, stream: int = 0) -> list[tuple[Fraction, int]]:
    """(seconds since the first frame, number shown) of each frame, according to PyAV."""
    with av.open(str(path)) as container:
        shown = [
            (pts_of(frame), read_number(pixels_of(frame)))
            for frame in container.decode(video=stream)
        ]
    # Decoders return frames in presentation order. The times of AVI and ASF are decoding times;
    # sorted, they are presentation times.
    times = sorted(time for time, _ in shown)
    numbers = [number for _, number in shown]
    return [(time - times[0], number) for time, number in zip(times, numbers, strict=True)]


def wrong_frames(plan: MoviePlan, truth: list[tuple[Fraction, int]]) -> int:
    """How many stored frames are not the ones on screen; first pts that are off count too."""
    return _wrong_frames(*decoded(plan), truth)


def _wrong_frames(plan: PlacedPlan, found: MovieFrames, truth: list[tuple[Fraction, int]]) -> int:
    times = [float(time) for time, _ in truth]
    wrong = 0
    clips = _clips(plan, found)
    assert sorted(clips) == list(range(plan.first_clip, plan.end_clip))
    for number, (pts_ns, frames) in clips.items():
        start = plan.clip_start_ns(number) / NANOSECONDS
        for i, frame in enumerate(frames):
            place = shown_at(times, start + i / plan.recipe.fps)
            wrong += read_number(frame) != truth[place][1]
        first = times[shown_at(times, start)] * NANOSECONDS
        wrong += abs(pts_ns - first) > 2_000_000
    return wrong


def _clips(plan: PlacedPlan, found: MovieFrames) -> Clips:
    clips: Clips = {}
    for number in range(plan.first_clip, plan.end_clip):
        if (clip := found.clip(number)) and not found.is_damaged(number):
            frames = decode_strip(found.strip(number), plan.recipe.num_frames)
            clips[number] = (clip.first_frame_pts_ns, frames)
    return clips
