"""One clip of a dataset: finding it, and writing its images."""

from __future__ import annotations

import difflib
from pathlib import Path

import pyarrow.compute as pc

from shards_spec.dataset.inspection.images import draw_logmel, encode_png, tile_frames
from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError
from shards_spec.sample import Sample
from shards_spec.schema import ClipRow
from shards_spec.schema.tables import clip_rows


def find_clip(dataset: Dataset, clip_id: str) -> ClipRow:
    """A clip's row. Raises `InputError` with the closest ids when there is no such clip."""
    rows = clip_rows(dataset.clips.filter(pc.equal(dataset.clips["clip_id"], clip_id)))
    if rows:
        return rows[0]
    # Only clips of the closest movies are compared: a corpus has millions of clips.
    movies = dataset.movies
    movie_ids = movies.filter(pc.greater(movies["num_clips"], 0))["movie_id"].to_pylist()
    close_movies = difflib.get_close_matches(
        clip_id.rpartition("_")[0] or clip_id, movie_ids, 3, 0.5
    )
    of_movies = pc.is_in(dataset.clips["movie_id"], pc.cast(close_movies, "string"))
    ids = sorted(dataset.clips.filter(of_movies)["clip_id"].to_pylist())
    close = difflib.get_close_matches(clip_id, ids, 3, 0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else "list its movies with: inspect URI"
    raise InputError(f"{dataset.storage.uri} has no clip {clip_id!r}; {hint}")


def write_images(sample: Sample, folder: Path) -> list[Path]:
    """Write `<clip_id>.frames.png` and `<clip_id>.logmel.png`; the folder is created."""
    folder.mkdir(parents=True, exist_ok=True)
    images = {"frames": tile_frames(sample.frames), "logmel": draw_logmel(sample.logmel)}
    paths = []
    for name, image in images.items():
        paths.append(folder / f"{sample.clip_id}.{name}.png")
        paths[-1].write_bytes(encode_png(image))
    return paths
