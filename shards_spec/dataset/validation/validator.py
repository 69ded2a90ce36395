"""Validates a dataset: the index alone, then every movie's shards against it.

Memory is bounded by the index and a few MiB per thread, however large the shards are: they are read
by range, as in training.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from shards_spec import layout
from shards_spec.dataset.bounds.links import outside_links
from shards_spec.dataset.bounds.parquet_bounds import get_bounded, read_bounded_table
from shards_spec.dataset.labels.schema import LABELS_JSON
from shards_spec.dataset.reader import read_info, recipe_of
from shards_spec.dataset.validation import index_checks
from shards_spec.dataset.validation.dropped_checks import dropped_by_movie
from shards_spec.dataset.validation.duplicate_checks import duplicate_problems
from shards_spec.dataset.validation.label_checks import label_problems
from shards_spec.dataset.validation.movie_checks import Subject, movie_problems
from shards_spec.dataset.validation.report import (
    BYTE_CHECKS,
    CHECKS,
    WARNINGS,
    Collector,
    Problem,
    Report,
)
from shards_spec.dataset.validation.spread import measure_spread
from shards_spec.errors import FormatError, InputError, ObjectNotFoundError, StorageError
from shards_spec.schema import MovieRow
from shards_spec.schema.tables import CLIPS_SCHEMA, MOVIES_SCHEMA, movie_rows
from shards_spec.storage import Storage, is_odd

CLIPS_ORDER = ("movie_id", "shard", "tar_offset")
MOVIES_ORDER = ("movie_id",)

#: Names that object stores and tools give to unfinished writes.
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
        uri: URI of the dataset.
        quick: skip the checks that read the clips' bytes.
        num_threads: movies that are checked concurrently.
        on_movie: called with (movies checked, all movies) after each movie.

    Raises:
        InputError: there is no dataset at `uri`, or it has another major version.
        StorageError: the store cannot be read.
    """
    storage = uri if isinstance(uri, Storage) else Storage(uri)
    problems = Collector()
    links = list(_link_problems(storage))
    problems.add(links)
    # With such a link, nothing else is checked: reading and listing would follow it.
    data = None if links else _open(storage, problems)
    if data is None:
        problems.skip(CHECKS)
        return Report(storage.uri, 0, 0, 0, 0, problems.results(), None)
    if quick:
        problems.skip(BYTE_CHECKS)
    if storage.is_web:
        problems.skip(WARNINGS)
    _collect(problems, storage, "movies", "", _object_problems(data))

    def check(movie: MovieRow) -> None:
        found = movie_problems(data, movie, quick)
        _collect(problems, storage, "movies", movie.movie_id, found)

    with ThreadPoolExecutor(num_threads) as pool:
        for number, _ in enumerate(pool.map(check, data.movies), 1):
            on_movie(number, len(data.movies))
    return _report(data, problems)


def _link_problems(storage: Storage) -> Iterator[Problem]:
    """Links of a local dataset that lead out of it: they are not followed."""
    # Any folder may be given: one without a dataset, such as `/`, is not searched.
    if not storage.is_local or not os.path.lexists(storage.local_path(layout.DATASET_JSON)):
        return
    for key in outside_links(storage):
        yield Problem("structure", key, "is a link out of the dataset, which is not followed")


def _collect(
    problems: Collector, storage: Storage, check: str, where: str, found: Iterator[Problem]
) -> None:
    """Add the problems found. A check that fails by itself is a problem too, of `check`.

    Raises `StorageError` when a remote store fails; a local object that cannot be read is damage.
    """
    try:
        problems.add(found)
    except StorageError as error:
        if not storage.is_local:
            raise
        problems.add([Problem(check, where, str(error))])
    except Exception as error:  # noqa: BLE001  # a foreign dataset may contain anything
        message = f"could not be checked: {type(error).__name__}: {error}"
        problems.add([Problem(check, where, message)])


def _report(data: Subject, problems: Collector) -> Report:
    tables = data.clips.values()
    return Report(
        uri=data.storage.uri,
        num_movies=len(data.movies),
        num_clips=sum(table.num_rows for table in tables),
        num_shards=sum(movie.num_shards for movie in data.movies),
        shard_bytes=sum(movie.shard_bytes for movie in data.movies),
        checks=problems.results(),
        spread=measure_spread(table["start_ns"].to_numpy() for table in tables),
    )


def _open(storage: Storage, problems: Collector) -> Subject | None:
    """Read and check `dataset.json` and the index; None if they are not usable."""
    try:
        info = read_info(storage)
    except (FormatError, StorageError) as error:
        if isinstance(error, StorageError) and not storage.is_local:
            raise
        problems.add([Problem("dataset_json", layout.DATASET_JSON, str(error))])
        return None
    problems.add(index_checks.info_problems(info))
    movies = _read_table(storage, layout.MOVIES_PARQUET, MOVIES_SCHEMA, problems)
    clips = _read_table(storage, layout.CLIPS_PARQUET, CLIPS_SCHEMA, problems)
    try:
        recipe = recipe_of(info)
    except InputError:
        return None
    if movies is None or clips is None:
        return None
    problems.add(index_checks.sorted_problems(movies, MOVIES_ORDER, layout.MOVIES_PARQUET))
    problems.add(index_checks.sorted_problems(clips, CLIPS_ORDER, layout.CLIPS_PARQUET))
    problems.add(index_checks.unique_problems(clips))
    problems.add(index_checks.totals_problems(info, movies, clips.num_rows))
    by_movie = _by_movie(clips)
    dropped = dropped_by_movie(storage, movies, problems)
    digest = hashlib.sha256(storage.get(layout.CLIPS_PARQUET)).hexdigest()[:16]
    found = label_problems(storage, movies, clips, digest)
    _collect(problems, storage, "labels", LABELS_JSON, found)
    found = duplicate_problems(storage, movies)
    _collect(problems, storage, "duplicates", layout.DUPLICATES_PARQUET, found)
    return Subject(
        storage, info, recipe, movie_rows(movies), by_movie, _shard_sizes(storage, clips), dropped
    )


def _read_table(
    storage: Storage, key: str, schema: pa.Schema, problems: Collector
) -> pa.Table | None:
    try:
        table = read_bounded_table(get_bounded(storage, key), key)
    except (FormatError, StorageError) as error:
        if not isinstance(error, FormatError | ObjectNotFoundError) and not storage.is_local:
            raise
        problems.add([Problem("schema", key, str(error))])
        return None
    violations = list(index_checks.schema_problems(table, schema, key))
    problems.add(violations)
    return None if violations else table


def _by_movie(clips: pa.Table) -> dict[str, pa.Table]:
    """The clips of each movie, as slices of the sorted table."""
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
    """Sizes of all existing shards: from a listing, or on a web server one by one."""
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
    """Movies, commit records and objects without a counterpart."""
    ids = Counter(movie.movie_id for movie in data.movies)
    for movie_id, count in ids.items():
        if count > 1:
            yield Problem("movies", movie_id, f"occurs {count} times in {layout.MOVIES_PARQUET}")
    for movie_id in sorted(set(data.clips) - set(ids)):
        message = f"has clips in the index, but no row in {layout.MOVIES_PARQUET}"
        yield Problem("movies", movie_id, message)
    if data.storage.is_web:
        return
    for info in data.storage.list(layout.COMMITS):
        if PurePosixPath(info.key).stem not in ids:
            message = "is not in the index; run preprocess again to rebuild the index"
            yield Problem("commits", info.key, message)
    listed = {shard for table in data.clips.values() for shard in table["shard"].to_pylist()}
    for key in sorted(set(data.sizes) - listed):
        if not _TEMPORARY.search(key):
            yield Problem("stray", key, "is in no commit record; readers ignore it")
    for key in _object_names(data.storage):
        if is_odd(key):
            yield Problem("stray", ascii(key), "has a name that cannot be read; readers ignore it")
        elif _TEMPORARY.search(key):
            yield Problem("temporary", key, "left by an interrupted write; can be deleted")


def _object_names(storage: Storage) -> Iterator[str]:
    """All keys of a dataset; in local folders also files that object listings omit."""
    if not storage.is_local:
        odd: list[str] = []
        yield from (info.key for info in storage.list(on_odd=odd.append))
        yield from odd
        return
    root = storage.local_path()
    for folder, _, names in sorted(os.walk(root)):
        yield from (str((PurePosixPath(folder) / name).relative_to(root)) for name in sorted(names))
