"""Manifests as people and programs write them."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.sources import Movie
from pipeline.sources.corpus import find_movies
from pipeline.sources.identity import local_file
from pipeline.sources.manifest import records
from shards_spec.errors import InputError
from tests.support.films.named_files import touch

NAN = float("nan")


def _one(path: Path) -> Movie:
    (movie,) = find_movies(str(path))
    return movie


def test_a_csv_manifest(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    manifest = tmp_path / "corpus.csv"
    manifest.write_text(
        "uri,movie_id,group,language,start,end\n"
        "a.mp4,episode-1,show,en,,\n"
        f"{tmp_path}/b.mp4,,,,10,20.5\n"
    )
    first, second = sorted(find_movies(str(manifest)), key=lambda m: m.uri)
    assert (first.movie_id, first.group, first.language) == ("episode-1", "show", "en")
    assert (second.movie_id, second.start_seconds, second.end_seconds) == ("b", 10.0, 20.5)
    assert local_file(second) == tmp_path / "b.mp4"
    assert second.num_bytes == len("b.mp4")


def test_jsonl_and_parquet_manifests(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    rows = [{"uri": "a.mp4", "group": "g"}]
    (tmp_path / "m.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "m.parquet")
    for name in ("m.jsonl", "m.parquet"):
        (movie,) = find_movies(str(tmp_path / name))
        assert (movie.movie_id, movie.group) == ("a", "g")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("movie_id\nx\n", r"row 1 \(line 2\): no `uri`.*columns here: 'movie_id'"),
        ("URI;Title\na.mp4;x\n", r"no `uri`.*columns here: 'URI;Title'"),
        ("uri,status\na.mp4,red\n", "'status' has the name of a column of the index"),
        ("uri,group\na.mp4,x,y\n", r"row 1 \(line 2\): more cells than columns"),
        ("uri,audio_track\na.mp4,1.5\n", "not a valid stream index"),
        ("uri,audio_track\na.mp4,-1\n", "not a valid stream index"),
        ("uri,end\nb.mp4,1\na.mp4,inf\n", r"row 2 \(line 3\): end 'inf' is not finite"),
        ("uri,movie_id\na.mp4,Not Valid\n", "Not Valid"),
        ("uri,start,end\na.mp4,5,4\n", "not a valid time range"),
        ("uri,start\na.mp4,soon\n", "soon"),
        ("uri,movie_id\na.mp4,x\nb.mp4,x\n", r"row 2 \(line 3\): movie_id 'x' is also .*row 1 "),
        ("uri\na.mp4\n\nb.mp4\na.mp4\n", r"row 3 \(line 5\): repeats m.csv, row 1 \(line 2\)"),
        ("uri,title,title\na.mp4,x,y\n", "column 'title' occurs twice"),
        ('uri\na.mp4\n"b.mp4\n', "line 3: unexpected end of data"),
        ('uri,title\n"two\nlines.mp4",x\na.mp4,x,y\n', r"row 2 \(line 4\): more cells"),
        ("uri;start\na.mp4;1,5\n", r"row 1 \(line 2\): start '1,5' is not a number"),
    ],
)
def test_a_broken_manifest_is_rejected_with_its_row(
    tmp_path: Path, text: str, message: str
) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        find_movies(str(tmp_path / "m.csv"))


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x1e"])
def test_only_newlines_end_a_line(tmp_path: Path, separator: str) -> None:
    name = f"a{separator}b.mp4"
    touch(tmp_path, name)
    row = {"uri": name, "group": f"A{separator}B"}
    (tmp_path / "m.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\r\n")
    (tmp_path / "m.csv").write_text(f"uri,group\n{name},A{separator}B\n")
    for manifest in ("m.jsonl", "m.csv"):
        movie = _one(tmp_path / manifest)
        assert unquote(movie.uri).endswith(f"/{name}")
        assert movie.group == row["group"]
        assert movie.num_bytes > 0


def test_cells_with_commas_quotes_and_newlines(tmp_path: Path) -> None:
    names = ["a, b.mp4", 'say "hi".mp4', "two\nlines.mp4"]
    touch(tmp_path, *names)
    lines = [
        "uri,title",
        '"a, b.mp4","The Good, the Bad"',
        '"say ""hi"".mp4",x',
        '"two\nlines.mp4",',
    ]
    (tmp_path / "m.csv").write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    movies = find_movies(str(tmp_path / "m.csv"))
    assert sorted(unquote(movie.uri).rpartition("/")[2] for movie in movies) == sorted(names)
    assert dict(movies[0].metadata) == {"title": "The Good, the Bad"}
    assert all(movie.num_bytes > 0 for movie in movies)


@pytest.mark.parametrize(("track", "wanted"), [("1.0", 1), ("3.0", 3), ("2", 2), ("", -1)])
def test_whole_numbers_of_a_column_with_gaps(tmp_path: Path, track: str, wanted: int) -> None:
    touch(tmp_path, "a.mp4")
    (tmp_path / "m.csv").write_text(f"uri,audio_track,movie_id,end\na.mp4,{track},7.0,\n")
    movie = _one(tmp_path / "m.csv")
    assert (movie.audio_track, movie.movie_id, movie.end_seconds) == (wanted, "7", 0.0)


@pytest.mark.parametrize(
    "columns",
    [
        {"start": [NAN], "end": [NAN]},
        {"audio_track": [NAN], "language": [None], "group": [NAN]},
        {"movie_id": [NAN], "title": [NAN], "end": pa.array([None], pa.float64())},
    ],
)
def test_nan_and_null_count_as_missing(tmp_path: Path, columns: dict[str, Any]) -> None:
    touch(tmp_path, "a.mp4")
    pq.write_table(pa.table({"uri": ["a.mp4"], **columns}), tmp_path / "m.parquet")
    (tmp_path / "plain.csv").write_text("uri\na.mp4\n")
    assert _one(tmp_path / "m.parquet") == _one(tmp_path / "plain.csv")


def test_numbers_as_ids_and_groups_of_pandas(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    row = {"uri": ["a.mp4"], "movie_id": [12.0], "group": [2010.0], "audio_track": [1.0]}
    pq.write_table(pa.table(row), tmp_path / "m.parquet")
    movie = _one(tmp_path / "m.parquet")
    assert (movie.movie_id, movie.group, movie.audio_track) == ("12", "2010", 1)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"end": float("inf")}, "not finite"),
        ({"start": -1}, "not a valid time range"),
        ({"audio_track": 1.5}, "not a valid stream index"),
        ({"end": [1]}, "not a number"),
        ({"uri": ["a.mp4"]}, "not a path or URI"),
        ({"title": "\ud800"}, "not valid Unicode"),
        ({"group": "\udfff"}, "not valid Unicode"),
    ],
)
def test_meaningless_values_are_rejected(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    touch(tmp_path, "a.mp4")
    (tmp_path / "m.jsonl").write_text(json.dumps({"uri": "a.mp4", **row}))
    with pytest.raises(InputError, match=rf"m\.jsonl, row 1 \(line 1\): .*{message}"):
        find_movies(str(tmp_path / "m.jsonl"))
    (tmp_path / "list.jsonl").write_text('["a.mp4"]')
    with pytest.raises(InputError, match=r"row 1 \(line 1\): is not an object"):
        find_movies(str(tmp_path / "list.jsonl"))


@pytest.mark.parametrize(
    "name", ["a b.mp4", "50%.mp4", "què?.mp4", "a#b.mp4", os.fsdecode(b"bytes\xff.mp4")]
)
def test_file_uris_are_unescaped_and_paths_are_not(tmp_path: Path, name: str) -> None:
    touch(tmp_path, name)
    uri = (tmp_path / name).as_uri()
    for text in (uri, uri.replace("file://", "file://localhost")):
        (tmp_path / "m.jsonl").write_text(json.dumps({"uri": text}))
        movie = _one(tmp_path / "m.jsonl")
        assert movie.num_bytes > 0
        assert movie.uri == uri
    if "\udcff" not in name:
        for text in (name, str(tmp_path / name)):
            (tmp_path / "m.jsonl").write_text(json.dumps({"uri": text}))
            assert _one(tmp_path / "m.jsonl") == movie
    assert [found.uri for found in find_movies(tmp_path.as_uri())] == [uri]


def test_extra_columns_are_kept_unchanged(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    row = {"uri": "a.mp4", "title": "Å, b", "year": 1927, "score": 7.5, "is_public": False}
    row |= {"genres": ["drama", "sf"], "ids": {"imdb": "tt1"}, "none": None}
    (tmp_path / "m.jsonl").write_text(json.dumps(row))
    metadata = dict(_one(tmp_path / "m.jsonl").metadata)
    assert metadata == {
        "title": "Å, b",
        "year": 1927,
        "score": 7.5,
        "is_public": False,
        "genres": ["drama", "sf"],
        "ids": '{"imdb": "tt1"}',
    }


ROWS = [{"uri": "a.mp4", "group": "g", "year": "1927"}, {"uri": "b.mp4", "title": "Ä; b"}]


def _separated(separator: str) -> str:
    lines = [["uri", "group", "year", "title"], ["a.mp4", "g", "1927", ""]]
    lines.append(["b.mp4", "", "", '"Ä; b"'])
    return "".join(separator.join(line) + "\r\n" for line in lines)


FILES: dict[str, bytes] = {
    "m.csv": _separated(",").encode(),
    "mark.csv": _separated(",").encode("utf-8-sig"),
    "semicolons.csv": _separated(";").encode("utf-8-sig"),
    "tabs.csv": _separated("\t").encode(),
    "m.tsv": _separated("\t").encode(),
    "wide.tsv": _separated("\t").encode("utf-16"),
    "old-mac.csv": _separated(",").replace("\r\n", "\r").encode(),
    "spaces.csv": _separated(",").replace("group,", " group ,").encode(),
    "empty-lines.csv": b"\n" + _separated(",").encode() + b",,,\r\n\r\n,,,\r\n",
    "m.ndjson": "\r\n".join(map(json.dumps, ROWS)).encode("utf-8-sig"),
    "m.json": json.dumps(ROWS, indent=2).encode(),
    "UPPER.JSON": json.dumps(ROWS).encode("utf-16-le").join([b"\xff\xfe", b""]),
    "m.csv.gz": gzip.compress(_separated(",").encode()),
    "m.jsonl.gz": gzip.compress("\n".join(map(json.dumps, ROWS)).encode()),
    "m.json.gz": gzip.compress(json.dumps(ROWS).encode()),
}


@pytest.mark.parametrize("name", FILES)
def test_every_way_of_writing_gives_the_same_movies(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    (tmp_path / name).write_bytes(FILES[name])
    first, second = find_movies(str(tmp_path / name))
    assert (first.name, first.group, dict(first.metadata)) == ("a.mp4", "g", {"year": "1927"})
    assert (second.name, second.group, dict(second.metadata)) == ("b.mp4", "b", {"title": "Ä; b"})


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        (
            "m.csv",
            "uri,title\na.mp4,x\nb.mp4,Señor\n".encode("latin-1"),
            "line 3 is not valid UTF-8",
        ),
        ("m.jsonl", b'{"uri": "a.mp4"}\n{"uri": "b.mp4"\n', "line 2: "),
        ("m.jsonl", b'{"uri": "a.mp4", "uri": "b.mp4"}\n', "line 1: 'uri' occurs twice"),
        ("m.json", b'[{"uri": "a.mp4"},\n{"uri" "b.mp4"}]', "line 2: "),
        ("m.json", b'{"uri": "a.mp4"}', "not a list of objects"),
        ("m.json", b'[{"uri": "a.mp4"}, 3]', "row 2: is not an object"),
        ("m.json", b"[" * 100_000, "not readable"),
        ("m.tsv", b"uri,title\na.mp4,x\n", "columns here: 'uri,title'"),
        ("m.csv.gz", b"uri\na.mp4\n", "not valid gzip"),
        ("m.csv.gz", gzip.compress(b"uri\na.mp4\n" * 99, mtime=0)[:-20], "gzip file is cut off"),
        ("m.csv", b"PK\x03\x04\xff\xfe workbook", "line 1 is not valid UTF-8"),
        ("m.parquet", b"uri\na.mp4\n", "not readable"),
    ],
)
def test_unreadable_manifests_name_the_line(
    tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=rf"{name}.*{message}"):
        find_movies(str(tmp_path / name))


def test_a_column_of_parquet_may_not_occur_twice(tmp_path: Path) -> None:
    columns = [pa.array(["a.mp4"]), pa.array([1]), pa.array([2])]
    pq.write_table(pa.table(columns, ["uri", "year", "year"]), tmp_path / "m.parquet")
    with pytest.raises(InputError, match="column 'year' occurs twice"):
        find_movies(str(tmp_path / "m.parquet"))


def test_a_decompressed_manifest_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MAX_BYTES", 1000)
    (tmp_path / "m.csv.gz").write_bytes(gzip.compress(b"uri\n" * 300))
    with pytest.raises(InputError, match="GiB of text"):
        find_movies(str(tmp_path / "m.csv.gz"))
