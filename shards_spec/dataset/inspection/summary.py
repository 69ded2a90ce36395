"""A dataset in a few numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from shards_spec.dataset.reader import Dataset
from shards_spec.recipe import NANOSECONDS

_HOUR_NS = 3_600 * NANOSECONDS


@dataclass(frozen=True)
class Failure:
    """A movie of the corpus without clips."""

    movie_id: str
    status: str
    error_class: str
    error: str


@dataclass(frozen=True)
class Summary:
    """A dataset in a few numbers."""

    uri: str
    spec_version: str
    ffmpeg_version: str
    recipe: dict[str, Any]
    recipe_fingerprint: str
    movies_by_status: dict[str, int]
    num_groups: int
    num_clips: int
    num_shards: int
    shard_bytes: int
    movie_hours: float
    """Total length of the movies whose status is `done`."""
    clip_hours: float
    """Total length of all clips."""
    clips_per_movie: tuple[int, int, int]
    """Fewest, median and most clips of a `done` movie."""
    clips_by_shape: dict[str, int]
    """Number of clips by frame size, `<width>x<height>`."""
    dropped: dict[str, int]
    """Number of dropped clips by reason."""
    not_chosen: int
    """Number of clips that were not made because the recipe wants only some."""
    failures: tuple[Failure, ...]


def summarize(dataset: Dataset) -> Summary:
    """Count what is in the index."""
    movies, clips = dataset.movies, dataset.clips
    done = movies.filter(pc.equal(movies["status"], "done"))
    counts = sorted(done["num_clips"].to_pylist()) or [0]
    shapes = clips.group_by(["width", "height"]).aggregate([([], "count_all")]).to_pylist()
    clip_ns = pc.sum(pc.subtract(clips["end_ns"], clips["start_ns"]), min_count=0).as_py()
    failed = movies.filter(pc.not_equal(movies["status"], "done"))
    columns = ["movie_id", "status", "error_class", "error"]
    return Summary(
        uri=dataset.storage.uri,
        spec_version=str(dataset.info["spec_version"]),
        ffmpeg_version=str(dataset.info.get("ffmpeg_version", "")),
        recipe=dataset.recipe.to_json(),
        recipe_fingerprint=dataset.recipe.fingerprint,
        movies_by_status=dict(sorted(Counter(movies["status"].to_pylist()).items())),
        num_groups=pc.count_distinct(done["group"]).as_py(),
        num_clips=clips.num_rows,
        num_shards=pc.sum(movies["num_shards"], min_count=0).as_py(),
        shard_bytes=pc.sum(movies["shard_bytes"], min_count=0).as_py(),
        movie_hours=pc.sum(done["duration_ns"], min_count=0).as_py() / _HOUR_NS,
        clip_hours=clip_ns / _HOUR_NS,
        clips_per_movie=(counts[0], counts[len(counts) // 2], counts[-1]),
        clips_by_shape={
            f"{shape['width']}x{shape['height']}": shape["count_all"] for shape in shapes
        },
        dropped={
            name.removeprefix("dropped_"): pc.sum(movies[name], min_count=0).as_py()
            for name in movies.schema.names
            if name.startswith("dropped_")
        },
        not_chosen=(
            pc.sum(movies["clips_not_chosen"], min_count=0).as_py()
            if "clips_not_chosen" in movies.schema.names
            else 0
        ),
        failures=tuple(Failure(**row) for row in failed.select(columns).to_pylist()),
    )
