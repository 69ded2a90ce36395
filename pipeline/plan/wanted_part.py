"""The part of a movie that clips are taken from, as a range of steps of the clip grid."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

from pipeline.errors import TooShortError
from pipeline.sources import Movie
from shards_spec.recipe import NANOSECONDS, Recipe


def wanted_steps(movie: Movie, recipe: Recipe, duration_ns: int) -> tuple[int, int]:
    """Grid steps [first, end) of the part of a movie that its manifest requests.

    With `clips="uniform"` the range covers whole clips only: it starts where one starts and ends
    where one ends.

    Raises `TooShortError` if the part contains no whole clip.
    """
    start_seconds = _fraction(movie.start_seconds)
    end_seconds = Fraction(duration_ns, NANOSECONDS)
    if movie.end_seconds:
        end_seconds = min(end_seconds, _fraction(movie.end_seconds))
    first = ceil(start_seconds * recipe.fps_fraction)
    end = int(end_seconds * recipe.fps_fraction)
    if recipe.clips == "uniform":
        first, end = _whole_clips(recipe, first, end)
    if end - first < recipe.num_frames:
        length = recipe.num_frames / recipe.fps
        raise TooShortError(
            f"{movie.name}: {float(start_seconds):.2f} s to {float(end_seconds):.2f} s of a movie "
            f"of {duration_ns / NANOSECONDS:.2f} s contains no whole clip ({length:.2f} s)"
        )
    return first, end


def _whole_clips(recipe: Recipe, first: int, end: int) -> tuple[int, int]:
    """Shrink the steps [first, end) to the clips, one every `stride_frames`, inside them."""
    stride = recipe.stride_frames
    first_clip, last_clip = -(-first // stride), (end - recipe.num_frames) // stride
    return first_clip * stride, last_clip * stride + recipe.num_frames


def _fraction(seconds: float) -> Fraction:
    return Fraction(seconds).limit_denominator(1_000_000)
