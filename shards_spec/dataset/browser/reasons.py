"""Why movies and clips are missing or were changed, and which movies this concerns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards_spec.dataset.browser.catalog import Catalog, numbers
from shards_spec.schema.dropped import DROP_REASONS

#: What each reason for dropping a clip means, with the setting of the recipe that decides it.
REASONS = {
    "black": "mean brightness below {black_luma:g} of 255, nearly uniform",
    "silent": "audio below {silent_dbfs:g} dBFS",
    "frozen": "brightness changes by less than {frozen_motion:g} of 255 per frame",
    "too_short": "the movie or the shot ends before the clip does",
    "damaged": "frames are damaged in the source",
    "missing": "this copy of the movie does not have them",
    "poor_fit": "this copy does not match closely enough",
    "other_audio": "this copy has other audio",
}

STATUSES = {
    "done": "has clips",
    "quarantined": "will fail again until the file or the setup changes",
    "failed": "a temporary failure lasted through all retries",
    "skipped": "nothing usable: too short, or every clip was dropped",
}

#: Filters of the table of movies, by name.
TREATMENTS = {
    "failed": "movies without clips (failed, quarantined or skipped)",
    "dropped": "movies with dropped clips",
    "cropped": "movies whose black bars were cropped",
    "filled": "movies where missing audio was filled with silence",
    "synced": "movies whose audio was shifted, stretched or cut to stay in sync",
    "incomplete": "movies that lack part of their video or have damaged frames",
    "copies": "movies that share all or part of their content with another",
}


def drop_filters(catalog: Catalog) -> dict[str, str]:
    """Further filters: one for each reason for which clips were dropped."""
    movies = catalog.dataset.movies
    return {
        name: f"movies with clips dropped: {name.removeprefix('dropped_').replace('_', ' ')}"
        for name in (f"dropped_{reason}" for reason in DROP_REASONS)
        if name in movies.schema.names and (numbers(movies, name) > 0).any()
    }


#: Smaller audio offsets come from rounded timestamps and are not corrections.
_SYNC_OFFSET_NS = 50_000_000
#: Drift below this is less than a frame per hour.
_SYNC_DRIFT_PPM = 10.0


def movie_flags(catalog: Catalog) -> dict[str, NDArray[np.bool_]]:
    """For each of `TREATMENTS` and of `drop_filters`, (num_movies,) bool."""
    movies = catalog.dataset.movies
    names = movies.schema.names

    def column(name: str) -> NDArray[np.generic]:
        # Columns that older datasets lack.
        return numbers(movies, name) if name in names else np.zeros(movies.num_rows)

    is_done = movies["status"].to_numpy() == "done"
    dropped = sum((column(name) for name in names if name.startswith("dropped_")), np.zeros(1))
    is_synced = (
        (np.abs(column("audio_start_offset_ns").astype(np.float64)) >= _SYNC_OFFSET_NS)
        | (np.abs(column("audio_drift_ppm").astype(np.float64)) >= _SYNC_DRIFT_PPM)
        | (column("audio_cut_ns").astype(np.float64) > 0)
    )
    is_incomplete = (
        (column("missing_ns").astype(np.float64) > 0)
        | (column("video_lost_ns").astype(np.float64) > 0)
        | (column("dropped_damaged").astype(np.float64) > 0)
    )
    return {
        **{name: column(name).astype(np.int64) > 0 for name in drop_filters(catalog)},
        "failed": ~is_done,
        "dropped": np.broadcast_to(np.asarray(dropped) > 0, is_done.shape),
        "cropped": movies["crop"].to_numpy() != "",
        "filled": column("audio_filled_ns").astype(np.float64) > 0,
        "synced": is_synced,
        "incomplete": is_incomplete,
        "copies": np.array([bool(catalog.same_as(name)) for name in catalog.movie_ids], dtype=bool),
    }


def drop_meaning(reason: str, recipe: Mapping[str, Any]) -> str:
    """What a reason for dropping a clip means, with the recipe's threshold; empty if unknown."""
    return REASONS.get(reason, "").format_map(recipe)
