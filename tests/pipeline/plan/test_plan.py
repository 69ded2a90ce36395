from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import TooShortError
from pipeline.plan.segments import split_segments, split_spans
from pipeline.plan.wanted_part import wanted_steps
from pipeline.probe.streams.video_stream import Crop
from pipeline.sources import Movie
from pipeline.video.black_bars import crop_from_lit
from pipeline.video.filters import frame_size
from shards_spec.recipe import NANOSECONDS, Recipe
from tests.support.films.probed import MOVIE, VIDEO


def clips_of(movie: Movie, recipe: Recipe, duration_ns: int) -> tuple[int, int]:
    """[first, end) of the clip numbers that evenly placed clips have."""
    first, end = wanted_steps(movie, recipe, duration_ns)
    stride = recipe.stride_frames
    return first // stride, (end - recipe.num_frames) // stride + 1


def test_big_buck_bunny_has_186_clips() -> None:
    assert wanted_steps(MOVIE, Recipe(), 596_458_333_333) == (0, 186 * 16)


@pytest.mark.parametrize(
    ("seconds", "end"), [(3.2, 1), (3.199999999, None), (6.399999999, 1), (6.4, 2)]
)
def test_only_complete_clips_count(seconds: float, end: int | None) -> None:
    duration_ns = round(seconds * NANOSECONDS)
    if end is None:
        with pytest.raises(TooShortError, match=r"contains no whole clip \(3\.20 s\)"):
            clips_of(MOVIE, Recipe(), duration_ns)
    else:
        assert clips_of(MOVIE, Recipe(), duration_ns) == (0, end)


def test_a_requested_part_keeps_the_movies_grid() -> None:
    part = dataclasses.replace(MOVIE, start_seconds=4.0, end_seconds=16.0)
    # Clips start at 0, 3.2, 6.4, 9.6, 12.8, 16.0; 2, 3 and 4 are completely inside [4, 16).
    assert clips_of(part, Recipe(), 60 * NANOSECONDS) == (2, 5)


def test_overlapping_clips() -> None:
    recipe = Recipe(overlap_frames=8)
    assert clips_of(MOVIE, recipe, round(6.4 * NANOSECONDS)) == (0, 3)


@given(
    num_steps=st.integers(1, 6400),
    keys=st.lists(st.integers(0, 1500), max_size=200),
    seconds=st.floats(0.5, 600),
    first=st.integers(0, 80),
)
def test_segments_partition_the_steps_for_any_keyframes(
    num_steps: int, keys: list[int], seconds: float, first: int
) -> None:
    recipe = Recipe()
    keyframes = tuple(key * NANOSECONDS for key in sorted({0, *keys}))
    segments = split_segments(
        recipe, list(split_spans(recipe, first, first + num_steps, keyframes)), seconds
    )
    steps = [step for s in segments for step in range(s.first_step, s.end_step)]
    assert steps == list(range(first, first + num_steps))
    for segment in segments:
        if segment.seek_ns is not None:
            # The entry is early enough to see the frame before the first.
            assert segment.seek_ns <= recipe.grid_ns(segment.first_step - 1)
            assert segment.seek_ns in keyframes
    seeks = [segment.seek_ns for segment in segments[1:]]
    assert None not in seeks
    assert len(set(seeks)) == len(seeks)


@given(
    clips=st.sampled_from(["uniform", "shots"]),
    start=st.floats(0, 50),
    length=st.floats(0.01, 50),
    overlap=st.integers(0, 15),
)
def test_the_planned_steps_lie_inside_the_requested_part(
    clips: Literal["uniform", "shots"], start: float, length: float, overlap: int
) -> None:
    part = dataclasses.replace(MOVIE, start_seconds=start, end_seconds=start + length)
    recipe = Recipe(clips=clips, overlap_frames=overlap)
    try:
        first, end = wanted_steps(part, recipe, 40 * NANOSECONDS)
    except TooShortError:
        assert min(start + length, 40.0) - start < 2 * 3.2 + 0.4
        return
    assert start - 1e-6 <= first / recipe.fps
    assert end / recipe.fps <= min(start + length, 40.0) + 1e-6
    if clips == "uniform":
        assert first % recipe.stride_frames == (end - recipe.num_frames) % recipe.stride_frames == 0


@given(
    num_steps=st.integers(1, 3200),
    keys=st.lists(st.integers(0, 700), max_size=100),
    seconds=st.floats(0.5, 600),
    preroll_ns=st.sampled_from([0, NANOSECONDS // 2]),
)
def test_spans_do_not_depend_on_segments(
    num_steps: int, keys: list[int], seconds: float, preroll_ns: int
) -> None:
    recipe = Recipe()
    keyframes = tuple(key * NANOSECONDS for key in sorted({0, *keys}))
    whole = list(split_spans(recipe, 0, num_steps, keyframes, preroll_ns))
    parts = [
        span
        for segment in split_segments(recipe, whole, seconds)
        for span in split_spans(recipe, segment.first_step, segment.end_step, keyframes, preroll_ns)
    ]
    assert parts == whole


def test_a_movie_with_one_keyframe_is_one_segment() -> None:
    assert len(split_segments(Recipe(), list(split_spans(Recipe(), 0, 100, (0,))), 10.0)) == 1


@pytest.mark.parametrize(
    ("change", "crop", "size"),
    [
        ({}, None, (128, 228)),
        ({"width": 1280, "height": 720}, None, (128, 228)),
        ({"width": 1080, "height": 1920}, None, (224, 128)),
        ({"rotation": 90}, None, (224, 128)),
        ({"width": 720, "height": 576, "sar": Fraction(64, 45)}, None, (128, 228)),
        ({}, Crop(1920, 800, 0, 140), (128, 308)),
        ({"width": 480, "height": 480}, None, (128, 128)),
    ],
)
def test_frame_size_keeps_the_aspect(
    change: dict[str, object], crop: Crop | None, size: tuple[int, int]
) -> None:
    video = dataclasses.replace(VIDEO, **change)  # type: ignore[arg-type]
    assert frame_size(video, crop, Recipe()) == size


def _lit(size: int, *ranges: tuple[int, int]) -> np.ndarray:
    lit = np.zeros(size, dtype=bool)
    for start, end in ranges:
        lit[start:end] = True
    return lit


def test_bars_are_cropped_to_even_numbers() -> None:
    crop = crop_from_lit(_lit(1080, (139, 941)), _lit(1920, (0, 1920)))
    assert crop == Crop(width=1920, height=800, x=0, y=140)


def test_dark_movies_and_thin_edges_are_not_cropped() -> None:
    whole = _lit(1920, (0, 1920))
    assert crop_from_lit(_lit(1080), _lit(1920)) is None
    assert crop_from_lit(_lit(1080, (500, 600)), whole) is None
    assert crop_from_lit(_lit(1080, (8, 1075)), whole) is None
