"""Near-duplicates found in the clips of small made movies."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shards_spec import layout
from shards_spec.__main__ import main
from shards_spec.dataset.duplicates import clip_kinds, read_duplicates
from shards_spec.dataset.fingerprints.store import update_duplicates
from shards_spec.dataset.index import write_index
from shards_spec.dataset.reader import Dataset, open_dataset
from shards_spec.errors import FormatError
from shards_spec.storage import Storage
from tests.support.datasets.alike import BLACK, Piece, write_alike, write_movie

MOVIES = {
    "film": [Piece(1, 48)],
    "film-boxed": [Piece(1, 48, gain=0.7, bars=4)],
    "film-late": [Piece(9, 7.3), Piece(1, 40, start=5)],
    "film-pal": [Piece(1, 46.1, speed=25 / 24)],
    "trailer": [Piece(1, 4, 10), Piece(1, 5, 25), Piece(1, 4, 40), Piece(8, 3)],
    "ep1": [Piece(20, 16), Piece(21, 40), Piece(29, 16)],
    "ep2": [Piece(31, 5), Piece(20, 16), Piece(22, 40), Piece(29, 16)],
    "logo1": [Piece(40, 6), Piece(41, 30), Piece(BLACK, 6)],
    "logo2": [Piece(40, 6), Piece(42, 30), Piece(BLACK, 6)],
    "still1": [Piece(50, 9, is_still=True), Piece(51, 20)],
    "still2": [Piece(50, 9, is_still=True), Piece(52, 20)],
}


@dataclass(frozen=True)
class Searched:
    dataset: Dataset
    rows: list[dict[str, Any]]

    def of(self, one: str, other: str) -> list[dict[str, Any]]:
        """The spans of two movies."""
        return [
            row for row in self.rows if {row["movie_id"], row["other_movie_id"]} == {one, other}
        ]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    folder = tmp_path_factory.mktemp("alike")
    write_alike(str(folder), MOVIES)
    table = update_duplicates(open_dataset(str(folder)))
    return Searched(open_dataset(str(folder)), table.to_pylist())


@pytest.mark.parametrize("other", ["film-boxed", "film-late", "film-pal"])
def test_copies_are_found_in_whole(searched: Searched, other: str) -> None:
    spans = searched.of("film", other)
    assert {span["kind"] for span in spans} == {"copy"}
    assert sum(span["end_ns"] - span["start_ns"] for span in spans) > 34e9


def test_a_late_copy_is_found_at_its_times(searched: Searched) -> None:
    (span,) = searched.of("film", "film-late")
    # Film second 5 is second 7.3 of the copy.
    assert span["other_start_ns"] - span["start_ns"] == pytest.approx(2.3e9, abs=0.6e9)
    assert span["start_ns"] == pytest.approx(5e9, abs=1e9)


def test_a_fast_copy_is_one_span(searched: Searched) -> None:
    assert len(searched.of("film", "film-pal")) == 1


def test_the_shots_of_a_trailer_are_found(searched: Searched) -> None:
    spans = searched.of("film", "trailer")
    assert {span["kind"] for span in spans} == {"excerpt"}
    assert len(spans) >= 2
    for span in spans:
        near = min((10, 25, 40), key=lambda second: abs(span["start_ns"] / 1e9 - second))
        assert span["start_ns"] / 1e9 == pytest.approx(near, abs=2)


def test_episodes_share_opening_and_credits(searched: Searched) -> None:
    spans = searched.of("ep1", "ep2")
    assert [span["kind"] for span in spans] == ["opening", "credits"]
    assert spans[0]["start_ns"] == pytest.approx(0, abs=1e9)
    assert spans[0]["other_start_ns"] == pytest.approx(5e9, abs=1e9)
    assert spans[0]["end_ns"] == pytest.approx(16e9, abs=3e9)


def test_a_logo_is_only_a_logo_and_a_still_is_nothing(searched: Searched) -> None:
    assert [span["kind"] for span in searched.of("logo1", "logo2")] == ["logo"]
    assert searched.of("still1", "still2") == []


def test_black_is_reported_for_each_movie_and_links_none(searched: Searched) -> None:
    blank = [row for row in searched.rows if row["kind"] == "blank"]
    assert [row["movie_id"] for row in blank] == ["logo1", "logo2"]
    for row in blank:
        assert (row["other_movie_id"], row["set_number"]) == ("", 0)
        assert (row["start_ns"] / 1e9, row["end_ns"] / 1e9) == (36.0, pytest.approx(41, abs=2))


def test_nothing_else_is_found(searched: Searched) -> None:
    films = {name for name in MOVIES if name.startswith("film")} | {"trailer"}
    expected = [films, {"ep1", "ep2"}, {"logo1", "logo2"}]
    for row in searched.rows:
        if row["kind"] != "blank":
            assert any({row["movie_id"], row["other_movie_id"]} <= group for group in expected), row


def test_spans_that_show_the_same_have_one_number(searched: Searched) -> None:
    number = searched.of("film", "film-boxed")[0]["set_number"]
    assert {span["set_number"] for span in searched.of("film-boxed", "film-late")} == {number}
    assert searched.of("ep1", "ep2")[0]["set_number"] != number
    opening, credits = searched.of("ep1", "ep2")
    assert opening["set_number"] != credits["set_number"]


def test_the_kind_of_each_clip(searched: Searched) -> None:
    dataset = searched.dataset
    assert dataset.duplicates is not None
    kinds = dict(
        zip(
            dataset.clips["clip_id"].to_pylist(),
            clip_kinds(dataset.clips, dataset.duplicates).to_pylist(),
            strict=True,
        )
    )
    assert kinds["ep1_000000"] == "opening"
    assert kinds["ep1_000008"] == ""
    assert kinds["film_000005"] == "copy"
    assert kinds["logo1_000012"] == "blank"


@pytest.fixture
def two_movies(tmp_path: Path) -> Dataset:
    movies = {"one": [Piece(1, 13)], "two": [Piece(1, 13)]}
    dataset = write_alike(str(tmp_path), movies)
    update_duplicates(dataset)
    return open_dataset(str(tmp_path))


def test_a_dataset_that_was_not_searched_stays_as_it_is(tmp_path: Path) -> None:
    dataset = write_alike(str(tmp_path), {"one": [Piece(1, 7)], "two": [Piece(2, 7)]})
    assert dataset.duplicates is None
    update_duplicates(dataset)
    found = open_dataset(str(tmp_path))
    assert found.duplicates is not None
    assert found.duplicates.num_rows == 0
    assert found.fingerprint == dataset.fingerprint, "nothing was found, so nothing changes"


def test_the_tables_survive_a_new_index(two_movies: Dataset) -> None:
    before = two_movies.duplicates
    assert before is not None
    assert before.num_rows == 1
    write_index(two_movies.storage, two_movies.recipe, "toy")
    after = open_dataset(two_movies.storage)
    assert after.duplicates == before
    assert after.fingerprint == two_movies.fingerprint


def test_only_movies_that_changed_are_read_again(two_movies: Dataset) -> None:
    storage, recipe = two_movies.storage, two_movies.recipe
    write_movie(storage, recipe, "two", [Piece(2, 13)])
    write_movie(storage, recipe, "three", [Piece(1, 13)])
    write_index(storage, recipe, "toy")
    dataset = open_dataset(storage)
    assert dataset.duplicates is not None
    assert dataset.duplicates.num_rows == 0, "movie two is another one now"
    read: list[tuple[int, int]] = []
    table = update_duplicates(dataset, on_movie=lambda done, total: read.append((done, total)))
    assert read == [(1, 2), (2, 2)]
    assert [row["other_movie_id"] for row in table.to_pylist()] == ["three"]


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("kind", "twin", "kind 'twin'"),
        ("end_ns", -5, "end before they start"),
        ("other_start_ns", 10**18, "end before they start"),
    ],
)
def test_a_damaged_table_is_refused(
    two_movies: Dataset, column: str, value: object, problem: str
) -> None:
    assert two_movies.duplicates is not None
    (row,) = two_movies.duplicates.to_pylist()
    table = pa.Table.from_pylist([{**row, column: value}], two_movies.duplicates.schema)
    pq.write_table(table, two_movies.storage.local_path(layout.DUPLICATES_PARQUET))
    with pytest.raises(FormatError, match=problem):
        open_dataset(two_movies.storage)


def test_a_damaged_table_of_fingerprints_is_made_again(two_movies: Dataset) -> None:
    storage = Storage(two_movies.storage.uri)
    storage.local_path(layout.FINGERPRINTS_PARQUET).write_bytes(b"PAR1 nonsense PAR1")
    assert update_duplicates(two_movies).num_rows == 1
    assert read_duplicates(storage, two_movies.clips) is not None


def test_the_command_prints_what_it_found(
    two_movies: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = two_movies.storage.uri
    assert main(["duplicates", uri, "--json"]) == 0
    (span,) = json.loads(capsys.readouterr().out)["spans"]
    assert (span["kind"], span["movie_id"], span["other_movie_id"]) == ("copy", "one", "two")
    assert main(["duplicates", uri]) == 0
    assert "1 copy" in capsys.readouterr().out
