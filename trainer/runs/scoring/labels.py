"""Labels of time ranges of movies, read from a table and assigned to clips.

The table is CSV with the columns `source` (file name or movie_id), `start_seconds`, `end_seconds`
and `label`; ranges are half-open on the movie timeline. A clip takes the label that covers most of
it, provided that it covers at least half of it.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from shards_spec.dataset.labels.columns import MIN_COVER, is_label_column
from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError
from shards_spec.recipe import NANOSECONDS
from trainer.data.mix import with_labels

COLUMNS = ("source", "start_seconds", "end_seconds", "label")


@dataclass(frozen=True)
class LabeledRange:
    """One row of the table, on one movie."""

    start_ns: int
    end_ns: int
    """Exclusive."""
    label: str


#: Rows of the clip index -> their labels; None for an unlabeled clip.
Labeler = Callable[[Sequence[int]], list[str | None]]


def labeler(dataset: Dataset, path: Path | None, column: str) -> Labeler | None:
    """The source of labels: a table of ranges, or a column of the clip index; None for neither.

    A column may be one of the dataset's labels (`labels.mood`), also where a path is expected.

    Raises `InputError` if both are given, if the column does not exist, and as `read_labels`.
    """
    if path and not column and is_label_column(str(path)) and not path.exists():
        path, column = None, str(path)
    if path and column:
        raise InputError("labels come from a table or from a column of the clip index, not both")
    if path:
        ranges = read_labels(path, dataset)
        return lambda rows: label_clips(dataset.clips, rows, ranges)
    if not column:
        return None
    clips = with_labels(dataset, [column]).clips
    if column not in clips.column_names:
        raise InputError(
            f"{dataset.storage.uri}: the clip index has no column {column!r}; it has "
            f"{', '.join(clips.column_names)}, and its labels are named like labels.mood"
        )
    return lambda rows: [
        None if value in (None, "") else str(value)
        for value in clips[column].take(pa.array(rows, pa.int64())).to_pylist()
    ]


def read_labels(path: Path, dataset: Dataset) -> dict[str, list[LabeledRange]]:
    """Labeled ranges by movie_id; rows of movies that are not in the dataset are left out.

    Raises `InputError` for a missing file, missing columns, invalid numbers, sources that match
    several movies, or a table without any row about this dataset.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the labels in {path}: {error}") from error
    reader = csv.DictReader(io.StringIO(text))
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise InputError(
            f"{path} has no column {', '.join(missing)}; it needs {', '.join(COLUMNS)}"
        )
    movies_of = _movies_by_source(dataset)
    ranges: dict[str, list[LabeledRange]] = defaultdict(list)
    for number, row in enumerate(reader, start=2):
        movie_ids = movies_of.get(row["source"], [])
        if len(movie_ids) > 1:
            raise InputError(
                f"{path} line {number}: {row['source']!r} is the file name of several movies "
                f"({', '.join(movie_ids)}); name the movie_id instead"
            )
        if movie_ids:
            ranges[movie_ids[0]].append(_labeled_range(row, f"{path} line {number}"))
    if not ranges:
        raise InputError(
            f"no row of {path} names a movie of {dataset.storage.uri}; "
            "its source column must contain file names or movie_ids"
        )
    return dict(ranges)


def label_clips(
    clips: pa.Table, rows: Sequence[int], ranges: dict[str, list[LabeledRange]]
) -> list[str | None]:
    """The label of each of the given rows of the clip index; None if no label covers it."""
    chosen = clips.select(["movie_id", "start_ns", "end_ns"]).take(pa.array(rows, pa.int64()))
    return [
        _label(clip["start_ns"], clip["end_ns"], ranges.get(clip["movie_id"], []))
        for clip in chosen.to_pylist()
    ]


def _label(start_ns: int, end_ns: int, ranges: Sequence[LabeledRange]) -> str | None:
    covered: dict[str, int] = defaultdict(int)
    for labeled in ranges:
        shared = min(end_ns, labeled.end_ns) - max(start_ns, labeled.start_ns)
        covered[labeled.label] += max(0, shared)
    best = max(covered, key=lambda label: covered[label], default=None)
    if best is None or covered[best] < MIN_COVER * (end_ns - start_ns):
        return None
    return best


def _movies_by_source(dataset: Dataset) -> dict[str, list[str]]:
    movies_of: dict[str, list[str]] = defaultdict(list)
    for movie in dataset.movies.select(["movie_id", "source_uri"]).to_pylist():
        name = PurePosixPath(unquote(urlsplit(movie["source_uri"]).path)).name
        # Of several datasets, movies have qualified names: `2:tt0110912`.
        for source in {movie["movie_id"], movie["movie_id"].rpartition(":")[2], name}:
            movies_of[source].append(movie["movie_id"])
    return movies_of


def _labeled_range(row: dict[str, str], where: str) -> LabeledRange:
    try:
        start, end = float(row["start_seconds"]), float(row["end_seconds"])
        return LabeledRange(round(start * NANOSECONDS), round(end * NANOSECONDS), row["label"])
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{where}: start_seconds and end_seconds must be numbers") from error
