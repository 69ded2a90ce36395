"""Labels as columns of the table of clips, for filters and probes.

labels.mood      the label that covers most of the clip, and at least half of it; missing if
                 none does, the first in the alphabet if several cover as much.
                 `'sad' in labels.mood` asks for any label that it has
text.subtitles   all texts of the clip, in the order of time; empty without any
overlap.mood     the largest share of the clip that one label or text covers; 0 without any
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shards_spec.dataset.labels.schema import check_name
from shards_spec.dataset.labels.tables import list_tables, read_clip_labels
from shards_spec.errors import InputError
from shards_spec.storage import Storage

#: The first words of names of such columns.
KINDS = ("labels", "text", "overlap")

#: Smallest share of a clip that its label must cover.
MIN_COVER = 0.5

#: Ends the name of the column with all labels of each clip.
_ALL = "[]"


@dataclass(frozen=True)
class ClipColumns:
    """A table of clips with columns of labels, and what these were made from."""

    clips: pa.Table
    fingerprint: str
    """Changes with the tables of labels; empty without such columns."""


def is_label_column(name: str) -> bool:
    """Whether the name of a column is one of labels: `labels.mood`."""
    return name.partition(".")[0] in KINDS and "." in name


def all_labels_column(name: str) -> str:
    """Name of the column with the lists of all labels, next to `labels.<name>`."""
    return f"{name}{_ALL}"


def label_column_names(storage: Storage) -> list[str]:
    """Names of all columns of labels that a dataset has."""
    names = []
    for info in list_tables(storage):
        names += [f"labels.{info.name}"] if info.has_labels else []
        names += [f"text.{info.name}"] if info.has_text else []
        names.append(f"overlap.{info.name}")
    return names


def with_label_columns(
    storage: Storage, clips: pa.Table, clips_fingerprint: str, names: Collection[str]
) -> ClipColumns:
    """Append those of the named columns that are about labels and not there yet.

    Args:
        storage: of the dataset.
        clips: its table of clips, with at least id, movie and times.
        clips_fingerprint: `Dataset.clips_fingerprint`.
        names: of columns; others are ignored.

    Raises `InputError` for a table that does not exist or has no labels, or no text.
    """
    wanted = sorted(
        name for name in names if is_label_column(name) and name not in clips.schema.names
    )
    digests = []
    for table_name in sorted({name.partition(".")[2] for name in wanted}):
        labels, digest = read_clip_labels(storage, check_name(table_name), clips, clips_fingerprint)
        digests.append(f"{table_name} {digest}")
        rows = pc.index_in(labels["clip_id"], clips["clip_id"].combine_chunks())
        labels = labels.append_column("row", rows).filter(pc.is_valid(rows))
        for name in wanted:
            kind, _, of_table = name.partition(".")
            if of_table != table_name:
                continue
            for title, column in _columns(kind, name, labels, clips.num_rows):
                clips = clips.append_column(title, column)
    joined = "\n".join(digests)
    fingerprint = hashlib.sha256(joined.encode()).hexdigest()[:16] if digests else ""
    return ClipColumns(clips, fingerprint)


def _columns(kind: str, name: str, labels: pa.Table, num_clips: int) -> Sequence[tuple[str, Any]]:
    if kind == "overlap":
        share = np.zeros(num_clips, dtype=np.float32)
        np.maximum.at(share, _rows(labels), np.asarray(labels["overlap"].to_numpy()))
        return [(name, pa.array(share))]
    column = "label" if kind == "labels" else "text"
    present = labels.filter(pc.is_valid(labels[column]))
    if not present.num_rows:
        other = "text" if kind == "labels" else "labels"
        table = name.partition(".")[2]
        raise InputError(f"{name}: the labels {table!r} have no {column}; use {other}.{table}")
    if kind == "text":
        ordered = present.take(pc.sort_indices(present, [("row", "ascending"), _BY_TIME]))
        return [(name, pc.binary_join(_lists(ordered, "text", num_clips), " "))]
    return _label_columns(name, present, num_clips)


_BY_TIME = ("start_ns", "ascending")


def _label_columns(name: str, labels: pa.Table, num_clips: int) -> Sequence[tuple[str, Any]]:
    """The main label of each clip, and all of them, the largest first."""
    groups = labels.group_by(["row", "label"], use_threads=False)
    summed = groups.aggregate([("overlap", "sum")])
    keys = [
        ("row", "ascending"),
        ("overlap_sum", "descending"),
        ("label", "ascending"),
    ]
    ordered = summed.take(pc.sort_indices(summed, keys))
    rows = _rows(ordered)
    is_first = np.diff(rows, prepend=-1) != 0
    covers = np.asarray(ordered["overlap_sum"].to_numpy()) >= MIN_COVER
    firsts = np.flatnonzero(is_first & covers)
    main = np.full(num_clips, -1, dtype=np.int64)
    main[rows[firsts]] = firsts
    taken = ordered["label"].combine_chunks().take(pa.array(main, mask=main < 0))
    return [(name, taken), (all_labels_column(name), _lists(ordered, "label", num_clips))]


def _lists(ordered: pa.Table, column: str, num_clips: int) -> pa.Array:
    """One list per clip of the values of a table that is sorted by `row`."""
    counts = np.bincount(_rows(ordered), minlength=num_clips)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), ordered[column].combine_chunks())


def _rows(labels: pa.Table) -> Any:
    return np.asarray(labels["row"].to_numpy(), dtype=np.int64)
