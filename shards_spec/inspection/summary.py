"""What is in a dataset, and what one of its clips looks and sounds like."""

from __future__ import annotations

import difflib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from shards_spec.errors import InputError
from shards_spec.inspection.images import draw_logmel, encode_png, lay_out_frames
from shards_spec.reader import Dataset, read_clips
from shards_spec.recipe import NANOSECONDS
from shards_spec.sample import Sample
from shards_spec.schema import ClipRow, clip_rows

_HOUR_NS = 3_600 * NANOSECONDS


@dataclass(frozen=True)
class Failure:
    """A movie of the corpus that has no clips."""

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
    """Of the movies that are done."""
    clip_hours: float
    clips_per_movie: tuple[int, int, int]
    """Least, median and most clips of a movie that is done."""
    clips_by_shape: dict[str, int]
    """Clips by `width x height`."""
    dropped: dict[str, int]
    """Clips left out, by reason."""
    failures: tuple[Failure, ...]


def summarise(data: Dataset) -> Summary:
    """Count what the index holds."""
    movies, clips = data.movies, data.clips
    done = movies.filter(pc.equal(movies["status"], "done"))
    counts = sorted(done["num_clips"].to_pylist()) or [0]
    shapes = clips.group_by(["width", "height"]).aggregate([([], "count_all")]).to_pylist()
    clip_ns = pc.sum(pc.subtract(clips["end_ns"], clips["start_ns"]), min_count=0).as_py()
    failed = movies.filter(pc.not_equal(movies["status"], "done"))
    columns = ["movie_id", "status", "error_class", "error"]
    return Summary(
        uri=data.storage.uri,
        spec_version=str(data.info["spec_version"]),
        ffmpeg_version=str(data.info.get("ffmpeg_version", "")),
        recipe=data.recipe.to_json(),
        recipe_fingerprint=data.recipe.fingerprint,
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
        failures=tuple(Failure(**row) for row in failed.select(columns).to_pylist()),
    )


def find_clip(data: Dataset, clip_id: str) -> ClipRow:
    """A clip's row. Raises `InputError` with the nearest ids when there is no such clip."""
    rows = clip_rows(data.clips.filter(pc.equal(data.clips["clip_id"], clip_id)))
    if rows:
        return rows[0]
    # Near ids are sought in the nearest movies: a corpus has millions of clips.
    movies = data.movies.filter(pc.greater(data.movies["num_clips"], 0))["movie_id"].to_pylist()
    near_movies = difflib.get_close_matches(clip_id.rpartition("_")[0] or clip_id, movies, 3, 0.5)
    of_movies = pc.is_in(data.clips["movie_id"], pc.cast(near_movies, "string"))
    ids = sorted(data.clips.filter(of_movies)["clip_id"].to_pylist())
    near = difflib.get_close_matches(clip_id, ids, 3, 0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "list its movies with: inspect URI"
    raise InputError(f"{data.storage.uri} has no clip {clip_id!r}; {hint}")


def read_clip(data: Dataset, row: ClipRow) -> Sample:
    """Fetch and decode one clip."""
    return read_clips(data.storage, [row])[0]


def write_pictures(sample: Sample, folder: Path) -> list[Path]:
    """Write `<clip_id>.frames.png` and `<clip_id>.logmel.png`; the folder is made."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {"frames": lay_out_frames(sample.frames), "logmel": draw_logmel(sample.logmel)}
    paths = []
    for name, picture in pictures.items():
        paths.append(folder / f"{sample.clip_id}.{name}.png")
        paths[-1].write_bytes(encode_png(picture))
    return paths
