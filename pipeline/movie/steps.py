"""The steps of one movie, each a plain function: prepare, decode, write. Ray only calls them.

    prepare -> MoviePlan -> run_segment (per segment) ┐
                         -> run_audio_parts           ┴-> write_movie -> commit record

With `clips="shots"` the audio comes after the segments, because only their cuts say where clips
start.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.clips import MovieAudio, audio_parts
from pipeline.config import Decode, Hwaccel, Incomplete, Seeks
from pipeline.errors import IncompleteError, MovieError, SourceChangedError
from pipeline.ffmpeg.binaries import filters_packets
from pipeline.movie.fast_mode import with_fast_decode
from pipeline.plan import place_clips, planned_together
from pipeline.plan.movie_plan import MoviePlan, PlacedPlan, plan_movie
from pipeline.plan.segments import Segment
from pipeline.probe import Probe, probe
from pipeline.probe.streams.video_stream import Crop
from pipeline.sources import Movie, Readable
from pipeline.sources.identity import fingerprint
from pipeline.video import ViewPart, find_crop, with_shapes
from pipeline.video.filters import frame_size
from pipeline.video.segment import (
    Decoded,
    VideoSegment,
    decode_segment,
    decode_views,
    segments_to_repeat,
)
from shards_spec.recipe import NANOSECONDS, Recipe


def prepare(
    movie: Movie,
    source: Readable,
    recipe: Recipe,
    seconds: float,
    incomplete: Incomplete = "keep",
    decode: Decode = "exact",
    seeks: Seeks = "auto",
    hwaccel: Hwaccel = "none",
    *,
    needs_audio: bool = True,
) -> MoviePlan:
    """Probe a movie and plan it, in segments of about `seconds`.

    `decode` says whether frames that no clip needs may be left out (with `recipe.fast_decode` they
    always are), `seeks` whether parts of the movie may be, `hwaccel` what decodes where a node
    has it (with `recipe.fast_decode`, and for several views, CPUs do), `needs_audio` whether a
    movie without audio is refused.

    Raises `IncompleteError` for a movie that was cut off, unless these are kept.
    """
    settings = (seconds, incomplete, decode, seeks, hwaccel)
    (plan,) = prepare_views([movie], source, [recipe], *settings, needs_audio=needs_audio)
    if isinstance(plan, MovieError):
        raise plan
    return plan


def prepare_views(
    movies: Sequence[Movie],
    source: Readable,
    recipes: Sequence[Recipe],
    seconds: float,
    incomplete: Incomplete = "keep",
    decode: Decode = "exact",
    seeks: Seeks = "auto",
    hwaccel: Hwaccel = "none",
    *,
    needs_audio: bool = True,
) -> list[MoviePlan | MovieError]:
    """Probe a movie once and plan several views of it; see `prepare`.

    `movies` are the same one in the dataset of each view, `recipes` those of the views; they agree
    in `language` and are not `fast_decode` if there are several. With several, all of the movie is
    decoded, in one pass.

    Returns for each view its plan, or why the movie cannot be used for it.
    """
    known = _examined(movies[0], source, recipes, incomplete, decode, needs_audio=needs_audio)
    settings = {"segment_seconds": seconds, "seeks": "never" if len(recipes) > 1 else seeks}
    plans: list[MoviePlan | MovieError] = []
    for movie, recipe in zip(movies, recipes, strict=True):
        crop = known.get("crop") if recipe.crop_bars else None
        try:
            plan = _planned(movie, source, recipe, known["probe"], crop, settings)
        except MovieError as error:
            error.known = {"probe": known["probe"], "crop": crop}
            plans.append(error)
        else:
            on_card = hwaccel != "none" and len(recipes) == 1 and not recipe.fast_decode
            plans.append(replace(plan, hardware=hwaccel) if on_card else plan)
    planned = [plan for plan in plans if isinstance(plan, MoviePlan)]
    if len(planned) < 2:
        return plans
    together = iter(planned_together(planned))
    return [next(together) if isinstance(plan, MoviePlan) else plan for plan in plans]


def _examined(
    movie: Movie,
    source: Readable,
    recipes: Sequence[Recipe],
    incomplete: Incomplete,
    decode: Decode,
    *,
    needs_audio: bool,
) -> dict[str, Any]:
    """The `probe` of a movie, and the `crop` to the area inside its black bars if one is needed."""
    if fingerprint(movie) != source.fingerprint:
        raise SourceChangedError(f"{movie.name}: the file changed since the run began")
    leaves_out = (decode == "exact" or recipes[0].fast_decode) and filters_packets()
    found = probe(
        movie, source, recipes[0].language, finds_disposable=leaves_out, needs_audio=needs_audio
    )
    probed = with_shapes(found, source, movie.name)
    known: dict[str, Any] = {"probe": probed}
    try:
        if incomplete == "fail":
            _require_complete(movie, probed)
        if any(recipe.crop_bars for recipe in recipes):
            known["crop"] = find_crop(probed, source, movie.name)
    except MovieError as error:
        error.known = known
        raise
    return known


def _planned(
    movie: Movie,
    source: Readable,
    recipe: Recipe,
    probed: Probe,
    crop: Crop | None,
    settings: dict[str, Any],
) -> MoviePlan:
    plan = plan_movie(
        movie=movie,
        source_fingerprint=source.fingerprint,
        recipe=recipe,
        probe=probed,
        crop=crop,
        frame_size=frame_size(probed.video, crop, recipe),
        **settings,
    )
    return with_fast_decode(plan, source) if recipe.fast_decode else plan


def _require_complete(movie: Movie, probed: Probe) -> None:
    if probed.missing_ns:
        seconds = (probed.duration_ns + probed.missing_ns) / NANOSECONDS
        raise IncompleteError(
            f"{movie.name}: {probed.missing_ns / NANOSECONDS:.1f} s of {seconds:.1f} s are missing "
            "at the end; replace the file, or use --incomplete keep"
        )


def run_segment(
    plan: MoviePlan, segment: Segment, source: Readable
) -> tuple[VideoSegment, NDArray[np.uint8]]:
    """Decode one segment; see `decode_segment`."""
    return decode_segment(plan, segment, source)


def run_segments(
    parts: Sequence[tuple[MoviePlan, Segment]], source: Readable
) -> list[Decoded | MovieError]:
    """Decode the same part of a movie for one or more views; an error instead of what failed."""
    if len(parts) > 1:
        return decode_views([ViewPart(*part) for part in parts], source)
    ((plan, segment),) = parts
    return [decode_segment(plan, segment, source)]


def to_decode_again(
    plan: MoviePlan, segments: Sequence[VideoSegment]
) -> tuple[MoviePlan, list[Segment]]:
    """What remains to be done once all segments have been decoded; usually nothing.

    If something was reported about a decoder that did not see all frames, these are the segments
    that others decoded in that way, with the plan for decoding them whole.
    """
    numbers = segments_to_repeat(segments)
    again = [segment for segment in plan.segments if segment.number in numbers]
    return (plan.whole() if again else plan), again


def with_clips(plan: MoviePlan, segments: Sequence[VideoSegment]) -> PlacedPlan:
    """The plan with its clips placed, given all decoded segments; see `place_clips`."""
    return place_clips(plan, [step for segment in segments for step in segment.cut_steps])


def run_audio_parts(
    plan: MoviePlan, source: Readable, segments: Sequence[VideoSegment]
) -> Generator[NDArray[np.uint8], None, MovieAudio]:
    """Decode the audio; see `audio_parts`.

    `segments` are only used when clips keep to shots.
    """
    known = segments if plan.recipe.clips == "shots" else ()
    return audio_parts(with_clips(plan, known), source)
