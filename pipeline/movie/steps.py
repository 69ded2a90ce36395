"""The steps of one movie, each a plain function: prepare, decode, write. Ray only calls them.

    prepare -> MoviePlan -> run_segment (per segment) ┐
                         -> run_audio_parts           ┴-> write_movie -> commit record

With `clips="shots"` the audio comes after the segments, because only their cuts say where clips
start.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.audio import MovieAudio, audio_parts
from pipeline.config import Decode, Incomplete, Seeks
from pipeline.errors import IncompleteError, MovieError, SourceChangedError
from pipeline.ffmpeg import filters_packets
from pipeline.movie.fast_mode import with_fast_decode
from pipeline.plan import MoviePlan, PlacedPlan, Segment, place_clips, plan_movie
from pipeline.probe import Probe, probe
from pipeline.sources import Movie, Readable
from pipeline.sources.identity import fingerprint
from pipeline.video import (
    VideoSegment,
    decode_segment,
    find_crop,
    frame_size,
    segments_to_repeat,
    with_shapes,
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
) -> MoviePlan:
    """Probe a movie and plan it, in segments of about `seconds`.

    `decode` says whether frames that no clip needs may be left out (with `recipe.fast_decode` they
    always are), `seeks` whether parts of the movie may be.

    Raises `IncompleteError` for a movie that was cut off, unless these are kept.
    """
    if fingerprint(movie) != source.fingerprint:
        raise SourceChangedError(f"{movie.name}: the file changed since the run began")
    leaves_out = (decode == "exact" or recipe.fast_decode) and filters_packets()
    found = probe(movie, source, recipe.language, finds_disposable=leaves_out)
    probed = with_shapes(found, source, movie.name)
    known: dict[str, Any] = {"probe": probed}
    try:
        if incomplete == "fail":
            _require_complete(movie, probed)
        crop = known["crop"] = find_crop(probed, source, movie.name) if recipe.crop_bars else None
        plan = plan_movie(
            movie=movie,
            source_fingerprint=source.fingerprint,
            recipe=recipe,
            probe=probed,
            crop=crop,
            frame_size=frame_size(probed.video, crop, recipe),
            segment_seconds=seconds,
            seeks=seeks,
        )
        return with_fast_decode(plan, source) if recipe.fast_decode else plan
    except MovieError as error:
        error.known = known
        raise


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
