"""Ranges joined onto clips, compared with the plain rule."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pyarrow as pa
import pytest

from shards_spec.dataset.labels.findings import Findings
from shards_spec.dataset.labels.joining import MAX_ROWS_PER_CLIP, join_ranges
from shards_spec.dataset.labels.label_files import FileRow
from shards_spec.dataset.labels.ranges import MovieNames, ranges_of_rows, ranges_table
from shards_spec.dataset.labels.schema import LabeledRange
from shards_spec.errors import InputError

SECOND = 10**9


def movies(**lengths: float) -> pa.Table:
    return pa.table(
        {
            "movie_id": list(lengths),
            "source_uri": [f"file:///m/{name}%20(1995).MKV" for name in lengths],
            "duration_ns": [round(value * SECOND) for value in lengths.values()],
            "num_clips": [1 if value else 0 for value in lengths.values()],
        }
    )


def clips(rng: np.random.Generator, names: list[str], length_ns: int) -> pa.Table:
    """Clips in the order of a shard, not of time; they may overlap each other."""
    rows = []
    for name in names:
        starts = rng.choice(200, rng.integers(1, 40), replace=False) * (SECOND // 10)
        rows += [
            (f"{name}_{start:09d}", name, int(start), int(start) + length_ns) for start in starts
        ]
    columns = list(zip(*rows, strict=True))
    return pa.table(dict(zip(("clip_id", "movie_id", "start_ns", "end_ns"), columns, strict=True)))


@pytest.mark.parametrize("seed", range(6))
def test_each_clip_has_the_labels_of_its_time(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = ["a", "b", "c"]
    table = clips(rng, names, SECOND + seed * 7)
    ranges = []
    for _ in range(rng.integers(0, 80)):
        start, end = sorted(int(value) for value in rng.integers(0, 22 * SECOND, 2))
        label = rng.choice(["sad", "happy", ""]) or None
        text = None if label and rng.random() < 0.5 else f"text {rng.integers(3)}"
        name = names[rng.integers(2)]
        ranges.append(LabeledRange(name, start, end + 1, label, text))
    made = ranges_table(ranges, movies(a=20, b=20, c=20), Findings())
    joined = join_ranges(made, table)
    expected: dict[tuple[str, str | None, str | None], set[int]] = defaultdict(set)
    step = SECOND // 50
    ticks = np.arange(0, 20 * SECOND, step)
    for row in table.to_pylist():
        for item in ranges:
            if item.movie_id != row["movie_id"]:
                continue
            start, end = max(item.start_ns, row["start_ns"]), min(item.end_ns, row["end_ns"])
            inside = ticks[(ticks >= start) & (ticks < end)]
            if start < min(end, 20 * SECOND):
                expected[row["clip_id"], item.label, item.text] |= set(inside.tolist())
    rows = joined.to_pylist()
    keys = [(row["clip_id"], row["label"], row["text"]) for row in rows]
    assert len(set(keys)) == len(keys)
    assert set(keys) == set(expected)
    for row, key in zip(rows, keys, strict=True):
        assert abs(row["overlap_ns"] - len(expected[key]) * step) <= 2 * step * len(ranges)
        assert row["overlap"] == pytest.approx(row["overlap_ns"] / (SECOND + seed * 7))
        assert 0 < row["overlap"] <= 1
    order = {clip_id: number for number, clip_id in enumerate(table["clip_id"].to_pylist())}
    places = [(order[row["clip_id"]], row["start_ns"]) for row in rows]
    assert places == sorted(places)


def test_equal_labels_that_overlap_count_once_and_others_each() -> None:
    found = Findings()
    ranges = [
        LabeledRange("a", 0, 2 * SECOND, "sad", None),
        LabeledRange("a", 1 * SECOND, 3 * SECOND, "sad", None),
        LabeledRange("a", 2 * SECOND, 4 * SECOND, "dark", None),
        LabeledRange("a", -5 * SECOND, 1, "sad", None),
        LabeledRange("a", 9 * SECOND, 11 * SECOND, "end", None),
        LabeledRange("a", 10 * SECOND, 11 * SECOND, "late", None),
        LabeledRange("b", 0, SECOND, "sad", None),
    ]
    made = ranges_table(ranges, movies(a=10, b=0), found)
    assert [(row["start_ns"], row["end_ns"], row["label"]) for row in made.to_pylist()] == [
        (0, 3 * SECOND, "sad"),
        (2 * SECOND, 4 * SECOND, "dark"),
        (9 * SECOND, 10 * SECOND, "end"),
    ]
    counts = {item.reason: item.number for item in found.all()}
    assert counts == {"no_clips": 1, "outside": 1, "cut": 2, "merged": 2, "overlapping": 1}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("heat", ["heat"]),
        ("HEAT", ["heat"]),
        ("heat (1995).mkv", ["heat"]),
        ("heat (1995)", ["heat"]),
        ("C:\\movies\\heat (1995).mkv", ["heat"]),
        ("/other/folder/heat (1995).avi", ["heat"]),
        ("hea", []),
        ("", []),
    ],
)
def test_movies_are_found_by_the_names_that_people_use(name: str, found: list[str]) -> None:
    assert list(MovieNames(movies(heat=1, ronin=1)).find(name)) == found


def test_ambiguous_and_unknown_movies_are_counted() -> None:
    table = movies(a=1, b=1).set_column(1, "source_uri", [["file:///x/m.mp4", "file:///y/m.mp4"]])
    table = table.append_column("imdb", [["tt1", "tt2"]])
    rows = [FileRow(name, 0, 1, "x", None, name) for name in ("m.mp4", "a", "tt2")]
    found = Findings()
    assert [item.movie_id for item in ranges_of_rows(rows, table, found)] == ["a"]
    counts = {item.reason: item.number for item in found.all()}
    assert counts == {"unknown_movie": 1, "ambiguous_movie": 1}
    by_column = ranges_of_rows(rows, table, Findings(), "imdb")
    assert [item.movie_id for item in by_column] == ["b"]
    with pytest.raises(InputError, match="no column 'tmdb'; it has: movie_id, source_uri"):
        ranges_of_rows(rows, table, Findings(), "tmdb")


def test_labels_that_would_fill_the_disk_are_refused() -> None:
    number = MAX_ROWS_PER_CLIP + 2
    ranges = [LabeledRange("a", 0, SECOND, f"label {item}", None) for item in range(number)]
    made = ranges_table(ranges, movies(a=1), Findings())
    table = pa.table({"clip_id": ["a_0"], "movie_id": ["a"], "start_ns": [0], "end_ns": [SECOND]})
    with pytest.raises(InputError, match="more than 200 each"):
        join_ranges(made, table)
