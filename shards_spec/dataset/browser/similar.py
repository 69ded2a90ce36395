"""Similar clips, by the vectors that `reelshards embed` or `Encoder.embed_clips` wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import FormatError, InputError
from shards_spec.redaction import redacted

#: Numbers in all vectors of one kind; half precision, so 2 GB.
MAX_VALUES = 1_000_000_000

#: Similar clips that are shown.
NUM_MATCHES = 8

#: Clips multiplied at a time.
_BLOCK = 1 << 16


@dataclass(frozen=True)
class Match:
    """A similar clip."""

    clip_id: str
    similarity: float
    """Cosine, [-1, 1]."""


class Embeddings:
    """Video and audio vectors of clips of a dataset."""

    def __init__(
        self, clip_ids: Sequence[str], video: NDArray[np.float16], audio: NDArray[np.float16]
    ) -> None:
        self.clip_ids = list(clip_ids)
        self._row = {clip_id: row for row, clip_id in enumerate(self.clip_ids)}
        self._vectors = {"video": video, "audio": audio}

    def similar(self, clip_id: str) -> list[tuple[str, list[Match]]]:
        """Titles and the most similar clips; empty for a clip without vectors."""
        row = self._row.get(clip_id)
        if row is None:
            return []
        return [
            ("Similar video", self._nearest(row, "video", "video")),
            ("Similar audio", self._nearest(row, "audio", "audio")),
            ("Audio that fits this video", self._nearest(row, "video", "audio")),
        ]

    def _nearest(self, row: int, query: str, kind: str) -> list[Match]:
        vector = self._vectors[query][row].astype(np.float32)
        others = self._vectors[kind]
        scores = np.concatenate(
            [
                others[first : first + _BLOCK].astype(np.float32) @ vector
                for first in range(0, len(others), _BLOCK)
            ]
        )
        if query == kind:
            scores[row] = -np.inf
        number = min(NUM_MATCHES, len(scores) - 1)
        if number < 1:
            return []
        best = np.argpartition(-scores, number - 1)[:number]
        best = best[np.argsort(-scores[best], kind="stable")]
        return [Match(self.clip_ids[place], float(scores[place])) for place in best.tolist()]


def read_embeddings(path: Path, dataset: Dataset) -> Embeddings:
    """Vectors from a Parquet file, for those of its rows that are clips of the dataset.

    Rows are found by `clip_id`, or by `movie` (the source's address) and `start_ns`.

    Raises `InputError` when the file cannot be read, `FormatError` when it has other columns.
    """
    try:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        if not {"video", "audio"} <= set(names) or not (
            "clip_id" in names or {"movie", "start_ns"} <= set(names)
        ):
            raise FormatError(
                f"{path} has the columns {', '.join(names)}, but embeddings have video, audio, and "
                "clip_id or movie and start_ns; write them with `reelshards embed`"
            )
        if file.metadata.num_rows > MAX_VALUES:
            raise FormatError(f"{path} has too many rows")
        table = file.read(use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"cannot read embeddings from {path}: {error}") from error
    ids = table["clip_id"] if "clip_id" in names else _clip_ids(table, dataset)
    known = pc.is_in(ids, dataset.clips["clip_id"].combine_chunks())
    table, ids = table.filter(known), ids.filter(known)
    if not table.num_rows:
        raise InputError(f"{path} has no vectors of clips of {dataset.storage.uri}")
    video, audio = (_vectors(table[name], f"{path}: {name}") for name in ("video", "audio"))
    return Embeddings(ids.to_pylist(), video, audio)


def _clip_ids(table: pa.Table, dataset: Dataset) -> pa.ChunkedArray:
    """The clip of each row, null where none starts at that time of that movie."""
    addresses = dataset.movies["source_uri"].to_pylist()
    movie_ids = dict(
        zip(map(redacted, addresses), dataset.movies["movie_id"].to_pylist(), strict=True)
    )
    clips = dataset.clips
    columns = (clips[name].to_pylist() for name in ("movie_id", "start_ns", "clip_id"))
    by_time = {(movie, start): clip_id for movie, start, clip_id in zip(*columns, strict=True)}
    pairs = zip(table["movie"].to_pylist(), table["start_ns"].to_pylist(), strict=True)
    found = [by_time.get((movie_ids.get(movie, ""), start)) for movie, start in pairs]
    return pa.chunked_array([pa.array(found, pa.string())])


def _vectors(column: pa.ChunkedArray, name: str) -> NDArray[np.float16]:
    """(num_rows, size) half-precision rows of unit length."""
    array: Any = column.combine_chunks()
    is_list = pa.types.is_list(array.type) or pa.types.is_fixed_size_list(array.type)
    if not is_list or array.null_count:
        raise FormatError(f"{name} is not a column of vectors")
    values = array.flatten()
    if len(values) % len(array) or len(values) > MAX_VALUES or values.null_count:
        raise FormatError(f"{name}: the vectors have different lengths, or are too large")
    rows = values.to_numpy(zero_copy_only=False).astype(np.float32).reshape(len(array), -1)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return np.asarray(rows, dtype=np.float16)
