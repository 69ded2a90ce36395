"""Tables of labels as people have them: other columns, encodings, line ends, and mistakes."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shards_spec.dataset.labels.findings import Findings
from shards_spec.dataset.labels.label_files import Columns, FileRow, read_label_file
from shards_spec.errors import InputError

HOUR = 3600 * 10**9


def read(data: str | bytes, columns: Columns | None = None, **options: Any) -> list[FileRow]:
    found = Findings()
    data = data.encode() if isinstance(data, str) else data
    rows = read_label_file(data, "labels.csv", columns or Columns(), found, **options)
    assert found.all() == ()
    return rows


def found_in(data: str | bytes) -> tuple[list[FileRow], dict[str, int]]:
    found = Findings()
    data = data.encode() if isinstance(data, str) else data
    rows = read_label_file(data, "labels.csv", Columns(), found)
    return rows, {item.reason: item.number for item in found.all()}


def values(row: FileRow) -> tuple[Any, ...]:
    return (row.movie, row.start_ns, row.end_ns, row.label, row.text)


@pytest.mark.parametrize(
    "text",
    [
        "movie_id,start_seconds,end_seconds,label\nheat,1.5,4,sad\n",
        # The demo corpus and `evaluate --labels`.
        "source,start_seconds,end_seconds,label\nheat,1.5,4,sad\n",
        # As scenes of MovieNet, trimmed videos of LVU.
        "imdb_id\tstart\tend\tplace\nheat\t1.5\t4\tsad\n",
        "videoid;label;start;end\nheat;sad;1,5;4,0\n",
        "Movie,Start_Time,End_Time,Emotion\nheat,0:01.5,00:00:04.000,sad\n",
        "\n\nmovie,start_ms,end_ms,tag\n\nheat,1500,4000,sad\n\n",
        "film,start_ns,end_ns,class\nheat,1500000000,4000000000,sad",
        '"movie","start","end","label"\r\n"heat","1.5","4","sad"\r\n',
        "movie,start,end,label\rheat,1.5,4,sad\r",
        " movie , start , end , label \nheat , 1.5 , 4 , sad \n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_columns_times_and_encodings_that_published_sets_have(text: str, encoding: str) -> None:
    (row,) = read(text.encode(encoding))
    assert values(row) == ("heat", 1_500_000_000, 4_000_000_000, "sad", None)


def test_sentences_with_commas_quotes_and_line_breaks() -> None:
    # As in MAD.
    text = 'movie,start,end,sentence\n10142,3600,3602.5,"She says ""no"",\r\nand leaves."\n'
    (row,) = read(text)
    assert values(row) == ("10142", HOUR, HOUR + 2_500_000_000, None, 'She says "no", and leaves.')


def test_a_label_without_times_is_for_the_whole_movie() -> None:
    rows = read("imdb_id,genre\ntt1,Drama\ntt2,Crime\n")
    assert [values(row) for row in rows] == [
        ("tt1", None, None, "Drama", None),
        ("tt2", None, None, "Crime", None),
    ]
    rows = read("movie,start,end,label\na,,5,x\na,5,,y\n")
    assert [(row.start_ns, row.end_ns) for row in rows] == [(None, 5 * 10**9), (5 * 10**9, None)]


def test_columns_can_be_named() -> None:
    text = "id,movie,from,to,what,label\n1,heat,2,3,kiss,wrong\n"
    columns = Columns(movie="movie", start="from", end="to", label="what")
    assert values(read(text, columns)[0]) == ("heat", 2 * 10**9, 3 * 10**9, "kiss", None)
    with pytest.raises(InputError, match="no column 'mood'; it has: id, movie, from"):
        read(text, Columns(label="mood"))


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ("nan,3", "bad_time"),
        ("1,inf", "bad_time"),
        ("1_0,2_0", "bad_time"),
        ("1,1e300", "bad_time"),
        ("one,3", "bad_time"),
        ("1:2:3:4,9", "bad_time"),
        ("-:5,9", "bad_time"),
        ("3,3", "bad_time"),
        ("5,3", "bad_time"),
    ],
)
def test_times_that_are_none_are_counted(times: str, reason: str) -> None:
    rows, found = found_in(f"movie,start,end,label\nheat,{times},x\nheat,1,2,fine\n")
    assert [row.label for row in rows] == ["fine"]
    assert found == {reason: 1}


def test_rows_without_movie_or_content_are_counted() -> None:
    rows, found = found_in("movie,start,end,label\n,1,2,x\nheat,1,2,\nheat,1,2\nheat,1,2,y\n")
    assert [row.where for row in rows] == ["labels.csv line 5"]
    assert found == {"unknown_movie": 1, "nothing": 2}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"movie,start,end\nheat,1,2\n", "no a label or text|label or text"),
        (b"start,end,label\n1,2,x\n", "a column that names the movie"),
        (b"", "no columns at all"),
        (b"\n\n", "no columns at all"),
        ("movie,label\nheat,caf\xe9\n".encode("cp1252"), "line 2: byte 20 is not utf-8.*cp1252"),
        ("movie,label\nheat,x\n".encode("utf-16-le"), "NUL"),
        (b'movie,label\na,"x\nb,y\nc,z\n', "line 2: a quotation mark is never closed"),
        (b"PAR1 and then nothing", "cannot read labels.csv"),
        (b'movie,label\nheat,"' + b"x" * 200_000 + b'"\n', "line 2: field larger"),
    ],
)
def test_files_that_cannot_be_read_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(data)


def test_another_encoding_can_be_named() -> None:
    data = "movie,label\nheat,café\n".encode("cp1252")
    assert read(data, encoding="cp1252")[0].label == "café"
    with pytest.raises(InputError, match="knows no such encoding"):
        read(data, encoding="klingon")


def test_parquet_with_numbers_lists_and_missing_values() -> None:
    table = pa.table(
        {
            "video_id": pa.array([7, 8, None, 9], pa.int64()),
            "start": pa.array([1.5, None, 1.0, float("nan")], pa.float64()),
            "end": pa.array([4, 5, 6, 7], pa.int32()),
            "label": pa.array([["sad", "dark"], ["x"], ["y"], ["z"]]),
            "other": pa.array([{"a": 1}] * 4),
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink)
    rows, found = found_in(sink.getvalue())
    assert [values(row) for row in rows] == [
        ("7", 1_500_000_000, 4_000_000_000, "sad, dark", None),
        ("8", None, 5_000_000_000, "x", None),
    ]
    assert found == {"unknown_movie": 1, "bad_time": 1}
