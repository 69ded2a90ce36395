"""Differences of two datasets, counted and clip by clip."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from shards_spec.dataset.browser import Site
from shards_spec.dataset.browser.comparison import Comparison
from shards_spec.dataset.browser.pages.difference import pair_clips
from shards_spec.dataset.index import write_index
from shards_spec.dataset.reader import open_dataset
from shards_spec.storage.storage import Storage
from tests.support.datasets.eventful import drops_of, write_eventful_dataset, write_movie


@pytest.fixture(scope="module")
def site(eventful, tmp_path_factory) -> Site:
    """Against a dataset where `heat` has other clips, `copy` another crop, and `dark` is done."""
    folder = tmp_path_factory.mktemp("second")
    recipe = write_eventful_dataset(str(folder), silent_dbfs=-80.0).recipe
    storage = Storage(str(folder))
    # A clip less, two more; the filled time of one changed.
    drops = drops_of(recipe, {7: "silent", 8: "damaged"}, {9, 10, 11})
    counts = {"dropped_silent": 1, "dropped_damaged": 1, "dropped_too_short": 3, "drops": drops}
    changes = {"crop": "40:32:4:0", **counts}
    write_movie(storage, recipe, "heat", (0, 1, 2, 3, 4, 5, 6), {4: 300_000_000}, **changes)
    write_movie(storage, recipe, "copy", range(12), crop="46:32:2:0", source_fingerprint="same")
    write_movie(storage, recipe, "newer", range(3))
    storage.delete("commits/dark.parquet")
    write_index(storage, recipe, "other ffmpeg")
    return Site(eventful, open_dataset(storage))


def test_settings_that_differ(site: Site) -> None:
    found = {change.name: (change.first, change.second) for change in site.comparison.settings}
    assert found == {"silent_dbfs": ("-70.0", "-80.0"), "ffmpeg": ("toy", "other ffmpeg")}


def test_movies_and_their_clips_are_counted(site: Site) -> None:
    movies = {movie.movie_id: asdict(movie) for movie in site.comparison.movies}
    assert list(movies) == ["broken", "copy", "dark", "heat", "newer"]
    heat = movies["heat"]
    assert heat["where"] == "both"
    counted = {name: heat[name] for name in ("equal", "changed", "only_first", "only_second")}
    assert counted == {"equal": 4, "changed": 1, "only_first": 1, "only_second": 2}
    assert "crop" not in heat["columns"]
    assert "dropped_black" in heat["columns"]
    assert movies["copy"]["columns"] == ("crop",)
    assert movies["copy"]["equal"] == 12
    assert movies["newer"]["where"] == "second"
    assert movies["newer"]["only_second"] == 3
    assert movies["dark"]["where"] == "first"
    assert site.comparison.clip_columns == {"crc32c": 1, "filled_audio_ns": 1}


def test_a_dataset_is_equal_to_itself_wherever_it_is(eventful, tmp_path: Path) -> None:
    again = write_eventful_dataset(str(tmp_path / "again"))
    comparison = Site(eventful, again).comparison
    assert comparison.settings == []
    assert all(movie.is_equal for movie in comparison.movies)
    page = Site(eventful, again).file("difference.html").data.decode()
    assert "The two datasets are equal." in page


def test_the_counts_are_those_of_single_clips(site: Site) -> None:
    comparison: Comparison = site.comparison
    for movie in comparison.movies:
        pairs = pair_clips(*comparison.clip_rows(movie.movie_id))
        both = [(a, b) for a, b in pairs if a and b]
        ignored = ("shard", "tar_offset", "tar_bytes")
        equal = sum(all(a[k] == b[k] for k in a if k not in ignored) for a, b in both)
        assert (movie.equal, movie.changed) == (equal, len(both) - equal)
        assert movie.only_first == sum(b is None for _, b in pairs)
        assert movie.only_second == sum(a is None for a, _ in pairs)


def test_pages_name_what_differs(site: Site) -> None:
    page = site.file("difference.html").data.decode()
    for expected in ("silent_dbfs", "other ffmpeg", "bytes of the clip", "only the second"):
        assert expected in page
    page = site.file("difference/heat/1.html").data.decode()
    assert "filled_audio_ns: 10000000 → 0" in page
    assert "only in the first" in page
    assert "against/clip/heat_000002/thumb.jpg" in page
    for movie_id in ("newer", "dark", "broken", "copy"):
        assert site.file(f"difference/{movie_id}/1.html").data
    assert site.file("against/index.html").data
    assert site.file("against/clip/newer_000001/strip.jpg").data


def test_why_a_clip_is_in_one_dataset_only(site: Site) -> None:
    why = site.comparison.absent_from_first.why
    clip_ns = site.catalog.dataset.recipe.grid_ns(4)

    def of(movie_id: str, number: float) -> str:
        return why(movie_id, round(number * clip_ns), round((number + 1) * clip_ns))

    assert of("heat", 2) == "dropped: black"
    assert of("heat", 9) == "dropped: too short"
    assert of("heat", 2.25) == "other times; one that overlaps was dropped: black"
    assert of("heat", 0.5) == "other times; the clips that overlap are kept"
    assert of("heat", 20) == "outside of the part that was used"
    assert of("newer", 0) == "no such movie"
    assert of("broken", 0).startswith("movie without clips: class ")
    # Of movies from before the table, nothing is known.
    assert of("copy", 11.0) == "other times; the clips that overlap are kept"
    assert site.comparison.absences == (
        {"dropped: black": 2, "no such movie": 3},
        {"dropped: damaged": 1},
    )
    page = site.file("difference/heat/1.html").data.decode()
    assert page.count("not there: dropped: black") == 2
    assert "not there: dropped: damaged" in page
    page = site.file("difference.html").data.decode()
    assert "in the second, dropped: damaged" in page
    movie = site.file("movie/heat/1.html").data.decode()
    assert "2 clips dropped: black" in movie
    assert "for one of several reasons" not in movie
