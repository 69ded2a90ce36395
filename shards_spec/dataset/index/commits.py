"""Commit records: a movie's rows of the index, written after its shards.

A commit record is the last object written for a movie: until then its shards do not exist for
readers.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from shards_spec import layout
from shards_spec.errors import FormatError
from shards_spec.schema import ClipRow, MovieRow
from shards_spec.schema.tables import CLIPS_SCHEMA, clip_rows, clips_table, require_columns
from shards_spec.storage import ObjectInfo, Storage

_MOVIE_METADATA = b"reelshards.movie"


def write_commit(storage: Storage, movie: MovieRow, clips: Iterable[ClipRow]) -> None:
    """Write a movie's commit record: its clip rows as a table, its own row as file metadata."""
    table = clips_table(clips)
    table = table.replace_schema_metadata({_MOVIE_METADATA: movie.to_json().encode()})
    storage.put(layout.commit_key(movie.movie_id), _parquet_bytes(table))


def read_commit(storage: Storage, movie_id: str) -> tuple[MovieRow, list[ClipRow]]:
    """Read a movie's commit record. Raises `ObjectNotFoundError`, or `FormatError` if damaged."""
    from shards_spec.dataset.bounds.parquet_bounds import get_bounded

    movie, table = parse_commit(get_bounded(storage, layout.commit_key(movie_id)), movie_id)
    return movie, clip_rows(table)


def fetch_commits(
    storage: Storage, infos: Sequence[ObjectInfo], num_threads: int = 64
) -> Iterator[tuple[str, bytes]]:
    """Bytes of commit records with their movie ids, in the given order, read concurrently.

    Requests take as long as the store needs to answer, so many are in flight at a time; only about
    twice as many records as threads are in memory.
    """
    with ThreadPoolExecutor(num_threads) as pool:
        waiting: deque[tuple[str, Future[bytes]]] = deque()
        try:
            for info in infos:
                if len(waiting) >= 2 * num_threads:
                    movie_id, data = waiting.popleft()
                    yield movie_id, data.result()
                waiting.append((commit_movie_id(info), pool.submit(storage.get, info.key)))
            while waiting:
                movie_id, data = waiting.popleft()
                yield movie_id, data.result()
        finally:
            for _, data in waiting:
                data.cancel()


def commit_movie_id(info: ObjectInfo) -> str:
    """Id of the movie that a commit record belongs to."""
    return PurePosixPath(info.key).stem


def movie_of_commit(data: bytes, movie_id: str) -> MovieRow:
    """The movie row of a commit record; its clips are not parsed. Raises `FormatError`."""
    with _commit_errors(movie_id):
        return _movie(pq.ParquetFile(pa.BufferReader(data)), movie_id)


def parse_commit(data: bytes, movie_id: str) -> tuple[MovieRow, pa.Table]:
    """The movie row and the clips of a commit record, in `CLIPS_SCHEMA`. Raises `FormatError`."""
    # Only readers need it, and the compute functions of Arrow that it imports.
    from shards_spec.dataset.bounds.parquet_bounds import check_parquet_bounds

    with _commit_errors(movie_id):
        file = pq.ParquetFile(pa.BufferReader(data))
        check_parquet_bounds(file.metadata, len(data), layout.commit_key(movie_id))
        movie = _movie(file, movie_id)
        # One thread: a process that ends while Arrow still starts its threads is aborted.
        table = file.read(use_threads=False)
        require_columns(table, CLIPS_SCHEMA, layout.commit_key(movie_id))
        return movie, table.select(CLIPS_SCHEMA.names).replace_schema_metadata(None)


def _movie(file: pq.ParquetFile, movie_id: str) -> MovieRow:
    movie = MovieRow.from_json((file.metadata.metadata or {})[_MOVIE_METADATA])
    if movie.movie_id != movie_id:
        raise ValueError(f"it belongs to movie {movie.movie_id!r}")
    return movie


@contextlib.contextmanager
def _commit_errors(movie_id: str) -> Iterator[None]:
    try:
        yield
    except (
        *(KeyError, TypeError, ValueError, RecursionError, OSError),
        *(pa.ArrowException, FormatError),
    ) as error:
        raise FormatError(
            f"commit record of movie {movie_id} is unreadable: {error}; "
            "run preprocess again, which processes the movie again"
        ) from error


def _parquet_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())
