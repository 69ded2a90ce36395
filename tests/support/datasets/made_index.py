"""The index of a large dataset without shards, made a column at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shards_spec import layout
from shards_spec.recipe import Recipe
from shards_spec.schema import MovieRow
from shards_spec.schema.tables import CLIPS_SCHEMA, movies_table

_CLIP_BYTES = 102_400


def write_made_index(folder: Path, num_movies: int, clips_per_movie: int) -> None:
    """Write `dataset.json` and the index; one clip in ten is missing, one movie in 20 failed."""
    recipe, rng = Recipe(), np.random.default_rng(0)
    names = np.array([f"movie-{number:06d}" for number in range(num_movies)])
    numbers = np.arange(clips_per_movie)
    numbers = numbers[numbers % 10 != 3]
    movie = np.repeat(np.arange(num_movies), len(numbers))
    number = np.tile(numbers, num_movies)
    ids = pa.DictionaryArray.from_arrays(pa.array(movie), pa.array(names)).cast(pa.string())
    columns = _columns(recipe, rng, ids, number, np.tile(np.arange(len(numbers)), num_movies))
    clips = pa.table(
        [pa.array(columns[item.name], item.type) for item in CLIPS_SCHEMA], schema=CLIPS_SCHEMA
    )
    rows = [_movie(recipe, name, len(numbers), clips_per_movie) for name in names.tolist()]
    rows += [_broken(recipe, f"broken-{number:06d}") for number in range(num_movies // 20)]
    (folder / "index").mkdir(parents=True)
    pq.write_table(clips, folder / layout.CLIPS_PARQUET)
    pq.write_table(movies_table(rows), folder / layout.MOVIES_PARQUET)
    info = {"spec_version": "1.0", "recipe": recipe.to_json(), "totals": {}}
    (folder / layout.DATASET_JSON).write_text(json.dumps(info), encoding="utf-8")


def _columns(
    recipe: Recipe,
    rng: np.random.Generator,
    ids: pa.Array,
    number: NDArray[np.int64],
    place: NDArray[np.int64],
) -> dict[str, Any]:
    count = len(number)
    start = number * recipe.grid_ns(recipe.stride_frames)
    padded = pc.utf8_lpad(pc.cast(pa.array(number), pa.string()), 6, "0")
    constants = {
        **{"tar_bytes": _CLIP_BYTES, "num_frames": recipe.num_frames, "fps": recipe.fps},
        **{"height": 128, "width": 224, "sample_rate_hz": recipe.sample_rate_hz},
        **{"num_audio_samples": recipe.clip_samples, "av_skew_ns": 0, "num_cuts": 0},
        **{"luma_std": 40.0, "audio_peak_dbfs": -3.0, "filled_audio_ns": 0, "crc32c": 1},
    }
    return {
        **{name: np.full(count, value) for name, value in constants.items()},
        "clip_id": pc.binary_join_element_wise(ids, padded, "_"),
        "movie_id": ids,
        "group": ids,
        "shard": pc.binary_join_element_wise("shards/", ids, "/", ids, "-00000.tar", ""),
        "tar_offset": place * _CLIP_BYTES,
        "clip_number": number,
        "start_ns": start,
        "end_ns": start + recipe.grid_ns(recipe.num_frames),
        "first_frame_pts_ns": start,
        "shot_id": number // 2,
        "luma_mean": rng.gamma(6, 15, count).clip(0, 255),
        "motion": rng.gamma(2, 3, count).clip(0, 255),
        "audio_rms_dbfs": rng.normal(-25, 8, count),
    }


def _movie(recipe: Recipe, name: str, num_clips: int, num_all: int) -> MovieRow:
    return MovieRow(
        movie_id=name,
        group=name,
        source_uri=f"file:///movies/{name}.mkv",
        source_bytes=10**9,
        source_fingerprint=name,
        recipe_fingerprint=recipe.fingerprint,
        status="done",
        duration_ns=num_all * recipe.grid_ns(recipe.stride_frames),
        num_clips=num_clips,
        num_shards=1,
        shard_bytes=num_clips * _CLIP_BYTES,
        video_codec="h264",
        dropped_black=num_all - num_clips,
    )


def _broken(recipe: Recipe, name: str) -> MovieRow:
    return MovieRow(
        movie_id=name,
        group=name,
        source_uri=f"file:///movies/{name}.mkv",
        source_bytes=1,
        source_fingerprint="",
        recipe_fingerprint=recipe.fingerprint,
        status="quarantined",
        error_class="unreadable",
        error="the file is corrupt or not a movie " * 20,
    )
