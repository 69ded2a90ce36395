"""Checks of the index alone: pure functions from rows to problems, named as in `CHECKS`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from math import ceil
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shards_spec import layout
from shards_spec.dataset.reader import recipe_of
from shards_spec.dataset.validation.report import Problem
from shards_spec.errors import InputError
from shards_spec.recipe import NANOSECONDS, Recipe, fingerprint_of
from shards_spec.sample import TAR_BLOCK
from shards_spec.schema import ClipRow, MovieRow
from shards_spec.schema.columns import STATUSES
from shards_spec.schema.tables import ADDED_COLUMNS

#: The two zero blocks that end a shard.
END_BYTES = 2 * TAR_BLOCK

#: Bytes that no clip reaches; larger ones are not read.
MAX_CLIP_BYTES = 1 << 30

Problems = Iterator[Problem]


def info_problems(info: dict[str, Any]) -> Problems:
    """`dataset.json`: recipe, its fingerprint, required keys."""
    where = layout.DATASET_JSON
    try:
        recipe_of(info)
    except InputError as error:
        yield Problem("dataset_json", where, str(error))
    expected = fingerprint_of(info["recipe"])
    if info.get("recipe_fingerprint") != expected:
        recorded = info.get("recipe_fingerprint")
        message = f"recipe_fingerprint is {recorded}, but that of the recipe is {expected}"
        yield Problem("dataset_json", where, message)
    for key, kind in (("ffmpeg_version", str), ("totals", dict)):
        if not isinstance(info.get(key), kind):
            yield Problem("dataset_json", where, f"{key} is missing or not a {kind.__name__}")


def schema_problems(table: pa.Table, schema: pa.Schema, where: str) -> Problems:
    """Every column of `schema` exists with its type; numbers are finite, nulls only if nullable."""
    for item in schema:
        if item.name not in table.schema.names:
            if item.name not in ADDED_COLUMNS:
                yield Problem("schema", where, f"column {item.name} is missing")
            continue
        column = table[item.name]
        if column.type != item.type:
            yield Problem("schema", where, f"{item.name} is {column.type}, expected {item.type}")
        elif column.null_count and not item.nullable:
            yield Problem("schema", where, f"{item.name} has {column.null_count} nulls")
        elif (
            pa.types.is_floating(item.type)
            and not pc.all(pc.is_finite(column), min_count=0).as_py()
        ):
            yield Problem("schema", where, f"{item.name} has non-finite values")


def sorted_problems(table: pa.Table, keys: Sequence[str], where: str) -> Problems:
    """Rows are in ascending order of `keys`."""
    order = pc.sort_indices(table, sort_keys=[(key, "ascending") for key in keys])
    positions = pa.array(range(table.num_rows), pa.uint64())
    moved = pc.sum(pc.not_equal(order, positions), min_count=0).as_py()
    if moved:
        yield Problem("sorted", where, f"{moved} rows are not in order of {', '.join(keys)}")


def unique_problems(clips: pa.Table) -> Problems:
    """No clip id occurs twice in the index."""
    if pc.count_distinct(clips["clip_id"]).as_py() == clips.num_rows:
        return
    for clip_id, count in Counter(clips["clip_id"].to_pylist()).items():
        if count > 1:
            yield Problem("unique", layout.CLIPS_PARQUET, f"occurs {count} times", clip_id)


def totals_problems(info: dict[str, Any], movies: pa.Table, num_clips: int) -> Problems:
    """`totals` in `dataset.json` agree with the tables."""
    expected = {"movies": movies.num_rows, "clips": num_clips}
    statuses = Counter(movies["status"].to_pylist())
    expected |= {f"movies_{status}": statuses[status] for status in STATUSES}
    expected["shards"] = pc.sum(movies["num_shards"], min_count=0).as_py()
    expected["shard_bytes"] = pc.sum(movies["shard_bytes"], min_count=0).as_py()
    done = movies.filter(pc.equal(movies["status"], "done"))
    expected["duration_ns"] = pc.sum(done["duration_ns"], min_count=0).as_py()
    totals = info.get("totals")
    for key, value in expected.items():
        total = totals.get(key) if isinstance(totals, dict) else None
        if total != value:
            message = f"totals.{key} is {total}, but {value} in the index"
            yield Problem("totals", layout.DATASET_JSON, message)


def row_problems(
    movie: MovieRow, rows: Sequence[ClipRow], sizes: Mapping[str, int], recipe_fingerprint: str
) -> Problems:
    """A movie's row agrees with its clips and shards. `sizes`: bytes of existing shards, by key."""
    where = movie.movie_id
    if movie.status not in STATUSES:
        yield Problem(
            "movies", where, f"status {movie.status!r} is not one of {', '.join(STATUSES)}"
        )
    done = movie.status == "done"
    if done == bool(movie.error_class) or done == bool(movie.error):
        text = f"{movie.error_class!r}: {movie.error!r}"
        yield Problem("movies", where, f"status {movie.status} contradicts the error {text}")
    if done and movie.duration_ns <= 0:
        yield Problem("movies", where, f"duration_ns is {movie.duration_ns}")
    if done and movie.recipe_fingerprint != recipe_fingerprint:
        message = f"recipe {movie.recipe_fingerprint}, but the dataset's is {recipe_fingerprint}"
        yield Problem("movies", where, message)
    shards = {row.shard for row in rows}
    present = [sizes[shard] for shard in shards if shard in sizes]
    facts = {"num_clips": len(rows), "num_shards": len(shards)}
    if len(present) == len(shards):
        facts["shard_bytes"] = sum(present)
    for name, value in facts.items():
        if getattr(movie, name) != value:
            yield Problem(
                "movies", where, f"{name} is {getattr(movie, name)}, but there are {value}"
            )


def structure_problems(
    movie: MovieRow, rows: Sequence[ClipRow], sizes: Mapping[str, int]
) -> Problems:
    """The movie's shards exist, and their numbers are consecutive from `first_shard` on."""
    shards = sorted({row.shard for row in rows})
    for number, shard in enumerate(shards):
        if shard not in sizes:
            yield Problem("structure", shard, "does not exist")
        expected = layout.shard_key(movie.movie_id, movie.first_shard + number)
        if shard != expected and f"{layout.shards_prefix(movie.movie_id)}/" in shard:
            yield Problem("structure", shard, f"shard {number} should be {expected}")


def purity_problems(movie_id: str, rows: Sequence[ClipRow]) -> Problems:
    """Ids are well formed, and every clip is in a shard of its own movie."""
    prefix = f"{layout.shards_prefix(movie_id)}/{movie_id}-"
    if not layout.is_movie_id(movie_id):
        yield Problem("purity", movie_id, "is not a valid movie id")
    for row in rows:
        if not row.shard.startswith(prefix):
            yield Problem("purity", row.shard, f"has a clip of movie {movie_id}", row.clip_id)
        expected = layout.clip_id(movie_id, row.clip_number)
        if row.clip_id != expected:
            yield Problem("purity", row.shard, f"clip id should be {expected}", row.clip_id)
    groups = {row.group for row in rows}
    if len(groups) > 1:
        yield Problem("purity", movie_id, f"has {len(groups)} groups: {sorted(groups)[:3]}")


def permutation_problems(movie_id: str, rows: Sequence[ClipRow]) -> Problems:
    """Each clip number of a movie occurs once."""
    for number, count in Counter(row.clip_number for row in rows).items():
        if count > 1 or number < 0:
            yield Problem("permutation", movie_id, f"clip number {number} occurs {count} times")


def time_problems(movie: MovieRow, rows: Sequence[ClipRow], recipe: Recipe) -> Problems:
    """Clips are on the grid and inside the movie, and overlap only as far as the recipe allows."""
    frame_ns = recipe.grid_ns(1)
    for row in rows:
        for message in _time_messages(row, movie.duration_ns + frame_ns, recipe):
            yield Problem("time", row.shard, message, row.clip_id)
    # Rounding to whole nanoseconds can add one.
    allowed_ns = recipe.grid_ns(recipe.overlap_frames) + (1 if recipe.overlap_frames else 0)
    for earlier, later in pairwise(sorted(rows, key=lambda row: row.start_ns)):
        overlap_ns = earlier.end_ns - later.start_ns
        if later.clip_number <= earlier.clip_number:
            message = f"clip number is not above that of the earlier clip {earlier.clip_id}"
            yield Problem("time", later.shard, message, later.clip_id)
        if later.first_frame_pts_ns < earlier.first_frame_pts_ns:
            message = f"first frame is before that of the earlier clip {earlier.clip_id}"
            yield Problem("time", later.shard, message, later.clip_id)
        if overlap_ns > allowed_ns:
            message = (
                f"overlaps clip {earlier.clip_id} by {overlap_ns} ns, allowed are {allowed_ns}"
            )
            yield Problem("time", later.shard, message, later.clip_id)


def _time_messages(row: ClipRow, last_ns: int, recipe: Recipe) -> Iterator[str]:
    span = f"[{row.start_ns}, {row.end_ns}) ns"
    first_step = row.clip_number * recipe.stride_frames
    if recipe.clips == "shots":
        # A shot can start at any step.
        first_step = round(Fraction(row.start_ns, NANOSECONDS) * recipe.fps_fraction)
    start_ns, end_ns = recipe.grid_ns(first_step), recipe.grid_ns(first_step + recipe.num_frames)
    if not 0 <= row.start_ns < row.end_ns:
        yield f"{span} is not a time range"
    elif (row.start_ns, row.end_ns) != (start_ns, end_ns):
        yield f"{span} is off the grid: clip {row.clip_number} should be [{start_ns}, {end_ns}) ns"
    if recipe.clips == "shots" and row.num_cuts:
        yield f"{span} crosses {row.num_cuts} cuts, but with this recipe clips are within one shot"
    if row.end_ns > last_ns:
        yield f"{span} ends after the end of the movie at {last_ns} ns"
    # The first sample is the one nearest to the start.
    if row.sample_rate_hz > 0 and abs(row.av_skew_ns) > NANOSECONDS // (2 * row.sample_rate_hz) + 1:
        yield f"av_skew_ns is {row.av_skew_ns}, more than half an audio sample"
    if not 0 <= row.filled_audio_ns <= row.end_ns - row.start_ns + NANOSECONDS // 1000:
        yield f"filled_audio_ns is {row.filled_audio_ns}, longer than the clip"
    if row.first_frame_pts_ns > row.start_ns:
        yield f"first frame is at {row.first_frame_pts_ns} ns, after the start at {row.start_ns} ns"


def recipe_problems(movie_id: str, rows: Sequence[ClipRow], recipe: Recipe) -> Problems:
    """Counts, rates and sizes agree with the recipe; all clips of a movie have one shape."""
    expected = {
        "num_frames": recipe.num_frames,
        "fps": recipe.fps,
        "sample_rate_hz": recipe.sample_rate_hz,
        "num_audio_samples": recipe.clip_samples,
    }
    for row in rows:
        for name, value in expected.items():
            if getattr(row, name) != value:
                message = f"{name} is {getattr(row, name)}, but {value} in the recipe"
                yield Problem("recipe", row.shard, message, row.clip_id)
        if row.height % 16 or min(row.height, row.width) != recipe.short_side:
            message = (
                f"is {row.width}x{row.height}; expected a short side of {recipe.short_side} and a "
                "height that is a multiple of 16"
            )
            yield Problem("recipe", row.shard, message, row.clip_id)
    shapes = {(row.height, row.width) for row in rows}
    if len(shapes) > 1:
        yield Problem(
            "recipe", movie_id, f"has clips of {len(shapes)} shapes: {sorted(shapes)[:3]}"
        )


def choice_problems(movie: MovieRow, rows: Sequence[ClipRow], recipe: Recipe) -> Problems:
    """If the recipe wants few clips: only those are there, and as many as it wants."""
    where = movie.movie_id
    if movie.status != "done" or (recipe.clips == "shots" and movie.dropped_too_short):
        # Of short clips and of shots without a clip only the sum is known.
        return
    num_made = movie.num_clips + movie.num_dropped
    num_all = num_made + movie.clips_not_chosen
    num_chosen = recipe.num_chosen(num_all)
    if num_made != num_chosen:
        message = (
            f"{num_made} clips were kept or dropped and {movie.clips_not_chosen} not chosen, but "
            f"the recipe chooses {num_chosen} of {num_all}"
        )
        yield Problem("recipe", where, message)
        return
    first = 0
    if recipe.clips == "uniform":
        start = Fraction(movie.wanted_start_seconds).limit_denominator(1_000_000)
        first = -(-ceil(start * recipe.fps_fraction) // recipe.stride_frames)
    for row in rows:
        if not recipe.is_chosen(where, num_all, row.clip_number - first):
            message = "is not one of the clips that the recipe chooses"
            yield Problem("recipe", row.shard, message, row.clip_id)


def range_problems(shard: str, rows: Sequence[ClipRow], size: int) -> Problems:
    """The byte ranges of a shard start at 0, are adjacent, and end at its two end blocks."""
    position = 0
    for row in sorted(rows, key=lambda row: row.tar_offset):
        if row.tar_offset != position:
            message = f"starts at byte {row.tar_offset}, but the previous clip ends at {position}"
            yield Problem("ranges", shard, message, row.clip_id)
        position = row.tar_offset + row.tar_bytes
        if row.tar_bytes <= 0 or row.tar_bytes % TAR_BLOCK:
            message = f"has {row.tar_bytes} bytes, not a multiple of {TAR_BLOCK}"
            yield Problem("ranges", shard, message, row.clip_id)
        elif row.tar_bytes > MAX_CLIP_BYTES:
            message = f"has {row.tar_bytes} bytes, more than any clip can have"
            yield Problem("ranges", shard, message, row.clip_id)
        elif position > size:
            message = f"ends at byte {position}, but the shard has only {size} bytes"
            yield Problem("ranges", shard, message, row.clip_id)
    if size != position + END_BYTES:
        message = f"has {size} bytes, but clips and end blocks take {position + END_BYTES}"
        yield Problem("ranges", shard, message)
