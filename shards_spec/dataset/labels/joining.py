"""Labeled ranges as rows by clip: which labels and texts a clip has, and how much of it they cover.

ranges      |----- sad -----|           |-- sad --|
clips    [       A       ][       B       ][       C       ]
rows      A sad 0.8         B sad 0.35      C sad 0.4
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shards_spec.dataset.labels.schema import CLIP_LABELS_SCHEMA
from shards_spec.errors import InputError

#: Rows that clips may have on average, per movie. Beyond, the ranges are not labels of moments.
MAX_ROWS_PER_CLIP = 200

_Ints = NDArray[np.int64]


def join_ranges(ranges: pa.Table, clips: pa.Table) -> pa.Table:
    """`CLIP_LABELS_SCHEMA` for clips of whole movies.

    Args:
        ranges: `RANGES_SCHEMA`, sorted by movie.
        clips: with the columns `clip_id`, `movie_id`, `start_ns` and `end_ns`, sorted by movie.

    One row for each clip and each of its different labels and texts; in the order of clips, then of
    time. Ranges of movies without clips in the table are left out.

    Raises `InputError` if clips have more rows than `MAX_ROWS_PER_CLIP`.
    """
    spans = _spans(ranges["movie_id"])
    clip_rows, range_rows = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    starts, ends, range_starts, range_ends = (
        _ints(table[name]) for table in (clips, ranges) for name in ("start_ns", "end_ns")
    )
    for movie_id, (first, end) in _spans(clips["movie_id"]).items():
        if movie_id not in spans:
            continue
        first_range, end_range = spans[movie_id]
        order = np.argsort(starts[first:end], kind="stable")
        pairs = _overlapping(
            starts[first:end][order],
            ends[first:end][order],
            range_starts[first_range:end_range],
            range_ends[first_range:end_range],
            movie_id,
        )
        clip_rows.append(first + order[pairs[0]])
        range_rows.append(first_range + pairs[1])
    clip, labeled = np.concatenate(clip_rows), np.concatenate(range_rows)
    overlap_ns = np.minimum(ends[clip], range_ends[labeled]) - np.maximum(
        starts[clip], range_starts[labeled]
    )
    taken = ranges.take(pa.array(labeled))
    joined = pa.table(
        {
            "row": clip,
            "start_ns": np.maximum(starts[clip], range_starts[labeled]),
            "label": taken["label"],
            "text": taken["text"],
            "overlap_ns": overlap_ns,
        }
    )
    return _summed(joined, clips)


def _summed(joined: pa.Table, clips: pa.Table) -> pa.Table:
    """One row for all ranges of a clip with the same label and text."""
    groups = joined.group_by(["row", "label", "text"], use_threads=False)
    summed = groups.aggregate([("start_ns", "min"), ("overlap_ns", "sum")])
    keys = ("row", "start_ns_min", "label", "text")
    summed = summed.take(pc.sort_indices(summed, [(name, "ascending") for name in keys]))
    own = clips.take(summed["row"])
    lengths = pc.subtract(own["end_ns"], own["start_ns"])
    overlap = pc.divide(summed["overlap_ns_sum"].cast(pa.float64()), lengths.cast(pa.float64()))
    columns = (
        own["clip_id"],
        own["movie_id"],
        summed["start_ns_min"],
        summed["label"],
        summed["text"],
        summed["overlap_ns_sum"],
        overlap,
    )
    arrays = [
        column.cast(field.type) for column, field in zip(columns, CLIP_LABELS_SCHEMA, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=CLIP_LABELS_SCHEMA)


def _overlapping(
    starts: _Ints, ends: _Ints, range_starts: _Ints, range_ends: _Ints, movie_id: str
) -> tuple[_Ints, _Ints]:
    """Positions of clips, sorted by time, and of the ranges that overlap them."""
    # Clips of a dataset have one length, so that their ends are sorted as well.
    first = np.searchsorted(ends, range_starts, side="right")
    stop = np.maximum(first, np.searchsorted(starts, range_ends, side="left"))
    counts = stop - first
    if counts.sum() > MAX_ROWS_PER_CLIP * len(starts):
        raise InputError(
            f"the {len(starts)} clips of {movie_id} would have {counts.sum():,} labels, more than "
            f"{MAX_ROWS_PER_CLIP} each; check that the times of the labels are in seconds"
        )
    labeled = np.repeat(np.arange(len(first)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(first, counts) + within, labeled


def _spans(names: pa.ChunkedArray) -> dict[str, tuple[int, int]]:
    """First and last (exclusive) row of each movie in a sorted column."""
    if not len(names):
        return {}
    runs: Any = pc.run_end_encode(names.combine_chunks())
    stops: list[int] = runs.run_ends.to_pylist()
    return dict(zip(runs.values.to_pylist(), zip([0, *stops], stops, strict=False), strict=True))


def _ints(column: pa.ChunkedArray) -> _Ints:
    return np.asarray(column.to_numpy(), dtype=np.int64)
