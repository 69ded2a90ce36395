"""Opens a dataset for training: of the table of clips only the columns that a policy and the stream
read are kept, so that ten million clips fit in memory beside a plan of them."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from shards_spec import layout
from shards_spec.errors import FormatError
from shards_spec.reader import Dataset, read_info, recipe_of
from shards_spec.schema import CLIPS_SCHEMA, MOVIES_SCHEMA, parse_table, require_columns
from shards_spec.storage import Storage
from trainer.fetch import COLUMNS
from trainer.plan import BatchPolicy, check_columns, columns_of

#: Few texts, each in many rows: kept as numbers.
_REPEATED = ("movie_id", "shard", "group")


def open_for_training(uri: str | Storage, policy: BatchPolicy) -> Dataset:
    """As `open_dataset`, with fewer columns of clips, those of `policy.where` among them.

    Raises as `open_dataset`, and `InputError` when the filter names an unknown column.
    """
    storage = uri if isinstance(uri, Storage) else Storage(uri)
    info = read_info(storage)
    recipe = recipe_of(info)
    wanted = {*COLUMNS, "end_ns", "group", *columns_of(policy.where)}
    with _local_file(storage, layout.CLIPS_PARQUET) as path:
        clips = _read(path, wanted, policy.where, storage.uri_of(layout.CLIPS_PARQUET))
        with path.open("rb") as file:
            fingerprint = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    name = storage.uri_of(layout.MOVIES_PARQUET)
    movies = parse_table(storage.get(layout.MOVIES_PARQUET), name)
    require_columns(movies, MOVIES_SCHEMA, name)
    return Dataset(storage, recipe, info, movies, clips, fingerprint)


def _read(path: Path, wanted: set[str], where: str, name: str) -> pa.Table:
    # The filter compares texts as they are.
    filtered = columns_of(where)
    repeated = [column for column in _REPEATED if column not in filtered]
    try:
        file = pq.ParquetFile(path, read_dictionary=repeated, buffer_size=1 << 20)
        schema = pq.read_schema(path)
        require_columns(schema.empty_table(), CLIPS_SCHEMA, name)
        # Here, where all columns are known and not only those that are kept.
        check_columns(where, schema.names)
        columns = [column for column in schema.names if column in wanted]
        # One thread: a process that ends while Arrow still starts its threads is aborted.
        return file.read(columns, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise FormatError(f"{name} is not readable Parquet: {error}") from error


@contextmanager
def _local_file(storage: Storage, key: str) -> Iterator[Path]:
    """An object as a file on this machine."""
    if storage.is_local:
        # Missing and forbidden objects are told as everywhere.
        storage.head(key)
        yield storage.local_path(key)
        return
    with tempfile.TemporaryDirectory(prefix="reelshards-") as folder:
        path = Path(folder) / "object"
        storage.download(key, path)
        yield path
