"""Movie ids: readable, distinct, and the same when movies are added."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.sources.corpus import find_movies
from pipeline.sources.movie_id import keep_ids, movie_id_of
from shards_spec.errors import InputError
from shards_spec.layout import check_movie_id
from tests.support.films.named_files import touch


def _ids(corpus: Path | str) -> dict[str, str]:
    """Path below the corpus -> movie id."""
    return {movie.path: movie.movie_id for movie in find_movies(str(corpus))}


@pytest.mark.parametrize(
    ("path", "movie_id"),
    [
        ("Metropolis (1927).mkv", "metropolis-1927"),
        ("Amélie.mp4", "amelie"),
        ("Ame\u0301lie.mp4", "amelie"),
        ("Straße/Ærø.mp4", "strasse-aero"),
        ("shows/S01/E02.mp4", "shows-s01-e02"),
        ("a_b-c.mp4", "a_b-c"),
        ("../up.mp4", "up"),
        ("two\nlines.mp4", "two-lines"),
        ("v1.2.final.mp4", "v1-2-final"),
    ],
)
def test_ids_read_like_their_names(path: str, movie_id: str) -> None:
    assert movie_id_of(path) == movie_id


@pytest.mark.parametrize(
    ("path", "readable"),
    [
        ("七人の侍.mkv", "qirennoshi-"),
        ("фильм/Солярис.mp4", "film-solyaris-"),
        ("Ελλάδα.mp4", "ellada-"),
        ("기생충.mp4", "gisaengchung-"),
        ("x" * 255 + ".mp4", "x" * 55 + "-"),
        ("----.mp4", ""),
    ],
)
def test_other_scripts_are_transliterated_and_carry_a_hash(path: str, readable: str) -> None:
    movie_id = check_movie_id(movie_id_of(path))
    assert movie_id.startswith(readable)
    assert movie_id != movie_id_of("other/" + path)
    assert movie_id == movie_id_of(path)
    assert len(movie_id) >= 8


@pytest.mark.parametrize(
    "names",
    [
        ("Show (2010)/E01.mp4", "Show [2010]/E01.mp4"),
        ("Alien/film.mp4", "alien/film.mp4"),
        ("film.mp4", "film.mkv", "FILM.mp4"),
        ("a-b/c.mp4", "a/b/c.mp4", "a/b-c.mp4"),
        ("é.mp4", "e.mp4"),
    ],
)
def test_paths_with_the_same_id_get_hashes(tmp_path: Path, names: tuple[str, ...]) -> None:
    touch(tmp_path, *names, "other.mp4")
    ids = _ids(tmp_path)
    assert len(set(ids.values())) == len(names) + 1
    assert ids["other.mp4"] == "other"
    plain = movie_id_of(names[0])
    assert all(ids[name].startswith(f"{plain}-") for name in names)


def test_movies_of_a_dataset_keep_their_ids(tmp_path: Path) -> None:
    touch(tmp_path, "Alien/film.mp4")
    before = {movie.uri: movie.movie_id for movie in find_movies(str(tmp_path))}
    touch(tmp_path, "alien/film.mp4", "alien.mp4")
    movies = find_movies(str(tmp_path))
    assert "alien-film" not in [movie.movie_id for movie in movies]
    kept = {movie.path: movie for movie in keep_ids(movies, before)}
    assert kept["Alien/film.mp4"].movie_id == kept["Alien/film.mp4"].group == "alien-film"
    assert kept["alien/film.mp4"].movie_id.startswith("alien-film-")
    assert kept["alien.mp4"].movie_id == "alien"


def test_an_id_of_a_manifest_is_not_taken_by_an_older_movie(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    known = {movie.uri: movie.movie_id for movie in find_movies(str(tmp_path))}
    (tmp_path / "m.csv").write_text("uri,movie_id\na.mp4,\nb.mp4,a\n")
    ids = {m.path: m.movie_id for m in keep_ids(find_movies(str(tmp_path / "m.csv")), known)}
    assert ids["b.mp4"] == "a"
    assert ids["a.mp4"].startswith("a-")


def test_a_globs_root_is_its_fixed_part(tmp_path: Path) -> None:
    touch(tmp_path, "show/S01/E01.mp4")
    one = _ids(f"{tmp_path}/show*/S*/*.mp4")
    assert one == {"show/S01/E01.mp4": "show-s01-e01"}
    touch(tmp_path, "show2/S02/E01.mp4", "show/S01/E02.mp4")
    assert one.items() <= _ids(f"{tmp_path}/show*/S*/*.mp4").items()


def test_absolute_paths_of_a_manifest(tmp_path: Path) -> None:
    names = ("x/show1/E01.mp4", "x/show2/E01.mp4", "x/m/show1/E01.mp4")
    touch(tmp_path, *names)
    manifest = tmp_path / "x" / "m" / "m.csv"
    manifest.write_text("uri\n" + "".join(f"{tmp_path / name}\n" for name in names))
    ids = [movie.movie_id for movie in find_movies(str(manifest))]
    assert "show1-e01" in ids
    assert sum("x-show1-e01" in movie_id for movie_id in ids) <= 1
    assert len(set(ids)) == 3
    # The same when rows are added or removed.
    manifest.write_text(f"uri\n{tmp_path / names[1]}\n")
    assert find_movies(str(manifest))[0].movie_id in ids


def test_parts_of_one_movie_get_different_ids(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    (tmp_path / "m.csv").write_text("uri,start,end\na.mp4,0,5\na.mp4,5,9\n")
    assert len({movie.movie_id for movie in find_movies(str(tmp_path / "m.csv"))}) == 2
    (tmp_path / "m.csv").write_text("uri,start,end\na.mp4,0,5\na.mp4,0,5\n")
    with pytest.raises(InputError, match=r"repeats m\.csv, row 1"):
        find_movies(str(tmp_path / "m.csv"))
