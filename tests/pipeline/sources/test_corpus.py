from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.sources.corpus import find_movies, movie_id_of
from pipeline.sources.identity import fingerprint, local_file
from shards_spec.errors import InputError
from shards_spec.layout import check_movie_id
from shards_spec.storage.storage import Storage


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def _ids(corpus: str) -> list[str]:
    return [movie.movie_id for movie in find_movies(corpus)]


def test_a_folder_gives_its_movies_and_nothing_else(tmp_path: Path) -> None:
    _touch(tmp_path, "b.mp4", "a.MKV", "sub/c.webm", "labels.csv", "notes.txt", ".hidden.mp4")
    assert _ids(str(tmp_path)) == ["a", "b", "sub-c"]


def test_a_glob_and_a_single_file(tmp_path: Path) -> None:
    _touch(tmp_path, "one.mp4", "two.mp4", "three.mkv")
    assert _ids(f"{tmp_path}/t*") == ["three", "two"]
    assert _ids(str(tmp_path / "one.mp4")) == ["one"]
    assert _ids(f"file://{tmp_path}") == ["one", "three", "two"]


@pytest.mark.parametrize(
    ("path", "movie_id"),
    [
        ("Metropolis (1927).mkv", "metropolis-1927"),
        ("Amélie.mp4", "amelie"),
        ("shows/S01/E02.mp4", "shows-s01-e02"),
        ("a_b-c.mp4", "a_b-c"),
        ("../up.mp4", "up"),
        ("two\nlines.mp4", "two-lines"),
        ("v1.2.final.mp4", "v1-2-final"),
    ],
)
def test_movie_ids_read_like_their_names(path: str, movie_id: str) -> None:
    assert movie_id_of(path) == movie_id


@pytest.mark.parametrize("path", ["七人の侍.mkv", "x" * 255 + ".mp4", "----.mp4", "Ж.mp4"])
def test_movie_ids_that_lose_letters_carry_a_hash(path: str) -> None:
    movie_id = check_movie_id(movie_id_of(path))
    assert movie_id != movie_id_of("other" + path)
    assert len(movie_id) >= 8


def test_files_of_one_name_get_ids_that_do_not_depend_on_order(tmp_path: Path) -> None:
    _touch(tmp_path, "film.mp4", "film.mkv", "other.mp4")
    ids = _ids(str(tmp_path))
    assert ids[2] == "other"
    assert len(set(ids)) == 3
    assert all(movie_id.startswith("film-") for movie_id in ids[:2])


def test_a_csv_manifest(tmp_path: Path) -> None:
    _touch(tmp_path, "a.mp4", "b.mp4")
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
    _touch(tmp_path, "a.mp4")
    rows = [{"uri": "a.mp4", "group": "g"}]
    (tmp_path / "m.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "m.parquet")
    for name in ("m.jsonl", "m.parquet"):
        (movie,) = find_movies(str(tmp_path / name))
        assert (movie.movie_id, movie.group) == ("a", "g")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("movie_id\nx\n", "no `uri`"),
        ("uri,colour\na.mp4,red\n", "unknown columns"),
        ("uri,movie_id\na.mp4,Not Valid\n", "Not Valid"),
        ("uri,start,end\na.mp4,5,4\n", "no stretch of time"),
        ("uri,start\na.mp4,soon\n", "soon"),
        ("uri,movie_id\na.mp4,x\nb.mp4,x\n", "more than one source"),
    ],
)
def test_a_broken_manifest_is_refused_with_its_row(tmp_path: Path, text: str, message: str) -> None:
    _touch(tmp_path, "a.mp4", "b.mp4")
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        find_movies(str(tmp_path / "m.csv"))


def test_a_missing_or_empty_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        find_movies(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="no movies in"):
        find_movies(str(tmp_path))
    with pytest.raises(InputError, match="unknown scheme 'ftp'"):
        find_movies("ftp://host/films")


def test_a_bucket_prefix(s3_bucket: str) -> None:
    storage = Storage(f"{s3_bucket}/films")
    storage.put("b.mp4", b"1234")
    storage.put("sub/a.mkv", b"12")
    storage.put("readme.txt", b"")
    movies = find_movies(f"{s3_bucket}/films")
    assert [movie.movie_id for movie in movies] == ["b", "sub-a"]
    assert movies[0].num_bytes == 4
    assert movies[0].uri == f"{s3_bucket}/films/b.mp4"
    assert fingerprint(movies[0]) != fingerprint(movies[1])


def test_the_fingerprint_follows_content_and_wishes(tmp_path: Path) -> None:
    _touch(tmp_path, "a.mp4")
    (movie,) = find_movies(str(tmp_path))
    before = fingerprint(movie)
    assert fingerprint(movie) == before
    (tmp_path / "a.mp4").write_bytes(b"A.mp4")
    assert fingerprint(movie) != before
    (tmp_path / "m.csv").write_text("uri,end\na.mp4,9\n")
    (cut,) = find_movies(str(tmp_path / "m.csv"))
    assert fingerprint(cut) != fingerprint(movie)
