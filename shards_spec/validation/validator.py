"""Validates a dataset: the index by itself, then every movie's shards against it.

Memory stays bounded by the index and a few MiB per thread, whatever the size of the shards: they
are read by ranged reads, as a trainer reads them.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from shards_spec import layout
from shards_spec.errors import FormatError, InputError, ObjectNotFoundError
from shards_spec.reader import read_info, recipe_of
from shards_spec.schema import (
    CLIPS_SCHEMA,
    MOVIES_SCHEMA,
    MovieRow,
    movie_rows,
    parse_table,
)
from shards_spec.storage import Storage
from shards_spec.validation import index_checks
from shards_spec.validation.movie_checks import Subject, movie_problems
from shards_spec.validation.report import BYTE_CHECKS, CHECKS, WARNINGS, Collector, Problem, Report
from shards_spec.validation.spread import measure_spread

CLIPS_ORDER = ("movie_id", "shard", "tar_offset")
MOVIES_ORDER = ("movie_id",)

#: Names that object stores and tools give to writes under way.
_TEMPORARY = re.compile(r"#\d+$|\.(tmp|part|partial)$")


def validate(
    uri: str | Storage,
    *,
    quick: bool = False,
    num_threads: int = 4,
    on_movie: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Check a dataset against the format.

    Args:
        uri: of the dataset.
        quick: leave out what needs the clips' bytes.
        num_threads: movies that are checked at the same time.
        on_movie: called with (movies checked, movies) as they are finished.

    Raises:
        InputError: there is no dataset at `uri`, or it is of another major version.
        StorageError: the store refuses.
    """
    storage = uri if isinstance(uri, Storage) else Storage(uri)
    found = Collector()
    data = _open(storage, found)
    if data is None:
        found.skip(CHECKS)
        return Report(storage.uri, 0, 0, 0, 0, found.results(), None)
    if quick:
        found.skip(BYTE_CHECKS)
    if storage.is_web:
        found.skip(WARNINGS)
    found.add(_object_problems(data))

    def check(movie: MovieRow) -> None:
        found.add(movie_problems(data, movie, quick))

    with ThreadPoolExecutor(num_threads) as pool:
        for number, _ in enumerate(pool.map(check, data.movies), 1):
            on_movie(number, len(data.movies))
    return _report(data, found)


def _report(data: Subject, found: Collector) -> Report:
    tables = data.clips.values()
    return Report(
        uri=data.storage.uri,
        num_movies=len(data.movies),
        num_clips=sum(table.num_rows for table in tables),
        num_shards=sum(movie.num_shards for movie in data.movies),
        shard_bytes=sum(movie.shard_bytes for movie in data.movies),
        checks=found.results(),
        spread=measure_spread(table["start_ns"].to_numpy() for table in tables),
    )


def _open(storage: Storage, found: Collector) -> Subject | None:
    """Read `dataset.json` and the index, and check them; None when they are not usable."""
    try:
        info = read_info(storage)
    except FormatError as error:
        found.add([Problem("dataset_json", layout.DATASET_JSON, str(error))])
        return None
    found.add(index_checks.info_problems(info))
    movies = _read_table(storage, layout.MOVIES_PARQUET, MOVIES_SCHEMA, found)
    clips = _read_table(storage, layout.CLIPS_PARQUET, CLIPS_SCHEMA, found)
    try:
        recipe = recipe_of(info)
    except InputError:
        return None
    if movies is None or clips is None:
        return None
    found.add(index_checks.sorted_problems(movies, MOVIES_ORDER, layout.MOVIES_PARQUET))
    found.add(index_checks.sorted_problems(clips, CLIPS_ORDER, layout.CLIPS_PARQUET))
    found.add(index_checks.unique_problems(clips))
    found.add(index_checks.totals_problems(info, movies, clips.num_rows))
    by_movie = _by_movie(clips)
    return Subject(
        storage, info, recipe, movie_rows(movies), by_movie, _shard_sizes(storage, clips)
    )


def _read_table(storage: Storage, key: str, schema: pa.Schema, found: Collector) -> pa.Table | None:
    try:
        table = parse_table(storage.get(key), key)
    except (FormatError, ObjectNotFoundError) as error:
        found.add([Problem("schema", key, str(error))])
        return None
    problems = list(index_checks.schema_problems(table, schema, key))
    found.add(problems)
    return None if problems else table


def _by_movie(clips: pa.Table) -> dict[str, pa.Table]:
    """Slices of the index, one a movie, without a copy when it is sorted as it should be."""
    clips = clips.sort_by([(key, "ascending") for key in CLIPS_ORDER]).combine_chunks()
    if clips.num_rows == 0:
        return {}
    runs = pc.run_end_encode(clips["movie_id"].chunk(0))
    ends = runs.run_ends.to_pylist()
    starts = [0, *ends[:-1]]
    names = runs.values.to_pylist()
    return {
        name: clips.slice(start, end - start)
        for name, start, end in zip(names, starts, ends, strict=True)
    }


def _shard_sizes(storage: Storage, clips: pa.Table) -> dict[str, int]:
    """Bytes of all shards that exist: by a listing, or on a web server one by one."""
    if not storage.is_web:
        return {info.key: info.size for info in storage.list(layout.SHARDS)}
    sizes = {}
    for shard in pc.unique(clips["shard"]).to_pylist():
        try:
            sizes[shard] = storage.head(shard).size
        except ObjectNotFoundError:
            continue
    return sizes


def _object_problems(data: Subject) -> Iterator[Problem]:
    """Movies, commits and objects that have no counterpart."""
    ids = Counter(movie.movie_id for movie in data.movies)
    for movie_id, count in ids.items():
        if count > 1:
            yield Problem("movies", movie_id, f"stands {count} times in {layout.MOVIES_PARQUET}")
    for movie_id in sorted(set(data.clips) - set(ids)):
        message = f"has clips in the index, but no row in {layout.MOVIES_PARQUET}"
        yield Problem("movies", movie_id, message)
    if data.storage.is_web:
        return
    for info in data.storage.list(layout.COMMITS):
        if PurePosixPath(info.key).stem not in ids:
            message = "the index does not know it; gather the index again"
            yield Problem("commits", info.key, message)
    listed = {shard for table in data.clips.values() for shard in table["shard"].to_pylist()}
    for key in sorted(set(data.sizes) - listed):
        if not _TEMPORARY.search(key):
            yield Problem("stray", key, "no commit lists it; readers pass it over")
    yield from (
        Problem("temporary", key, "left by a broken write; it may be deleted")
        for key in _object_names(data.storage)
        if _TEMPORARY.search(key)
    )


def _object_names(storage: Storage) -> Iterator[str]:
    """All keys of a dataset; in a local folder also files that a listing of objects leaves out."""
    if not storage.is_local:
        yield from (info.key for info in storage.list())
        return
    root = storage.local_path()
    for folder, _, names in sorted(os.walk(root)):
        yield from (str((PurePosixPath(folder) / name).relative_to(root)) for name in sorted(names))
