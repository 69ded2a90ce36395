"""Why a dataset lacks a clip that another one has: dropped, not chosen, other times, no movie."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shards_spec.dataset.browser.catalog import Catalog, numbers
from shards_spec.recipe import NANOSECONDS
from shards_spec.schema.dropped import DROPPED_SCHEMA

#: What is said about clips whose reason the index does not have.
UNKNOWN = "reason not recorded"


class Absences:
    """Why clips of other datasets are not in this one."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._times = lru_cache(maxsize=4)(self._times_of)

    def why(self, movie_id: str, start_ns: int, end_ns: int) -> str:
        """Says why a movie has no clip in this time range."""
        if movie_id not in self._catalog:
            return "no such movie"
        movie = self._catalog.movie(movie_id)
        if movie["status"] != "done" and not self._num_dropped(movie_id):
            return f"movie without clips: {movie['error_class']}"
        dropped, kept = self._times(movie_id)
        if found := _longest(dropped, start_ns, end_ns):
            reason = found["reason"].replace("_", " ")
            if (found["start_ns"], found["end_ns"]) == (start_ns, end_ns):
                return f"dropped: {reason}"
            return f"other times; one that overlaps was dropped: {reason}"
        if _longest(kept, start_ns, end_ns):
            return "other times; the clips that overlap are kept"
        if end_ns > _used_end_ns(movie) or start_ns < _used_start_ns(movie):
            return "outside of the part that was used"
        if int(movie.get("clips_not_chosen") or 0):
            return "not chosen by the recipe"
        return UNKNOWN

    def counts(self, missing: pa.Table) -> dict[str, int]:
        """How many of these clips, rows of another dataset, are missing here for which reason.

        Of clips that were not dropped under the same number and time, the movie's page says more.
        """
        if not missing.num_rows:
            return {}
        dropped = self._catalog.dropped
        if dropped is None:
            dropped = DROPPED_SCHEMA.empty_table()
        keys = ["movie_id", "clip_number", "start_ns", "end_ns"]
        joined = missing.select(keys).join(
            dropped.filter(pc.greater_equal(dropped["clip_number"], 0)),
            keys,
            join_type="left outer",
            use_threads=False,
        )
        movies = self._catalog.dataset.movies
        done = movies.filter(pc.equal(movies["status"], "done"))["movie_id"]
        is_known, is_done = (
            pc.is_in(joined["movie_id"], names.combine_chunks())
            for names in (movies["movie_id"], done)
        )
        other = pc.if_else(is_done, "no such clip", "movie without clips")
        other = pc.if_else(is_known, other, "no such movie")
        words = pc.binary_join_element_wise(
            "dropped:", pc.replace_substring(joined["reason"], "_", " "), " "
        )
        rows = pc.value_counts(pc.coalesce(words, other)).to_pylist()
        return {row["values"]: row["counts"] for row in rows}

    def _num_dropped(self, movie_id: str) -> int:
        dropped = self._catalog.dropped_of(movie_id)
        return 0 if dropped is None else dropped.num_rows

    def _times_of(self, movie_id: str) -> tuple[pa.Table | None, pa.Table]:
        return self._catalog.dropped_of(movie_id), self._catalog.clips_of(movie_id)


def _longest(clips: pa.Table | None, start_ns: int, end_ns: int) -> dict[str, Any] | None:
    """The row that overlaps a range of time longest; None if none does."""
    if clips is None or not clips.num_rows:
        return None
    shared = np.minimum(numbers(clips, "end_ns"), end_ns)
    shared = shared - np.maximum(numbers(clips, "start_ns"), start_ns)
    row = int(shared.argmax())
    if shared[row] <= 0:
        return None
    values: dict[str, Any] = clips.slice(row, 1).to_pylist()[0]
    return values


def _used_start_ns(movie: Mapping[str, Any]) -> int:
    return round(float(movie["wanted_start_seconds"]) * NANOSECONDS)


def _used_end_ns(movie: Mapping[str, Any]) -> int:
    """End of the part that was used; nothing is known about movies that could not be read."""
    duration = int(movie["duration_ns"])
    wanted = round(float(movie["wanted_end_seconds"]) * NANOSECONDS)
    return min(filter(None, (duration, wanted)), default=1 << 62)
