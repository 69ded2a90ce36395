"""What few clips per movie save: CPU seconds of the steps of a movie, and predictions against them.

    python -m benchmarks.decoding.sparse MOVIE... --clips 0 20 200

Each movie goes through the steps of a run without Ray, once with all clips and once by the chosen
route for each number of clips; then also by the other route. Film strips are compared with those of
all clips. CPU seconds are those of this process and of the programs that it runs; "predicted" and
"ffmpeg" are the parts of ffmpeg that decode the video.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pipeline.config import Seeks
from pipeline.movie import steps
from pipeline.plan.movie_plan import MoviePlan
from pipeline.sources import Movie, Readable
from pipeline.sources.access import open_source
from pipeline.sources.corpus import find_movies
from pipeline.sources.identity import fingerprint
from pipeline.video.segment import VideoSegment
from shards_spec.recipe import Recipe

Result = TypeVar("Result")

SEGMENT_SECONDS = 300.0


@dataclass(frozen=True)
class Outcome:
    """One movie by one route."""

    plan: MoviePlan
    prepare_seconds: float
    video_seconds: float
    audio_seconds: float
    ffmpeg_seconds: float
    scans: dict[int, bytes]
    """Encoded frames by grid step."""


def main() -> None:
    """Print one row of a Markdown table per movie, number of clips and route."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("movies", nargs="+")
    parser.add_argument("--clips", nargs="+", type=float, default=[0, 20])
    arguments = parser.parse_args()
    print(
        "| movie | clips | route | prepare, s | video, s | audio, s | sum, s | of all | "
        "ffmpeg, s | predicted, s | same bytes |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name in arguments.movies:
        (movie,) = find_movies(name)
        with open_source(movie, fingerprint(movie)) as source:
            every = _outcome(movie, source, 0, "auto")
            for count in arguments.clips:
                found = _outcome(movie, source, count, "auto") if count else every
                _print_row(movie, count, found, every)
                if count and found.plan.route.name == "seeks":
                    _print_row(movie, count, _outcome(movie, source, count, "never"), every)


def _outcome(movie: Movie, source: Readable, count: float, seeks: Seeks) -> Outcome:
    recipe = Recipe(clips_per_movie=count)
    plan, prepare_seconds = _measured(
        lambda: steps.prepare(movie, source, recipe, SEGMENT_SECONDS, seeks=seeks)
    )
    segments, video_seconds = _measured(
        lambda: [steps.run_segment(plan, part, source) for part in plan.segments]
    )
    videos = [video for video, _ in segments]
    _, audio_seconds = _measured(lambda: list(steps.run_audio_parts(plan, source, videos)))
    scans: dict[int, bytes] = {}
    for video, data in segments:
        scans |= _scans(video, data.tobytes())
    ffmpeg_seconds = sum(video.cpu_seconds for video in videos)
    return Outcome(plan, prepare_seconds, video_seconds, audio_seconds, ffmpeg_seconds, scans)


def _scans(video: VideoSegment, data: bytes) -> dict[int, bytes]:
    ends = video.scan_ends.tolist()
    starts = [0, *ends[:-1]]
    return {
        step: data[start:end]
        for step, start, end in zip(video.steps.tolist(), starts, ends, strict=True)
    }


def _print_row(movie: Movie, count: float, found: Outcome, every: Outcome) -> None:
    total, all_seconds = (
        outcome.prepare_seconds + outcome.video_seconds + outcome.audio_seconds
        for outcome in (found, every)
    )
    is_same = all(every.scans[step] == scan for step, scan in found.scans.items())
    route = found.plan.route
    print(
        f"| {movie.name} | {f'{count:g}' if count else 'all'} | {route.name} | "
        f"{found.prepare_seconds:.1f} | {found.video_seconds:.1f} | {found.audio_seconds:.1f} | "
        f"{total:.1f} | {100 * total / all_seconds:.0f} % | {found.ffmpeg_seconds:.1f} | "
        f"{route.predicted_seconds:.1f} | {'yes' if is_same else 'NO'} |",
        flush=True,
    )


def _measured(work: Callable[[], Result]) -> tuple[Result, float]:
    before = _cpu_seconds()
    result = work()
    return result, _cpu_seconds() - before


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


if __name__ == "__main__":
    main()
