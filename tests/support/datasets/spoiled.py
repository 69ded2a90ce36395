"""Datasets with an impossible value in their index."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from shards_spec import layout
from shards_spec.dataset.reader import Dataset


def spoil_index(dataset: Dataset, column: str, value: float | str, row: int = 11) -> str:
    """Overwrite a value of the table of clips in a local dataset; returns the dataset's URI."""
    clips = dataset.clips
    values = clips[column].to_pylist()
    values[row] = value
    number = clips.schema.get_field_index(column)
    field = clips.schema.field(column)
    clips = clips.set_column(number, field, pa.array(values, field.type))
    pq.write_table(clips, dataset.storage.local_path(layout.CLIPS_PARQUET))
    return dataset.storage.uri
