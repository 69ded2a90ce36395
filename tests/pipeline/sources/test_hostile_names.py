"""Any name is a movie, not a path; links and special files are rejected."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.errors import OutsideCorpusError
from pipeline.sources import identity as source
from pipeline.sources.corpus import find_movies
from shards_spec import layout
from shards_spec.dataset.reader import open_dataset
from shards_spec.dataset.validation.validator import validate
from tests.support.films.media import Film, make_film
from tests.support.launch.runs import preprocess

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")


NAMES = [
    "-i.mp4",
    "--help.mp4",
    "a\nb.mp4",
    "per%03dcent.mp4",
    "%2e%2e%2fup.mp4",
    "a..mp4.mp4",
    "a?query=1#part.mp4",
    "data:text,x.mp4",
    "http:,,127.0.0.1.mp4",
    "concat:a|b.mp4",
    "subfile,,start,0,end,9,,:x.mp4",
    "$(touch owned).mp4",
    "`touch owned`;x.mp4",
    "'quote\" \\ back.mp4",
    "\u202egnp.mp4",
    "фильм 映画.mp4",
    "e\u0301.mp4",
    "n" * 251 + ".mp4",
    os.fsdecode(b"bytes\xff\xfe.mp4"),
]


@pytest.mark.usefixtures("local_ray")
def test_any_name_is_a_movie_and_not_a_path(tmp_path: Path) -> None:
    films, out = tmp_path / "films", tmp_path / "out"
    films.mkdir()
    film = make_film(tmp_path / "film.mp4", Film(seconds=4, width=64, height=48))
    for name in NAMES:
        os.link(film, films / name)
    assert preprocess(films, out) == 1
    rows = open_dataset(str(out)).movies.to_pylist()
    assert len(rows) == len(NAMES)
    assert all(layout.is_movie_id(row["movie_id"]) for row in rows)
    (bad,) = [row for row in rows if row["status"] != "done"]
    assert (bad["movie_id"], bad["error_class"]) == ("bytes", "unreadable")
    assert "rename the file" in bad["error"]
    assert {path.name for path in tmp_path.iterdir()} == {"films", "out", "film.mp4"}
    folders = {path.name for path in (out / "shards").iterdir()}
    assert folders == {row["movie_id"] for row in rows if row["status"] == "done"}
    assert validate(str(out)).ok


def test_links_that_lead_out_of_the_corpus_are_rejected(tmp_path: Path, canary: Path) -> None:
    films = tmp_path / "films"
    (films / "below").mkdir(parents=True)
    make_film(films / "real.mp4", Film(seconds=4, width=64, height=48))
    (films / "inside.mp4").symlink_to(films / "real.mp4")
    (films / "outside.mp4").symlink_to(canary)
    (films / "folder").symlink_to(canary.parent)
    (films / "below" / "circle").symlink_to(films)
    # The corpus itself may be a link: the user asked for that.
    link = tmp_path / "link"
    link.symlink_to(films)
    found = {movie.movie_id: movie for movie in find_movies(str(link))}
    assert set(found) == {"real", "inside", "outside"}
    assert source.fingerprint(found["inside"]) == source.fingerprint(found["real"])
    with pytest.raises(OutsideCorpusError, match="--follow-links"):
        source.fingerprint(found["outside"])
    wanted = {movie.movie_id: movie for movie in find_movies(str(link), follow_links=True)}
    assert set(wanted) == {"real", "inside", "outside", "folder-canary"}
    assert source.fingerprint(wanted["outside"]) == source.fingerprint(wanted["folder-canary"])


def test_special_files_never_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "zero.mp4").symlink_to("/dev/zero")
    for movie in find_movies(str(tmp_path), follow_links=True):
        with pytest.raises(OutsideCorpusError, match="not a regular file"):
            source.fingerprint(movie)
