"""Opens a dataset for training: the table of clips is reduced to the columns that a policy and the
stream read, so that ten million clips and a plan of them fit into memory."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from shards_spec import layout
from shards_spec.dataset.bounds import check_shards
from shards_spec.dataset.bounds.clip_bounds import check_clip_bounds, check_recipe_bounds
from shards_spec.dataset.bounds.movie_bounds import check_movie_bounds
from shards_spec.dataset.bounds.parquet_bounds import (
    check_parquet_bounds,
    get_bounded,
    read_bounded_table,
)
from shards_spec.dataset.reader import Dataset, read_info, recipe_of, with_near_duplicates
from shards_spec.errors import FormatError, InputError
from shards_spec.schema.tables import CLIPS_SCHEMA, MOVIES_SCHEMA, require_columns
from shards_spec.storage import Storage
from trainer.data.fetch.clip_location import ClipLocation
from trainer.data.mix import with_labels
from trainer.data.mix.mixed_dataset import mix
from trainer.data.plan import BatchPolicy

#: Columns of few distinct texts, which are read as dictionaries to save memory.
_REPEATED = ("movie_id", "shard", "group")


def open_for_training(data: str | Storage | Sequence[str], policy: BatchPolicy) -> Dataset:
    """Like `open_dataset`, but only with the columns of clips that training and the policy read.

    Several datasets are opened as one, see `trainer.data.mix`.

    Raises as `open_dataset` does, and `InputError` when the filter names an unknown column, or when
    several datasets do not go together.
    """
    if isinstance(data, str | Storage):
        return _open_one(data, policy)
    if not data:
        raise InputError("no dataset is given; name one with --data")
    return mix([_open_one(uri, policy) for uri in data])


def _open_one(uri: str | Storage, policy: BatchPolicy) -> Dataset:
    storage = uri if isinstance(uri, Storage) else Storage(uri)
    info = read_info(storage)
    recipe = recipe_of(info)
    needed = {*ClipLocation._fields, "end_ns", "group", *policy.where_columns}
    with _local_file(storage, layout.CLIPS_PARQUET) as path:
        clips = _read(path, needed, policy, storage.uri_of(layout.CLIPS_PARQUET))
        with path.open("rb") as file:
            fingerprint = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    check_recipe_bounds(recipe, storage.uri_of(layout.DATASET_JSON))
    check_clip_bounds(clips, recipe, storage.uri_of(layout.CLIPS_PARQUET))
    name = storage.uri_of(layout.MOVIES_PARQUET)
    movies = read_bounded_table(get_bounded(storage, layout.MOVIES_PARQUET), name)
    require_columns(movies, MOVIES_SCHEMA, name)
    check_movie_bounds(movies, name)
    check_shards(storage, clips, storage.uri_of(layout.CLIPS_PARQUET))
    dataset = with_near_duplicates(storage, recipe, info, movies, clips, fingerprint)
    return with_labels(dataset, policy.where_columns)


def _read(path: Path, needed: set[str], policy: BatchPolicy, name: str) -> pa.Table:
    # The filter compares plain texts, not dictionaries.
    repeated = [column for column in _REPEATED if column not in policy.where_columns]
    try:
        metadata = pq.read_metadata(path)
        check_parquet_bounds(metadata, path.stat().st_size, name)
        schema = metadata.schema.to_arrow_schema()
        require_columns(schema.empty_table(), CLIPS_SCHEMA, name)
        # Checked here, where all columns are known, not only those that are kept.
        policy.check_where_columns(schema.names)
        columns = [column for column in schema.names if column in needed]
        # Opened after the check: Arrow raises KeyError for a dictionary column that is missing.
        file = pq.ParquetFile(
            path, metadata=metadata, read_dictionary=repeated, buffer_size=1 << 20
        )
        # One thread: a process that exits while Arrow still starts its threads is aborted.
        return file.read(columns, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise FormatError(f"{name} is not readable Parquet: {error}") from error


@contextmanager
def _local_file(storage: Storage, key: str) -> Iterator[Path]:
    """A local file with the content of an object."""
    if storage.is_local:
        path = storage.local_path(key)
        if path.exists() and not path.is_file():
            # Even looking up a named pipe would wait for someone to write into it.
            raise FormatError(f"{storage.uri_of(key)} is not a regular file")
        # Raises the usual errors when the object is missing or not readable.
        storage.head(key)
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="reelshards-") as folder:
        path = Path(folder) / "object"
        storage.download(key, path)
        yield path
