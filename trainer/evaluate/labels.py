"""Labels of stretches of movies, from a table, put onto clips.

The table is CSV with the columns `source` (file name or movie_id), `start_seconds`, `end_seconds`
and `label`; ranges are half-open on the movie timeline. A clip takes the label that covers most of
it, if that is at least half of it.
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

from shards_spec.errors import InputError
from shards_spec.reader import Dataset
from shards_spec.recipe import NANOSECONDS

COLUMNS = ("source", "start_seconds", "end_seconds", "label")

#: Least share of a clip that its label must cover.
MIN_COVER = 0.5


@dataclass(frozen=True)
class Stretch:
    """One row of the table, on one movie."""

    start_ns: int
    end_ns: int
    """Exclusive."""
    label: str


#: Rows of the table of clips -> their labels; None for a clip that has none.
Labeller = Callable[[Sequence[int]], list[str | None]]


def labeller(dataset: Dataset, path: Path | None, column: str) -> Labeller | None:
    """What labels clips: a table of stretches, or a column of the index; None for neither.

    Raises `InputError` for both at once, a column that is not there, and as `read_labels`.
    """
    if path and column:
        raise InputError("labels come from a table or from a column of the index, not from both")
    if path:
        stretches = read_labels(path, dataset)
        return lambda rows: label_clips(dataset.clips, rows, stretches)
    if not column:
        return None
    if column not in dataset.clips.column_names:
        raise InputError(
            f"{dataset.storage.uri}: its index of clips has no column {column!r}; it has "
            f"{', '.join(dataset.clips.column_names)}"
        )
    return lambda rows: [
        None if value in (None, "") else str(value)
        for value in dataset.clips[column].take(pa.array(rows, pa.int64())).to_pylist()
    ]


def read_labels(path: Path, dataset: Dataset) -> dict[str, list[Stretch]]:
    """Stretches by movie_id; rows of movies that the dataset does not have are left out.

    Raises `InputError` for a missing file, missing columns, numbers that are none, sources that
    name several movies, or a table of which no row fits the dataset.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the labels in {path}: {error}") from error
    reader = csv.DictReader(io.StringIO(text))
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise InputError(f"{path} lacks the columns {missing}; it needs {', '.join(COLUMNS)}")
    movies_of = _movies_by_source(dataset)
    stretches: dict[str, list[Stretch]] = defaultdict(list)
    for number, row in enumerate(reader, start=2):
        found = movies_of.get(row["source"], [])
        if len(found) > 1:
            raise InputError(
                f"{path} line {number}: {row['source']!r} is the file name of several movies "
                f"({', '.join(found)}); name the movie_id instead"
            )
        if found:
            stretches[found[0]].append(_stretch(row, f"{path} line {number}"))
    if not stretches:
        raise InputError(
            f"no row of {path} names a movie of {dataset.storage.uri}; "
            "its source column must hold file names or movie_ids"
        )
    return dict(stretches)


def label_clips(
    clips: pa.Table, rows: Sequence[int], stretches: dict[str, list[Stretch]]
) -> list[str | None]:
    """The label of each of the given rows of the table of clips; None where nothing covers it."""
    chosen = clips.select(["movie_id", "start_ns", "end_ns"]).take(pa.array(rows, pa.int64()))
    return [
        _label(clip["start_ns"], clip["end_ns"], stretches.get(clip["movie_id"], []))
        for clip in chosen.to_pylist()
    ]


def _label(start_ns: int, end_ns: int, stretches: Sequence[Stretch]) -> str | None:
    covered: dict[str, int] = defaultdict(int)
    for stretch in stretches:
        shared = min(end_ns, stretch.end_ns) - max(start_ns, stretch.start_ns)
        covered[stretch.label] += max(0, shared)
    best = max(covered, key=lambda label: covered[label], default=None)
    if best is None or covered[best] < MIN_COVER * (end_ns - start_ns):
        return None
    return best


def _movies_by_source(dataset: Dataset) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for movie in dataset.movies.select(["movie_id", "source_uri"]).to_pylist():
        name = PurePosixPath(unquote(urlsplit(movie["source_uri"]).path)).name
        for source in {movie["movie_id"], name}:
            found[source].append(movie["movie_id"])
    return found


def _stretch(row: dict[str, str], where: str) -> Stretch:
    try:
        start, end = float(row["start_seconds"]), float(row["end_seconds"])
        return Stretch(round(start * NANOSECONDS), round(end * NANOSECONDS), row["label"])
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{where}: start_seconds and end_seconds must be numbers") from error
