from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.sources.corpus import find_corpus, find_movies
from pipeline.sources.identity import fingerprint
from shards_spec.errors import InputError
from shards_spec.storage.storage import Storage
from tests.support.films.named_files import touch


def _ids(corpus: str) -> list[str]:
    return [movie.movie_id for movie in find_movies(corpus)]


def test_only_movies_of_a_folder_are_found(tmp_path: Path) -> None:
    touch(tmp_path, "b.mp4", "a.MKV", "sub/c.webm", "labels.csv", "notes.txt", ".hidden.mp4")
    assert _ids(str(tmp_path)) == ["a", "b", "sub-c"]


def test_a_glob_and_a_single_file(tmp_path: Path) -> None:
    touch(tmp_path, "one.mp4", "two.mp4", "three.mkv")
    assert _ids(f"{tmp_path}/t*") == ["three", "two"]
    assert _ids(str(tmp_path / "one.mp4")) == ["one"]
    assert _ids(f"file://{tmp_path}") == ["one", "three", "two"]


def test_a_missing_or_empty_corpus_is_rejected(tmp_path: Path) -> None:
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


def test_the_fingerprint_depends_on_content_and_requested_part(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    (movie,) = find_movies(str(tmp_path))
    before = fingerprint(movie)
    assert fingerprint(movie) == before
    (tmp_path / "a.mp4").write_bytes(b"A.mp4")
    assert fingerprint(movie) != before
    (tmp_path / "m.csv").write_text("uri,end\na.mp4,9\n")
    (cut,) = find_movies(str(tmp_path / "m.csv"))
    assert fingerprint(cut) != fingerprint(movie)


ENDINGS = [
    "qt",
    "3g2",
    "m2t",
    "mod",
    "tod",
    "vro",
    "mpe",
    "mk3d",
    "tp",
    "trp",
    "MTS",
    "evo",
    "mp4v",
    "dvr-ms",
]


def test_suffixes_of_recorders_and_phones_are_movies(tmp_path: Path) -> None:
    touch(tmp_path, *[f"{i}.{ending}" for i, ending in enumerate(ENDINGS)])
    assert len(find_movies(str(tmp_path))) == len(ENDINGS)


def test_files_that_are_not_movies_are_counted(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "a.srt", "sub/b.SRT", "poster.jpg", "README", ".hidden.mp4")
    touch(tmp_path, ".Trash-1000/deleted.mp4", "x/.git/c.mp4", "$RECYCLE.BIN/d.mp4")
    touch(tmp_path, "x/@eaDir/thumb.mp4", "__MACOSX/e.mp4")
    corpus = find_corpus(str(tmp_path))
    assert [movie.movie_id for movie in corpus.movies] == ["a"]
    assert dict(corpus.passed_over) == {
        ".jpg": 1,
        ".srt": 2,
        "hidden files": 1,
        "hidden or trash folders": 5,
        "no ending": 1,
    }
    touch(tmp_path / "only", "README")
    with pytest.raises(InputError, match=r"found only no ending 1"):
        find_movies(str(tmp_path / "only"))


def test_hidden_folders_of_a_bucket_are_skipped(s3_bucket: str) -> None:
    storage = Storage(f"{s3_bucket}/films")
    for key in ("a.mp4", ".snapshots/a.mp4", "show/.trash/b.mp4", "show/b.mp4", "notes.txt"):
        storage.put(key, b"1")
    corpus = find_corpus(f"{s3_bucket}/films")
    assert [movie.movie_id for movie in corpus.movies] == ["a", "show-b"]
    assert dict(corpus.passed_over) == {".txt": 1, "files in hidden or trash folders": 2}


def test_a_glob_selects_all_matching_files(tmp_path: Path) -> None:
    touch(tmp_path, "show/a.mp4", "show/a.txt", "show/b.dat", "show/.trash/c.mp4")
    assert _ids(f"{tmp_path}/**/*") == ["show-a"]
    assert _ids(f"{tmp_path}/show/*.dat") == ["b"]
    assert _ids(f"{tmp_path}/s*/*.dat") == ["show-b"]


def test_folders_are_groups(tmp_path: Path) -> None:
    touch(tmp_path, "Doctor Who/Season 1.5/E01.mp4", "Doctor Who/Season 2/E01.mp4", "alone.mp4")
    by_depth = {
        depth: [movie.group for movie in find_corpus(str(tmp_path), group_depth=depth).movies]
        for depth in (0, 1, 2)
    }
    assert by_depth == {
        0: ["alone", "doctor-who-season-1-5-e01", "doctor-who-season-2-e01"],
        1: ["alone", "doctor-who", "doctor-who"],
        2: ["alone", "doctor-who-season-1-5", "doctor-who-season-2"],
    }
