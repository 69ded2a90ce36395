"""Bounds on the table of movies, and on what it says about the table of clips."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from shards_spec.dataset.bounds.refusal import require_range, require_rows
from shards_spec.errors import FormatError
from shards_spec.schema.columns import STATUSES
from shards_spec.schema.tables import MOVIES_SCHEMA

#: Length of a movie, nanoseconds: 30 days.
MAX_TIME_NS = 30 * 24 * 3600 * 10**9

_MOVIE_ID = r"^[a-z0-9_-]{1,64}$"

#: Lowest and highest possible values of columns of movies.
_LIMITS = {
    "num_clips": (0, 1 << 31),
    "num_shards": (0, 1 << 31),
    "first_shard": (0, 1 << 30),
    "shard_bytes": (0, 1 << 54),
    # -1 of a source that could not be looked up.
    "source_bytes": (-1, 1 << 60),
    "duration_ns": (0, MAX_TIME_NS),
    "audio_track": (-1, 1 << 20),
}


def check_movie_bounds(movies: pa.Table, name: str) -> None:
    """Raise `FormatError` for the first row of a table of movies with an impossible value.

    Columns that the table does not have are not checked. The message names `name`, row and column.
    """
    # Columns that a manifest added may have nulls.
    for column in MOVIES_SCHEMA.names:
        if column not in movies.schema.names:
            continue
        if movies[column].null_count and not MOVIES_SCHEMA.field(column).nullable:
            raise FormatError(f"{name}: column {column} has {movies[column].null_count} nulls")
        if pa.types.is_floating(movies[column].type):
            require_rows(movies, column, pc.is_finite(movies[column]), "a finite number", name)
    is_id = pc.match_substring_regex(movies["movie_id"], _MOVIE_ID)
    require_rows(movies, "movie_id", is_id, "1 to 64 characters of a-z, 0-9, _ and -", name)
    is_status = pc.is_in(movies["status"], pa.array(STATUSES))
    require_rows(movies, "status", is_status, f"one of {', '.join(STATUSES)}", name)
    if pc.count_distinct(movies["movie_id"]).as_py() != movies.num_rows:
        raise FormatError(f"{name}: a movie_id occurs more than once")
    for column, (low, high) in _LIMITS.items():
        if column in movies.schema.names:
            require_range(movies, column, low, high, name)


def check_clips_of_movies(clips: pa.Table, movies: pa.Table, name: str) -> None:
    """Raise `FormatError` unless every movie has as many clips as its row in `movies` says.

    `validate` compares the numbers of shards and bytes, too.
    """
    counted = clips.group_by("movie_id").aggregate([([], "count_all")])
    joined = movies.select(["movie_id", "num_clips"]).join(
        counted, "movie_id", join_type="full outer", use_threads=False
    )
    counts = pc.fill_null(joined["count_all"], 0)
    differs = joined.filter(pc.not_equal(counts, pc.fill_null(joined["num_clips"], -1)))
    if differs.num_rows:
        row = differs.slice(0, 1).to_pylist()[0]
        raise FormatError(
            f"{name}: movie {row['movie_id']!r} has {row['count_all'] or 0} clips, but "
            f"num_clips is {row['num_clips']}; check the dataset with `validate`"
        )
