"""A small dataset with everything that a browser has to show, made without ffmpeg.

`heat` has gaps of dropped clips, filled audio, cropping and corrected sync; `copy` has the same
source; `broken` failed; `dark` was skipped. All free texts are those of a hostile stranger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from shards_spec.dataset.index import write_commit, write_index
from shards_spec.dataset.reader import Dataset, open_dataset
from shards_spec.dataset.writer import MovieWriter
from shards_spec.recipe import Recipe
from shards_spec.schema import MovieRow
from shards_spec.schema.dropped import DroppedClips, sorted_drops
from shards_spec.storage.storage import Storage
from tests.support.datasets.toy_dataset import toy_members, toy_recipe, toy_row

#: What must be shown as text and never be executed.
SCRIPT = "<script>alert(1)</script>"
EVIL = f"{SCRIPT}\"'><img src=x onerror=alert(2)>\u202e\x1b[31m</title>&amp;{{}}"

#: Of 12 numbers, those of the clips of `heat` that are kept.
KEPT = (0, 1, 4, 5, 6, 8)


def write_eventful_dataset(uri: str, **recipe_changes: object) -> Dataset:
    """Write it to a folder and open it."""
    recipe = toy_recipe(**recipe_changes)  # type: ignore[arg-type]
    storage = Storage(uri, create=True)
    heat = {
        "source_fingerprint": "same",
        "source_uri": f"file:///movies/{EVIL}.mp4",
        "crop": "40:32:4:0",
        "picture_applied": "crop 40:32:4:0",
        "audio_start_offset_ns": 1_500_000_000,
        "audio_drift_ppm": 120.0,
        "audio_filled_ns": 2_000_000_000,
        "dropped_black": 3,
        "dropped_too_short": 3,
        "drops": drops_of(recipe, {2: "black", 3: "black", 7: "black"}, {9, 10, 11}),
        "audio_language": EVIL,
        "decode_seconds": 1.5,
        "extra": {"title": EVIL, "year": 1995},
    }
    write_movie(storage, recipe, "heat", KEPT, filled={4: 300_000_000, 5: 10_000_000}, **heat)
    write_movie(storage, recipe, "copy", range(12), source_fingerprint="same")
    for movie_id, status in (("broken", "quarantined"), ("dark", "skipped")):
        row = _row(recipe, movie_id, 0, error_class=f"class {EVIL}", error=f"no audio {EVIL}")
        write_commit(storage, replace(row, status=status), [])  # type: ignore[arg-type]
    write_index(storage, recipe, "toy")
    return open_dataset(storage)


def write_movie(
    storage: Storage,
    recipe: Recipe,
    movie_id: str,
    numbers: Any,
    filled: Mapping[int, int] | None = None,
    **columns: Any,
) -> None:
    """Write a movie of 12 clip lengths with the clips of these numbers, and its commit record."""
    with MovieWriter(storage, movie_id, recipe.shard_bytes) as writer:
        for number in numbers:
            row = toy_row(recipe, movie_id, movie_id, number, 32, 48)
            row = replace(row, filled_audio_ns=(filled or {}).get(number, 0))
            writer.add(row, toy_members(recipe, row, 7))
    movie = _row(recipe, movie_id, len(numbers), num_shards=writer.num_shards, **columns)
    write_commit(storage, replace(movie, shard_bytes=writer.num_bytes), writer.rows)


def drops_of(recipe: Recipe, reasons: Mapping[int, str], short: Iterable[int]) -> DroppedClips:
    """Dropped clips of these numbers; the `short` ones are too short."""
    reasons = {**reasons, **dict.fromkeys(short, "too_short")}
    starts = {number: number * recipe.stride_frames for number in reasons}
    return sorted_drops(
        (number, recipe.grid_ns(step), recipe.grid_ns(step + recipe.num_frames), reasons[number])
        for number, step in starts.items()
    )


def _row(recipe: Recipe, movie_id: str, num_clips: int, **columns: Any) -> MovieRow:
    values = {
        "movie_id": movie_id,
        "group": movie_id,
        "source_uri": f"toy:{movie_id}",
        "source_bytes": 1,
        "source_fingerprint": movie_id,
        "recipe_fingerprint": recipe.fingerprint,
        "status": "done",
        "num_clips": num_clips,
        "duration_ns": recipe.grid_ns(12 * recipe.stride_frames),
        "video_codec": "h264",
        "video_width": 48,
        "video_height": 32,
        "audio_track": 1,
    }
    return MovieRow(**{**values, **columns})
