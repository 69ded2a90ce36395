"""Checks of labels: their list, the ranges of movies, and the tables by clip made from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shards_spec.dataset.labels import join_ranges
from shards_spec.dataset.labels.schema import (
    CLIP_LABELS,
    LABELS_JSON,
    RANGES,
    TableInfo,
    check_name,
    clip_labels_key,
    ranges_key,
)
from shards_spec.dataset.labels.tables import list_tables, read_ranges, stored_clip_labels
from shards_spec.dataset.validation.report import Problem
from shards_spec.errors import FormatError, InputError, ObjectNotFoundError, StorageError
from shards_spec.recipe import NANOSECONDS
from shards_spec.storage import Storage


def label_problems(
    storage: Storage, movies: pa.Table, clips: pa.Table, clips_fingerprint: str
) -> Iterator[Problem]:
    """All problems of all labels of a dataset. Raises `StorageError` when a remote store fails."""
    try:
        infos = {info.name: info for info in list_tables(storage)}
    except FormatError as error:
        yield Problem("labels", LABELS_JSON, str(error))
        infos = {}
    lengths = dict(
        zip(movies["movie_id"].to_pylist(), movies["duration_ns"].to_pylist(), strict=True)
    )
    stored = _stored_names(storage, RANGES) if not storage.is_web else set(infos)
    for name in sorted(stored - set(infos)):
        yield Problem("labels", ranges_key(name), f"is not listed in {LABELS_JSON}; {_AGAIN}")
    by_clip = _stored_names(storage, CLIP_LABELS) if not storage.is_web else set()
    for name in sorted(by_clip - set(infos)):
        yield Problem("labels", clip_labels_key(name), f"has no table of ranges; {_AGAIN}")
    for name in sorted(set(infos) | stored):
        try:
            ranges = read_ranges(storage, name)
        except ObjectNotFoundError:
            yield Problem("labels", ranges_key(name), f"does not exist, but {LABELS_JSON} lists it")
            continue
        except (FormatError, StorageError) as error:
            if isinstance(error, StorageError) and not storage.is_local:
                raise
            yield Problem("labels", ranges_key(name), str(error))
            continue
        yield from range_problems(ranges_key(name), ranges, lengths)
        if name in infos:
            yield from _clip_problems(storage, infos[name], ranges, clips, clips_fingerprint)


def range_problems(where: str, ranges: pa.Table, lengths: Mapping[str, int]) -> Iterator[Problem]:
    """Ranges are of movies of the index and inside of them, say something, and do not repeat.

    `lengths` are the durations of all movies of the index, nanoseconds.
    """
    known = pa.array(sorted(lengths), pa.string())
    is_known = pc.is_in(ranges["movie_id"], known)
    orphans = ranges.filter(pc.invert(is_known))["movie_id"]
    for name in sorted(set(orphans.to_pylist())):
        yield Problem("labels", where, f"has ranges of movie {name!r}, which is not in the index")
    rows = ranges.filter(is_known)
    length = pa.array([lengths[name] for name in known.to_pylist()], pa.int64())
    lasts = length.take(pc.index_in(rows["movie_id"].combine_chunks(), known))
    is_beyond = pc.and_(pc.greater(lasts, 0), pc.greater(rows["end_ns"], lasts))
    for row in rows.filter(is_beyond).to_pylist():
        seconds = lengths[row["movie_id"]] / NANOSECONDS
        message = f"{_span(row)} ends after the movie, which has {seconds:g} s"
        yield Problem("labels", where, message)
    for row in rows.filter(pc.and_(*(pc.is_null(rows[n]) for n in _CONTENT))).to_pylist():
        yield Problem("labels", where, f"{_span(row)} has neither a label nor a text")
    for row in _repeated(rows).to_pylist():
        yield Problem("labels", where, f"{_span(row)} repeats or touches an equal range")


_CONTENT = ("label", "text")


def _repeated(rows: pa.Table) -> pa.Table:
    """Rows that begin before the one before them with equal content has ended, or just then."""
    keys = ("movie_id", *_CONTENT, "start_ns")
    rows = rows.sort_by([(name, "ascending") for name in keys])
    before, after = rows.slice(0, max(0, rows.num_rows - 1)), rows.slice(1)
    is_repeated = pc.less_equal(after["start_ns"], before["end_ns"])
    for name in ("movie_id", *_CONTENT):
        is_equal = pc.fill_null(pc.equal(before[name], after[name]), False)
        both_null = pc.and_(pc.is_null(before[name]), pc.is_null(after[name]))
        is_repeated = pc.and_(is_repeated, pc.or_(is_equal, both_null))
    return after.filter(is_repeated)


def _span(row: Mapping[str, Any]) -> str:
    start, end = row["start_ns"] / NANOSECONDS, row["end_ns"] / NANOSECONDS
    return f"{row['movie_id']} from {start:g} to {end:g} s"


def _clip_problems(
    storage: Storage,
    info: TableInfo,
    ranges: pa.Table,
    clips: pa.Table,
    clips_fingerprint: str,
) -> Iterator[Problem]:
    """The table by clip is the one that the ranges give; the list has its numbers."""
    where = clip_labels_key(info.name)
    try:
        table, of_clips = stored_clip_labels(storage, info.name)
        expected = join_ranges(ranges, clips)
    except ObjectNotFoundError:
        yield Problem("labels", where, f"does not exist; readers join the ranges. {_AGAIN}")
        return
    except (FormatError, InputError) as error:
        yield Problem("labels", where, str(error))
        return
    if of_clips != clips_fingerprint:
        yield Problem("labels", where, f"is of another update of the index; {_AGAIN}")
    elif not table.replace_schema_metadata(None).equals(expected.replace_schema_metadata(None)):
        message = f"differs from the ranges in {ranges_key(info.name)}; {_AGAIN}"
        yield Problem("labels", where, message)
    numbers = {
        "num_ranges": ranges.num_rows,
        "num_movies": pc.count_distinct(ranges["movie_id"]).as_py(),
        "num_clips": pc.count_distinct(expected["clip_id"]).as_py(),
        "has_labels": ranges["label"].null_count < ranges.num_rows,
        "has_text": ranges["text"].null_count < ranges.num_rows,
    }
    for name, value in numbers.items():
        if getattr(info, name) != value:
            message = f"{name} of {info.name} is {getattr(info, name)}, but {value} in the table"
            yield Problem("labels", LABELS_JSON, message)


def _stored_names(storage: Storage, folder: str) -> set[str]:
    """Names of the tables in a folder; other objects are not ours."""
    names = set()
    for info in storage.list(folder):
        path = PurePosixPath(info.key)
        if path.suffix == ".parquet" and str(path.parent) == folder:
            try:
                names.add(check_name(path.stem))
            except InputError:
                continue
    return names


_AGAIN = "run preprocess or label again"
